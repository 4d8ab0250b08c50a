"""Runs a target on input after input, each within bounds of memory and time.

Strategy: an input is made from the corpus by a few mutations at random: bits, bytes, blocks moved, doubled and cut out, numbers of the kind
that parsers trip over, words of the target's language, pieces of other inputs. What raises, takes more CPU time than `CPU_SECONDS` or
more memory than `MEMORY` is a crash; it is written to a file, ready to become a seed. Where atheris is installed, `guided` chooses inputs by
coverage instead; the targets and the bounds are the same.
"""

from __future__ import annotations

import hashlib
import importlib
import random
import resource
import signal
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

TARGETS = ("tap", "frames", "reader", "view", "selectors", "diff", "replay", "markers")
CORPUS = Path(__file__).parent / "corpus"
MEMORY = 768 << 20  # bytes of address space beyond what is mapped at the beginning
CPU_SECONDS = 5.0  # of one input
LONGEST = 4096  # bytes of an input
_NUMBERS = [
    n.to_bytes(size, "big")
    for size in (1, 2, 4, 8)
    for bits in (7, 8, 15, 16, 31, 32, 63, 64)
    for n in (2**bits - 1, 2 ** (bits - 1))
    if n < 256**size
]


class TooSlow(Exception):
    """An input takes too much time."""


class Target(NamedTuple):
    """What is fuzzed."""

    name: str
    check: Callable[[bytes], None]
    tokens: list[bytes]


class Result(NamedTuple):
    """What came of it; `crash` is the file that holds the input, `error` its traceback."""

    target: str
    executions: int
    seconds: float
    crash: Path | None
    error: str


def load(name: str) -> Target:
    """A target by its name; imports what it tests."""
    module = importlib.import_module(f"{__package__}.targets.{name}")
    return Target(name, module.check, module.TOKENS)


def seeds(name: str) -> list[bytes]:
    """The corpus of a target, crashes of the past among it."""
    return [path.read_bytes() for path in sorted((CORPUS / name).iterdir())]


def bound_memory() -> None:
    """From here on this process may map only so much more. For good: run it in a process of its own."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    soft = pages * resource.getpagesize() + MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (soft, resource.getrlimit(resource.RLIMIT_AS)[1]))


@contextmanager
def bound_time() -> Iterator[None]:
    """CPU time of this process, so that a busy machine is no finding."""

    def slow(*_: object) -> None:
        raise TooSlow(f"more than {CPU_SECONDS:g} s of CPU")

    before = signal.signal(signal.SIGPROF, slow)
    signal.setitimer(signal.ITIMER_PROF, CPU_SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


def run(target: Target, seconds: float, seed: int, crashes: Path, at_least: int = 1) -> Result:
    """Run for so long, and at least so many inputs; stop at a crash."""
    rng = random.Random(seed)
    corpus = seeds(target.name)
    begun = time.monotonic()
    executions = 0
    while executions < at_least or time.monotonic() - begun < seconds:
        data = corpus[executions] if executions < len(corpus) else mutated(rng, corpus, target.tokens)
        executions += 1
        try:
            with bound_time():
                target.check(data)
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt):
                raise
            return Result(target.name, executions, time.monotonic() - begun, keep(target.name, data, crashes), _told())
    return Result(target.name, executions, time.monotonic() - begun, None, "")


def keep(name: str, data: bytes, crashes: Path) -> Path:
    """Write a crashing input to a file."""
    crashes.mkdir(parents=True, exist_ok=True)
    path = crashes / f"{name}-{hashlib.sha256(data).hexdigest()[:12]}"
    path.write_bytes(data)
    return path


def _told() -> str:
    return traceback.format_exc(limit=-12)


def mutated(rng: random.Random, corpus: list[bytes], tokens: list[bytes]) -> bytes:
    """A new input."""
    data = bytearray(rng.choice(corpus))
    for _ in range(1 << rng.randrange(5)):
        _mutate(rng, data, corpus, tokens)
    return bytes(data[:LONGEST])


def _mutate(rng: random.Random, data: bytearray, corpus: list[bytes], tokens: list[bytes]) -> None:
    at = rng.randrange(len(data) + 1)
    size = min(1 << rng.randrange(9), len(data) - at)
    other = rng.choice(corpus)
    start = rng.randrange(len(other) + 1)
    match rng.randrange(9):
        case 0 if at < len(data):
            data[at] ^= 1 << rng.randrange(8)
        case 1 if at < len(data):
            data[at] = rng.randrange(256)
        case 2:
            del data[at : at + size]
        case 3:
            data[at:at] = data[at : at + size] * rng.choice((1, 1, 2, 50))
        case 4:
            number = rng.choice(_NUMBERS)
            data[at : at + len(number)] = number
        case 5:
            data[at:at] = rng.choice(tokens)
        case 6:
            token = rng.choice(tokens)
            data[at : at + len(token)] = token
        case 7:
            data[at:at] = other[start : start + size]
        case _:
            data[at:at] = rng.randbytes(rng.randrange(1, 9))
