"""A part of the demo as seen by whoever starts it: a child process that says when it is ready.

Strategy: `running` is an async context manager around one child. It waits for the child's ready line (on
its standard output, or on a pipe of its own for the relay) or for its end, whichever is first; it raises
with the child's own words if that is not what was hoped for; and it leaves only when the child has ended:
SIGTERM, and SIGKILL to one that will not. The child's standard error goes to a file, so that it can never
block.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wsproxy.errors import CannotStart

READY_SECONDS = 20.0
STOP_SECONDS = 5.0

_ROOT = Path(__file__).resolve().parents[2]


class PartFailed(CannotStart):
    """A part did not come up; the message has what it said."""


@dataclass(frozen=True)
class Part:
    """A child that is ready: its name, process, what its ready line said, and the file with its log."""

    name: str
    process: asyncio.subprocess.Process
    ready: dict[str, Any]
    log: Path

    @property
    def port(self) -> int:
        return int(self.ready["port"])

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@asynccontextmanager
async def running(
    name: str,
    arguments: Sequence[str],
    *,
    log: Path,
    ready_fd: bool = False,
    inherited: Sequence[int] = (),
    environment: Mapping[str, str] | None = None,
) -> AsyncIterator[Part]:
    """Run `python -m <arguments>` and give it when it is ready; on leaving, it has ended.

    Args:
        name: what the ready line must name.
        log: where its standard error goes.
        ready_fd: pass it `--ready-fd N` and read the ready line there; its standard output joins its log.
        inherited: descriptors that it is to have under the same numbers.
        environment: its environment; None for ours.

    Raises:
        PartFailed: it ended before it was ready, said something else, or said nothing for 20 s.
    """
    here, there = os.pipe()
    try:
        with log.open("wb") as stderr:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", *arguments, *(("--ready-fd", str(there)) if ready_fd else ())),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=stderr if ready_fd else there,
                stderr=stderr,
                pass_fds=(*inherited, there) if ready_fd else inherited,
                env=_with_path(os.environ if environment is None else environment),
            )
    except BaseException:
        os.close(here)
        raise
    finally:
        os.close(there)  # ours: the child's copy is now the only one, so its end is the pipe's end
    try:
        yield Part(name=name, process=process, ready=await _ready(name, here, log), log=log)
    finally:
        await _stop(process)


async def _ready(name: str, fd: int, log: Path) -> dict[str, Any]:
    reader = asyncio.StreamReader()
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(fd, "rb", buffering=0)
    )
    try:
        line = await asyncio.wait_for(reader.readline(), READY_SECONDS)
    except TimeoutError:
        raise PartFailed(f"{name} did not get ready within {READY_SECONDS:.0f} s\n{_words(log)}") from None
    finally:
        transport.close()
    with suppress(ValueError):
        said = json.loads(line)
        if isinstance(said, dict) and said.get("ready") == name and isinstance(said.get("port"), int):
            return said
    raise PartFailed(f"{name} {f'said {line!r}' if line else 'ended'} before it was ready\n{_words(log)}")


async def _stop(process: asyncio.subprocess.Process) -> None:
    with suppress(ProcessLookupError):
        process.terminate()
    try:
        await asyncio.wait_for(process.wait(), STOP_SECONDS)
    except BaseException as reason:  # not in time, or we were told to hurry: it ends all the same
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()
        if not isinstance(reason, TimeoutError):
            raise


def _words(log: Path) -> str:
    """The last of what a part wrote to its log."""
    lines = log.read_text(errors="replace").strip().splitlines()
    return "\n".join(f"  {line}" for line in lines[-20:]) or "  (it wrote nothing)"


def _with_path(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment, with the folder that holds this package on the child's path, installed or not."""
    paths = [str(_ROOT), *filter(None, [environment.get("PYTHONPATH")])]
    return {**environment, "PYTHONPATH": os.pathsep.join(paths)}
