"""Which characters do something to a terminal, or to the text around them."""

from __future__ import annotations

import unicodedata

# Category Cf that acts on what stands around it (bidi, joiners, tags, annotations, deprecated format controls). The rest of Cf are
# visible signs (Arabic number signs and the like).
ACTING = {
    *range(0x200B, 0x2010),
    *range(0x202A, 0x202F),
    *range(0x2060, 0x2070),
    0xAD,
    0x61C,
    0x180E,
    0xFEFF,
    *range(0xFFF9, 0xFFFC),
}
ACTING |= set(range(0xE0000, 0xE0080))


def acts(char: str) -> bool:
    return unicodedata.category(char) in ("Cc", "Cs", "Co", "Zl", "Zp") or ord(char) in ACTING
