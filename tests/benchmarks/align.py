"""`python -m tests.benchmarks.align`: what it costs to align two sequences, texts, JSON values, beside difflib.

Strategy: every case runs twice, once for its CPU seconds and once under tracemalloc for the peak of what the call allocates (that
run is slower and its time is not used). `difflib.SequenceMatcher` (autojunk off) gets the same sequences at the sizes that it can
manage: what takes longer than `PATIENCE` is stopped and shown as `>`. Its matching is greedy, so it may pair less.
`lost` is how much less than the other one each of them paired, in percent of the shorter sequence.
"""

from __future__ import annotations

import difflib
import random
import signal
import time
import tracemalloc
from collections.abc import Callable, Hashable, Iterator, Sequence
from itertools import accumulate, count
from types import FrameType
from typing import NamedTuple

from rich.console import Console
from rich.table import Table

from wsproxy.analysis.align import align
from wsproxy.analysis.diff.structure import compare
from wsproxy.analysis.diff.words import by_byte, by_word

PATIENCE = 5.0  # CPU seconds
SIZES = (2_000, 20_000, 100_000)
MIB = 1 << 20


class Case(NamedTuple):
    name: str
    a: Sequence[Hashable]
    b: Sequence[Hashable]


class TooLong(Exception):
    """The peer's patience is over."""


def keys(kind: str, rng: random.Random) -> Callable[[], Hashable]:
    """Draws one key: `unique` (nine of ten), `tokens` (zipf over 2,000), or letters of a small alphabet."""
    if kind == "unique":
        numbers = count()
        return lambda: f"key {next(numbers)}" if rng.random() < 0.9 else f"common {rng.randrange(500)}"
    if kind == "tokens":
        weights = list(accumulate(1 / (n + 1) for n in range(2000)))
        return lambda: rng.choices(range(2000), cum_weights=weights)[0]
    size = int(kind.split()[0])
    return lambda: rng.randrange(size)


