"""A relay that does not outlive who started it: `wsproxy` with the given arguments, which gets a SIGTERM when its standard input ends.

Run as a script: the folder of its recordings, then the arguments. However a test run ends, SIGKILL included, the kernel closes its end of
that pipe; nobody is left then who would remove the folder, and it may hold credentials, so this does.
"""

from __future__ import annotations

import os
import runpy
import shutil
import signal
import sys
import threading

_orphaned = threading.Event()


def _watch() -> None:
    while os.read(0, 1):
        pass
    _orphaned.set()
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    home = sys.argv.pop(1)
    threading.Thread(target=_watch, daemon=True).start()
    try:
        runpy.run_module("wsproxy", run_name="__main__", alter_sys=True)
    finally:
        if _orphaned.is_set():
            shutil.rmtree(home, ignore_errors=True)
