"""How Python runs in every process that tests start: development mode (asyncio's too), warnings as errors.

Both stand in the environment, so that they are inherited; `LENIENT` takes them away again, for programs that are not ours. In a process of
its own a warning out of a destructor ends on standard error: `complaints` finds it there.
"""

from __future__ import annotations

STRICT = {"PYTHONDEVMODE": "1", "PYTHONWARNINGS": "error"}
LENIENT = dict.fromkeys(STRICT, "")

NEVER = (
    "ResourceWarning",
    "was never awaited",
    "exception was never retrieved",
    "Task was destroyed but it is pending",
)


def complaints(text: str) -> list[str]:
    """The lines of a log, or of standard error, that no process of ours may write."""
    return [line for line in text.splitlines() if any(words in line for words in NEVER)]
