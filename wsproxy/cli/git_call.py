"""How git calls an external diff (git(1), GIT_EXTERNAL_DIFF): seven arguments, nine for a renamed file, one for an unmerged one.

    path old-file old-hex old-mode new-file new-hex new-mode [new-path similarity]

Strategy: the hashes and modes give it away, and where there is only a path, the variable that git sets. A file that was added or deleted is
`/dev/null` on the other side.
"""

from __future__ import annotations

import os
import re
from typing import NamedTuple

_HEX = re.compile(r"[0-9a-f]{4,64}|\.")
_MODE = re.compile(r"[0-7]{6}|\.")
_NOTHING = (os.devnull, "/dev/null", "nul")


class GitCall(NamedTuple):
    """What git wants to see compared; a file is None where it is not on that side, and both are for an unmerged path."""

    path: str
    new_path: str
    old_file: str | None
    new_file: str | None


def git_call(args: tuple[str, ...]) -> GitCall | None:
    """The call, if these are the arguments of git."""
    if len(args) == 1 and "GIT_DIFF_PATH_TOTAL" in os.environ:
        return GitCall(args[0], args[0], None, None)
    if len(args) not in (7, 9):
        return None
    path, old_file, old_hex, old_mode, new_file, new_hex, new_mode = args[:7]
    if not all(map(_HEX.fullmatch, (old_hex, new_hex))) or not all(map(_MODE.fullmatch, (old_mode, new_mode))):
        return None
    new_path = args[7] if len(args) == 9 else path
    old, new = (None if file in _NOTHING else file for file in (old_file, new_file))
    return GitCall(path, new_path, old, new)
