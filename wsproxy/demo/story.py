"""What happened, told to a person.

Strategy: pure functions from an `Answer` and a `Decision` to a few lines of plain text; the command draws
them. The two agree when the client got what the policy put out, no more and no less.
"""

from __future__ import annotations

from dataclasses import dataclass

from wsproxy.demo.outcome import Answer, Decision

_PREVIEW = 72
_VERBS = {
    "passed": "to let it pass",
    "rewrote": "to rewrite it",
    "blocked": "to block it",
    "failed": "nothing, it failed",
}


@dataclass(frozen=True)
class Story:
    """One question told: pairs of who and what, a conclusion, and whether both ends agree."""

    lines: tuple[tuple[str, str], ...]
    conclusion: str
    agree: bool

    def __str__(self) -> str:
        width = max(len(who) for who, _ in self.lines)
        return "\n".join([*(f"{who:<{width}}  {what}" for who, what in self.lines), self.conclusion])


def tell(prompt: str, answer: Answer, decision: Decision | None) -> Story:
    """Tell what was asked, what the policy decided and what the client got; and whether these two agree."""
    agree = decision is not None and _same(answer, decision)
    lines = (
        ("the client asked:", _quoted(prompt)),
        ("the policy decided:", _decided(decision)),
        ("the client got:", _got(answer)),
    )
    return Story(lines=lines, conclusion=_conclusion(answer, decision, agree=agree), agree=agree)


def _same(answer: Answer, decision: Decision) -> bool:
    return (answer.text, answer.tool_arguments) == (decision.text, decision.tool_arguments)


def _decided(decision: Decision | None) -> str:
    if decision is None:
        return "nothing: it never saw the stream, or never came back"
    verb = _VERBS.get(decision.decided, decision.decided)
    return f"{verb}: {_content(decision.text, decision.tool_arguments)} ({_sent(decision)})"


def _sent(decision: Decision) -> str:
    if decision.sent_at is None:
        return "sent nothing, by its log"
    if decision.last_chunk_at is None:
        return "sent, by its log"
    late = 1000 * (decision.sent_at - decision.last_chunk_at)
    return f"sent, by its log, {late:.0f} ms after the last chunk came in"


def _got(answer: Answer) -> str:
    end = "[DONE]" if answer.done else "a broken stream"
    return f"{_content(answer.text, answer.tool_arguments)}, then {end} after {1000 * answer.seconds:.0f} ms"


def _content(text: str, tool_arguments: str) -> str:
    parts = [_quoted(text)] if text else []
    if tool_arguments:
        parts.append(f"a tool call with {_shortened(tool_arguments)}")
    return " and ".join(parts) or "nothing"


def _conclusion(answer: Answer, decision: Decision | None, *, agree: bool) -> str:
    got = bool(answer.text or answer.tool_arguments)
    if decision is None:
        return "No policy was asked: the client got the stream unfiltered." if got else "No decision, and no answer."
    if decision.decided == "failed":
        return "The policy failed" + ("; the client got what it had put out before." if agree else ".")
    if agree:
        return "They agree: the client got what the policy put out."
    what = "the block" if decision.decided == "blocked" else "what the policy put out"
    if not got:
        return f"They do NOT agree: the control plane says that it sent {what}; it never reached the client."
    return f"They do NOT agree: what the client got is not {what}."


def _quoted(text: str) -> str:
    return f"\u201c{_shortened(text)}\u201d"


def _shortened(text: str) -> str:
    return text if len(text) <= _PREVIEW else f"{text[: _PREVIEW - 1].rstrip()}\u2026"
