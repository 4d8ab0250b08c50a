"""The questions that the tests and the samples ask, and what the client gets for them.

Strategy: a table. Every answer is a pure function of the question (the backend's ids and times included), but for the
slow judge: whether that one is heard is the callback's doing.
"""

from __future__ import annotations

from .bed import Question

SLOW_JUDGE = 0.3
"""Seconds that a slow judge thinks: three times as long as the callback listens."""

TEXT = "Hello, this is the demo's backend: all is well ☕é."
SQL = '{"query": "DROP TABLE users"}'
BLOCKED = "BLOCKED by judge (p=0.97): destructive SQL (DROP)"

PASSED = Question("Say hello")
SHOUTED = Question("Say hello", policy="allcaps")
LONG = Question("Tell a long story")
TOOL_PASSED = Question("drop the table")
TOOL_ALLOWED = Question("drop the table", policy="indulgent")
BLOCK_DELIVERED = Question("drop the table", policy="judge")
BLOCK_LOST = Question("drop the table", policy="judge", judge_delay=SLOW_JUDGE)
BLOCK_AWAITED = Question("drop the table", policy="judge", judge_delay=SLOW_JUDGE, fixed=True)
POLICY_FAILS = Question("Say hello", policy="raises")
CHUNK_INCOMPLETE = Question("Say hello", policy="incomplete")
CHUNK_GARBLED = Question("Say hello", garbled=True)

# Without the failing policy: how far the callback gets before it reads of the failure is a race.
QUESTIONS = {
    "passed": PASSED,
    "shouted": SHOUTED,
    "long": LONG,
    "tool passed": TOOL_PASSED,
    "tool allowed": TOOL_ALLOWED,
    "block delivered": BLOCK_DELIVERED,
    "block lost": BLOCK_LOST,
    "block awaited": BLOCK_AWAITED,
}