def edited(a: Sequence[Hashable], draw: Callable[[], Hashable], rng: random.Random) -> list[Hashable]:
    """One key of a hundred inserted, dropped, replaced or moved."""
    b = list(a)
    for _ in range(len(a) // 100):
        at = rng.randrange(len(b))
        match rng.randrange(4):
            case 0:
                b.insert(at, draw())
            case 1:
                del b[at]
            case 2:
                b[at] = draw()
            case _:
                b.insert(rng.randrange(len(b)), b.pop(at))
    return b


def cases(size: int) -> Iterator[Case]:
    rng = random.Random(size)
    for kind in ("unique", "tokens", "1 letter", "2 letters", "4 letters"):
        draw = keys(kind, rng)
        a = [draw() for _ in range(size)]
        yield Case(f"{kind}, 1 % edited", a, edited(a, draw, rng))
    period = [n % 2 for n in range(size)]
    yield Case("ping pong, 1 % edited", period, edited(period, lambda: rng.randrange(2), rng))
    yield Case("nothing in common", range(size), range(size, 2 * size))
    for kind in ("unique", "tokens", "4 letters"):
        draw = keys(kind, rng)
        a = [draw() for _ in range(size)]
        yield Case(f"{kind}, shuffled", a, rng.sample(a, k=len(a)))


def seconds(call: Callable[[], object]) -> float:
    """CPU seconds of a call, on average of as many as it takes to fill a tenth: some clocks tick in hundredths."""
    start, spent, calls = time.process_time(), 0.0, 0
    while spent < 0.1:
        call()
        calls += 1
        spent = time.process_time() - start
    return spent / calls


def peak(call: Callable[[], object]) -> float:
    """MiB that the call had allocated at most."""
    tracemalloc.start()
    try:
        call()
        return tracemalloc.get_traced_memory()[1] / MIB
    finally:
        tracemalloc.stop()


def by_difflib(case: Case) -> tuple[float, int] | None:
    """CPU seconds and pairs of the peer, or None when its patience was over."""

    def stop(signum: int, frame: FrameType | None) -> None:
        raise TooLong

    before = signal.signal(signal.SIGVTALRM, stop)
    signal.setitimer(signal.ITIMER_VIRTUAL, PATIENCE)

    def match() -> list[difflib.Match]:
        return difflib.SequenceMatcher(None, case.a, case.b, autojunk=False).get_matching_blocks()

    try:
        return seconds(match), sum(block.size for block in match())
    except TooLong:
        return None
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


def sequences() -> Table:
    table = Table(title="align: CPU seconds, beside difflib.SequenceMatcher")
    for heading in ("keys", "n", "seconds", "MiB", "paired", "coarse", "difflib", "ratio", "lost", "difflib lost"):
        table.add_column(heading, justify="left" if heading == "keys" else "right")
    for size in SIZES:
        for case in cases(size):
            pairs, coarse = align(case.a, case.b)
            own = seconds(lambda case=case: align(case.a, case.b))  # type: ignore[misc]
            row = [case.name, f"{size:,}", f"{own:.3f}", f"{peak(lambda case=case: align(case.a, case.b)):.0f}"]  # type: ignore[misc]
            row += [f"{len(pairs):,}", "yes" if coarse else ""]
            peer = by_difflib(case)
            if peer is None:
                row += [f"> {PATIENCE:.0f}", f"> {PATIENCE / own:.0f}", "", ""]
            else:
                less = (peer[1] - len(pairs)) / size * 100
                row += [f"{peer[0]:.3f}", f"{peer[0] / own:.1f}", f"{max(0, less):.1f} %", f"{max(0, -less):.1f} %"]
            table.add_row(*row)
        table.add_section()
    return table


def payloads() -> Table:
    table = Table(title="10 MiB of payload, and JSON: CPU seconds")
    for heading in ("what", "seconds", "MiB", "parts"):
        table.add_column(heading, justify="left" if heading == "what" else "right")
    for name, call in payload_calls():
        found = call()
        table.add_row(name, f"{seconds(call):.3f}", f"{peak(call):.0f}", f"{len(found):,}")
    return table


def payload_calls() -> Iterator[tuple[str, Callable[[], Sequence[object]]]]:
    rng = random.Random(10)
    vocabulary = ["".join(rng.choices("abcdefghijklm", k=rng.randrange(2, 9))) for _ in range(3000)]

    def prose() -> list[str]:
        return [word for _ in range(2 * MIB) for word in (rng.choice(vocabulary), rng.choice((" ", " ", ", ", ".\n")))]

    words = prose()
    text, other = "".join(words)[: 10 * MIB], "".join(prose())[: 10 * MIB]
    for _ in range(1000):
        words[2 * rng.randrange(len(words) // 2)] = "CHANGED"
    changed = "".join(words)[: 10 * MIB]
    size = f"{len(text) / MIB:.1f} MiB"
    yield (
        f"by_word, prose of {size}, one insertion",
        lambda: by_word(text, text[: len(text) // 2] + "!" + text[len(text) // 2 :]),
    )
    yield f"by_word, prose of {size}, 1,000 words changed", lambda: by_word(text, changed)
    yield f"by_word, prose of {size}, unlike", lambda: by_word(text, other)
    han = "日本" * (5 * MIB)
    yield "by_word, Han without spaces, both ends changed", lambda: by_word(han, "本" + han + "x")
    noise, otherwise = rng.randbytes(10 * MIB), rng.randbytes(10 * MIB)
    flipped = bytearray(noise)
    for _ in range(1000):
        flipped[rng.randrange(len(flipped))] ^= 255
        at = rng.randrange(len(flipped))
        del flipped[at : at + rng.randrange(2)]
    yield "by_byte, noise, 1,000 edits", lambda: by_byte(noise, bytes(flipped))
    yield "by_byte, noise, unlike", lambda: by_byte(noise, otherwise)
    zeros = bytes(10 * MIB)
    yield "by_byte, zeros, both ends changed", lambda: by_byte(zeros, b"1" + zeros + b"2")
    numbers = [rng.random() for _ in range(100_000)]
    some = [rng.random() if rng.random() < 0.01 else number for number in numbers]
    yield "compare, 100,000 numbers, 1 % changed", lambda: compare(numbers, some)
    yield "compare, 100,000 numbers, all changed", lambda: compare(numbers, [-number for number in numbers])
    objects: list[object] = [{"id": n, "at": [n, {"x": n}]} for n in range(20_000)]
    yield "compare, 20,000 objects, one dropped", lambda: compare(objects, objects[:7000] + objects[7001:])


if __name__ == "__main__":
    console = Console()
    console.print(sequences())
    console.print(payloads())
