"""What changed between two texts, by word, and between two byte strings, by offset.

Strategy: the same for both, in three steps that become finer.
1. What is common at the start and at the end is split off by bisection with slices, at the speed of memcmp, up to a boundary of tokens.
2. A middle of more than `FINE` is cut into chunks that its *content* bounds (white space, a rare byte), so that both sides
   are cut alike wherever they are alike; the chunks are aligned.
3. What then is left over is aligned by token (word, byte) if it is small, and is one change if it is not.

Words: a run of word characters, a run of white space, a single other character. Scripts that write without spaces go by character.
Combining marks, variation selectors, skin tones and joined emoji stay with their base.
What is the same between two changes but says nothing, a separator or three bytes by chance, is taken into the change.

Cost: O(n) with a small factor at C's speed, and at most `FINE_IN_ALL` tokens at Python's speed.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import chain
from typing import Literal, NamedTuple, TypeVar

from ..align import align
from .letters import tokens, whole_tokens_after, whole_tokens_before

FINE = 1 << 18  # characters or bytes of both sides that are compared one by one, in one place: some 200 ms
FINE_IN_ALL = 1 << 20
SAMPLE = 4096  # characters or bytes of each side that tell which are rare
RARE = 32  # one in so many ends a chunk
SEPARATOR = 3  # characters of a separator that is taken into the changes around it

Stretch = TypeVar("Stretch", str, bytes)


class Piece(NamedTuple):
    """A part of both texts, or of one of them."""

    kind: Literal["same", "removed", "added"]
    text: str


class ByteEdit(NamedTuple):
    """One place where two byte strings differ."""

    a_offset: int  # where it begins in A, bytes
    b_offset: int
    a: bytes  # what stood there
    b: bytes  # what stands there now


class _Span(NamedTuple):
    """`a[i:p]` became `b[j:q]`."""

    i: int
    p: int
    j: int
    q: int

    @property
    def size(self) -> int:
        """Of the longer side."""
        return max(self.p - self.i, self.q - self.j)


def by_word(a: str, b: str) -> list[Piece]:
    """What makes text `b` of text `a`, in words.

    Returns:
        Pieces in order. Those that are not added spell `a`, those that are not removed spell `b`. Neighbours differ in kind, and of
        a removed and an added one at the same place the removed one is first.
    """
    head = whole_tokens_before(a, b, _common_start(a, b))
    rest = min(len(a), len(b)) - head
    tail = whole_tokens_after(a, b, min(_common_end(a, b), rest), head)
    middle = _Span(head, len(a) - tail, head, len(b) - tail)
    spans = _differing(a, b, middle, _chunks_of_text, tokens)
    return list(_pieces(a, b, _joined(spans, partial(_chaff, a))))


def by_byte(a: bytes, b: bytes) -> list[ByteEdit]:
    """What makes `b` of `a`: edits in order of their offsets, with at least a byte between them that is the same."""
    head = _common_start(a, b)
    tail = min(_common_end(a, b), min(len(a), len(b)) - head)
    middle = _Span(head, len(a) - tail, head, len(b) - tail)
    spans = _differing(a, b, middle, _chunks_of_bytes, _single_bytes)
    return [ByteEdit(i, j, a[i:p], b[j:q]) for i, p, j, q in _joined(spans, _coincidence)]


def _single_bytes(stretch: bytes) -> list[bytes]:
    return [stretch[n : n + 1] for n in range(len(stretch))]


def _chunks_of_text(sample: str) -> Callable[[str], list[str]]:
    """Cut at white space and punctuation; where there is none within 64, at rare characters, which may cut a word.

    A chunk is at least 48 long, so that a long repetition makes no millions, and at most some 256.
    """
    rare = "".join(map(re.escape, _rare(sample)))
    return re.compile(rf".{{48}}(?:[^\s.,;:}}\]]{{0,64}}+[\s.,;:}}\]]+|[^{rare}]{{0,207}}.?)|.+", re.DOTALL).findall


def _chunks_of_bytes(sample: bytes) -> Callable[[bytes], list[bytes]]:
    rare = b"".join(re.escape(bytes((byte,))) for byte in _rare(sample))
    return re.compile(rb".{48}[^%b]{0,207}.?|.+" % rare, re.DOTALL).findall


Letter = TypeVar("Letter", str, int)


def _rare(sample: Iterable[Letter]) -> list[Letter]:
    """The rarest ones, as many as it takes to make up a share of `1 / RARE`."""
    counts = Counter(sample)
    wanted = counts.total() / RARE
    rare: list[Letter] = []
    for letter in sorted(counts, key=lambda letter: (counts[letter], letter)):
        rare.append(letter)
        wanted -= counts[letter]
        if wanted <= 0:
            break
    return rare


def _differing(
    a: Stretch,
    b: Stretch,
    middle: _Span,
    chunks: Callable[[Stretch], Callable[[Stretch], list[Stretch]]],
    finest: Callable[[Stretch], list[Stretch]],
) -> list[_Span]:
    i, p, j, q = middle
    if i == p or j == q or p - i + q - j <= FINE:
        return list(_aligned(a, b, middle, finest))
    sample = a[i : p : (p - i) // SAMPLE + 1] + b[j : q : (q - j) // SAMPLE + 1]
    left = FINE_IN_ALL
    spans: list[_Span] = []
    for span in _aligned(a, b, middle, chunks(sample)):
        size = span.p - span.i + span.q - span.j
        if span.p > span.i and span.q > span.j and size <= min(FINE, left):
            left -= size
            spans += _aligned(a, b, span, finest)
        else:
            spans.append(span)
    return spans


def _aligned(a: Stretch, b: Stretch, span: _Span, cut: Callable[[Stretch], list[Stretch]]) -> Iterator[_Span]:
    """What differs in a span, cut into parts."""
    i, p, j, q = span
    if i == p or j == q:
        if i < p or j < q:
            yield span
        return
    one, two = cut(a[i:p]), cut(b[j:q])
    starts, others = _offsets(one, i), _offsets(two, j)
    m = n = 0
    for x, y in chain(align(one, two).pairs, [(len(one), len(two))]):
        if x > m or y > n:
            yield _Span(starts[m], starts[x], others[n], others[y])
        m, n = x + 1, y + 1


def _offsets(parts: Sequence[str | bytes], start: int) -> list[int]:
    offsets = [start]
    for part in parts:
        start += len(part)
        offsets.append(start)
    return offsets


def _common_start(a: Stretch, b: Stretch) -> int:
    """Length of the common beginning. O(n) in all: each half is compared once."""
    low, high = 0, min(len(a), len(b))
    while low < high:
        middle = (low + high + 1) // 2
        if a[low:middle] == b[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low


def _common_end(a: Stretch, b: Stretch) -> int:
    low, high = 0, min(len(a), len(b))
    while low < high:
        middle = (low + high + 1) // 2
        if a[len(a) - middle : len(a) - low] == b[len(b) - middle : len(b) - low]:
            low = middle
        else:
            high = middle - 1
    return low


def _joined(spans: list[_Span], idle: Callable[[_Span, _Span], bool]) -> list[_Span]:
    """The spans, two of them as one where what stands between says nothing."""
    joined: list[_Span] = []
    for span in spans:
        while joined and (joined[-1].p == span.i or idle(joined[-1], span)):
            last = joined.pop()
            span = _Span(last.i, span.p, last.j, span.q)
        joined.append(span)
    return joined


def _chaff(a: str, last: _Span, span: _Span) -> bool:
    """Whether the text between two changes says nothing: a separator, or little beside what changed around it, as a single "the" in
    two sentences that are unlike. What was only dropped, or only inserted, stays in its parts, and so do lines."""
    length = span.i - last.p
    if length > SEPARATOR and length * 4 > min(last.size, span.size):
        return False
    between = a[last.p : span.i]
    replaced = (last.p > last.i or span.p > span.i) and (last.q > last.j or span.q > span.j)
    separator = length <= SEPARATOR and not any(char.isalnum() for char in between)
    return replaced and "\n" not in between and (separator or length * 4 <= min(last.size, span.size))


def _coincidence(last: _Span, span: _Span) -> bool:
    """Whether the bytes between two changes are likely to be the same by chance."""
    return span.i - last.p < min(4, last.size, span.size)


def _pieces(a: str, b: str, spans: list[_Span]) -> Iterator[Piece]:
    at = 0
    for i, p, j, q in spans:
        if i > at:
            yield Piece("same", a[at:i])
        if p > i:
            yield Piece("removed", a[i:p])
        if q > j:
            yield Piece("added", b[j:q])
        at = p
    if at < len(a):
        yield Piece("same", a[at:])
