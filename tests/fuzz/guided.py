"""Fuzzing by coverage, with atheris (libFuzzer). Run as a process of its own: libFuzzer ends it."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import atheris  # type: ignore[import-not-found]

from .runner import CORPUS, CPU_SECONDS, LONGEST, MEMORY, bound_time, keep, load


def main(name: str, seconds: int, seed: int, crashes: Path, found: Path) -> None:
    """Fuzz until the time is over or something crashes. Inputs that reach something new are added to the folder `found`."""
    with atheris.instrument_imports(include=["wsproxy"]):
        target = load(name)

    def check(data: bytes) -> None:
        try:
            with bound_time():
                target.check(data)
        except BaseException:
            print(f"crash: {keep(name, data, crashes)}", flush=True)
            raise

    found.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile("w", suffix=".dict") as words:
        for token in target.tokens:
            words.write('"' + "".join(f"\\x{byte:02x}" for byte in token) + '"\n')
        words.flush()
        options = [
            f"-max_total_time={seconds}",
            f"-seed={seed}",
            f"-max_len={LONGEST}",
            f"-dict={words.name}",
            f"-timeout={int(10 * CPU_SECONDS)}",
            f"-malloc_limit_mb={MEMORY >> 20}",
            "-rss_limit_mb=2048",
            "-print_final_stats=1",
            "-verbosity=0",
            f"-artifact_prefix={crashes}/",
        ]
        atheris.Setup([sys.argv[0], *options, str(found), str(CORPUS / name)], check)
        atheris.Fuzz()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4]), Path(sys.argv[5]))
