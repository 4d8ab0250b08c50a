"""What `wsproxy redact` says of a copy."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ..secrets.copy import Copied
from ..secrets.masking import mask_text
from ..wire.events import DECODED, MASKED, WITHHELD
from .ending import ending_lines
from .screen import Line
from .text import count, escape


def copy_lines(copied: Copied, problems: list[str]) -> Iterator[Line]:
    """The copy and what is redacted in it; then what the original lacked."""
    masked, decoded, withheld = (copied.redacted.get(how, 0) for how in (MASKED, DECODED, WITHHELD))
    words = f"{count(masked, 'event')} masked" if masked else "no secret in what crossed the wire"
    words += f", {decoded:,} stored decoded because they depended on these" if decoded else ""
    words += f", {withheld:,} withheld because they cannot be read" if withheld else ""
    yield [(escape(str(copied.path)), "bold"), (": ", ""), (words, "")]
    for problem in problems:
        yield [("  the original: " + escape(mask_text(problem)), "red")]
    yield from ending_lines(copied.ending)


def copy_object(original: str, copied: Copied, problems: list[str]) -> dict[str, Any]:
    """The same for programs."""
    return {
        "kind": "copy",
        "original": original,
        "path": str(copied.path),
        "state": copied.ending.state,
        "redacted": copied.redacted,
        "problems": [mask_text(problem) for problem in problems],
    }
