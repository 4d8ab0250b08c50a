"""The digest of what passed in one direction, which proves that a recording holds what went by.

What it must tell: that the relay has read, cut, unmasked and packed without a fault, and that no disk and no copy has changed anything since. XXH64
overlooks one fault in 10^19. What no digest in the same file can tell, whatever its function, is that nobody *meant* to change it: who can change an
event can change the digest too. So it need not be a cryptographic one, and need not cost what that does.

Cost of XXH64, and of SHA-256, which recordings of format 1 have: 256 KiB in 19 µs (200), 300 bytes in 0.07 µs (0.3), 156 bytes for each one in
progress (252). XXH3 takes 6 µs for 256 KiB and keeps 716 bytes: a connection would weigh half as much again (`tests.benchmarks.choices`). With
SHA-256, and a thread of its own for that, frames of 256 KiB went by at 0.39 to 0.49 of HAProxy's rate on two processors.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Protocol

import xxhash

from .events import DIGEST, DIGEST_OF_1


class Digest(Protocol):
    """A digest in progress, as those of `hashlib`."""

    def update(self, data: bytes | memoryview, /) -> None: ...

    def hexdigest(self) -> str: ...

    def copy(self) -> Digest: ...


_FUNCTIONS: dict[str, Callable[[], Digest]] = {DIGEST: xxhash.xxh64, DIGEST_OF_1: hashlib.sha256}


def new_digest(name: str = DIGEST) -> Digest:
    """A digest of nothing so far; `name` as a recording's header has it."""
    return _FUNCTIONS[name]()
