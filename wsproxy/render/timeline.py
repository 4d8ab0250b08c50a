"""The timeline of a recording: one line per item, both directions, one order.

Strategy: every kind of item has a function that says its label, size and preview; `Timeline.lines` puts them into the same columns:

    number   time    +delta  arrow  what        size   preview

The preview is the pipeline's own words where an item is one of its messages, JSON or text otherwise, escaped and cut to the terminal's width.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, ClassVar

from ..analysis.pipeline import read_message, words
from ..recording.events import Event, Gap, Late, Marker, Open, Totals, Trailer, Unknown
from ..recording.messages import Message
from ..recording.view import HttpBody, Item, when
from ..secrets.masking import mask_data, mask_head, mask_json, mask_text
from ..wire.events import C2S, MASKED, End, Frame, Opaque, Part, Piece, Redacted, Request, Response
from ..wire.http1 import head_fields
from .screen import Line
from .text import close_code, count, escape, preview, seconds, size
from .withheld import why_withheld

OPCODES = {0: "cont", 1: "text", 2: "binary", 8: "close", 9: "ping", 10: "pong"}
_PREVIEWED = 4096  # bytes of binary data that are searched for secrets, for a preview of 32
_ASCII = bytes(byte if 32 <= byte < 127 else ord(".") for byte in range(256))  # of a hex dump
_OF_WEBSOCKET = (Message, Frame, Part)
_STYLES = {
    "START": "bold",
    "CHUNK": "",
    "END": "bold",
    "ERROR": "bold red",
    "close": "magenta",
    "ping": "dim",
    "pong": "dim",
    "GAP": "bold red",
    "opaque": "yellow",
    "open": "dim",
    "end": "dim",
}


@dataclass(slots=True)
class Row:
    """What a line says of an item, before it is put into columns."""

    label: str
    size: str = ""
    preview: str = ""
    marks: list[str] = field(default_factory=list)  # fragmented, incomplete …
    details: list[str] = field(default_factory=list)  # more of them, where there is room
    bad: bool = False


class Timeline:
    """Lines for items.

    Args:
        width: cells of a line.
        secrets: show credentials as they are.
        full: follow each line with the whole content, pretty-printed.
        hex: follow each line with a hex dump of the content.
    """

    def __init__(self, width: int, *, secrets: bool = False, full: bool = False, hex: bool = False) -> None:
        self._width = max(width, 40)
        self._secrets = secrets
        self._full = full
        self._hex = hex
        self._previous: int | None = None
        self._conn: int | None = None

    def lines(self, number: int, item: Message | HttpBody | Event) -> Iterator[Line]:
        """The line of an item, and its content where it was asked for."""
        row = self._row(item)
        if row is None:
            return
        t = when(item)
        delta = "" if self._previous is None else f"{(t - self._previous) / 1e9:+.4f}"
        self._previous = t
        dir = getattr(item, "dir", None)
        arrow, color = ("→", "cyan") if dir == C2S else ("←", "green") if dir else ("·", "dim")
        label = escape(row.label)
        if isinstance(item, _OF_WEBSOCKET):
            # A stream that was tried twice has two WebSockets: the second one's rows say so.
            self._conn = self._conn or item.conn
            if item.conn != self._conn:
                label = f"[{item.conn}] {label}"
        left = f"{number:>5} {t / 1e9:>8.4f} {delta:>8} "
        columns = f" {label:<7} {row.size:>9}  "
        room = self._width - len(left) - 1 - len(columns)
        marks = [*row.marks, *(row.details if self._width >= 100 else ())]
        marked = f"[{', '.join(marks)}]" if marks else ""
        shown = preview(f"{row.preview}{'  ' if row.preview and marked else ''}{marked}", room)
        yield [
            (left, "dim"),
            (arrow, color),
            (columns, _STYLES.get(row.label.split(" ")[0], color if row.label.isupper() else "")),
            (shown, "red" if row.bad else ""),
        ]
        if self._full or self._hex:
            yield from self._content(item)

    def _row(self, item: Message | HttpBody | Event) -> Row | None:
        describe = self._ROWS.get(type(item))
        return None if describe is None else describe(self, item)

    def _message(self, item: Message) -> Row:
        marks = [item.error] if item.error else ["redacted"] if item.redacted == MASKED else []
        if item.frames > 1:
            marks.append(count(item.frames, "fragment"))
        rest = (marks, [f"deflate {size(item.wire)}"] if item.compressed else [], item.error is not None)
        if item.opcode == 8:
            code = item.close_code
            return Row("close", "", f"{close_code(code or 1005)} {self._mask(item.close_reason)}".rstrip(), *rest)
        label = OPCODES.get(item.opcode, f"op {item.opcode}")
        length = size(len(item.data))
        if item.opcode == 2 or item.opcode > 8:
            return Row(label, length, self._hex_preview(item.data), *rest)
        message = read_message(item.json) if item.data[:1] == b"{" and len(item.data) < 8 << 20 else None
        if message is not None:
            return Row(message.type, length, self._mask(words(message)), *rest)
        return Row(label, length, self._mask(item.data[: 4 * self._width].decode("utf-8", "replace")), *rest)

    def _frame(self, item: Frame) -> Row:
        marks = [] if item.fin else ["not final"]
        if item.rsv:
            marks.append("+".join(name for bit, name in ((4, "RSV1"), (2, "RSV2"), (1, "RSV3")) if item.rsv & bit))
        marks.append("masked" if item.mask is not None else "unmasked")
        if len(item.payload) < item.length:
            marks.append(f"first {size(len(item.payload))}")
        why = None if self._secrets else why_withheld(item)
        shown = "" if why else self._hex_preview(item.payload)
        if item.opcode == 8 and len(item.payload) >= 2:
            shown = close_code(int.from_bytes(item.payload[:2], "big"))
        elif item.opcode == 1 and not item.rsv and not why:
            shown = self._mask(item.payload[: 4 * self._width].decode("utf-8", "replace"))
        return Row(OPCODES.get(item.opcode, f"op {item.opcode}"), size(item.length), shown, marks)

    def _request(self, item: Request) -> Row:
        fields = {name.lower(): value for name, value in head_fields(item.raw)}
        what = fields.get("sec-websocket-extensions") or fields.get("content-type") or fields.get("upgrade") or ""
        marks = [f"forwarded with Host {item.host}"] if item.host is not None else []
        return Row(item.method, size(len(item.raw)), f"{self._mask(item.target)}  {what}".rstrip(), marks)

    def _response(self, item: Response) -> Row:
        fields = {name.lower(): value for name, value in head_fields(item.raw)}
        what = fields.get("sec-websocket-extensions") or fields.get("content-type") or fields.get("upgrade") or ""
        said = ["said by the relay"] if item.by == "relay" else []
        return Row(str(item.status), size(len(item.raw)), f"{item.reason}  {what}".rstrip(), said, bad=bool(said))

    def _body(self, item: HttpBody) -> Row:
        marks = [] if item.complete else ["incomplete"]
        if item.omitted:
            marks.append(f"{size(item.omitted)} not kept")
        if item.redacted:
            marks.append("redacted" if item.redacted == MASKED else item.redacted)
        text = self._mask(item.data[: 4 * self._width].decode("utf-8", "replace"))
        return Row("body", size(item.wire), text, marks, bad=not item.complete)

    def _end(self, item: End) -> Row:
        what = {
            "fin": "FIN",
            "reset": "RESET",
            "aborted": "cut off: the other side went away",
            "stopped": "the relay stopped",
        }.get(item.how, item.how)
        lost = [f"{size(item.undelivered)} were read and not taken by the receiver"] if item.undelivered else []
        return Row("end", "", what, lost, bad=item.how == "reset")

    def _open(self, item: Open) -> Row:
        if item.error and not item.upstream:
            return Row("open", "", f"no upstream: {item.error}", bad=True)
        if item.error:
            return Row("open", "", self._mask(f"upstream {item.upstream} not reached: {item.error}"), bad=True)
        return Row("open", "", self._mask(f"{item.conn}: {item.client} to {item.upstream}"))

    def _opaque(self, item: Opaque) -> Row:
        # Four bytes tell a TLS hello from SSH, and of a secret no more than a mask does.
        shown = self._hex_preview(item.raw) if self._secrets else item.raw[:4].hex(" ") if item.reason else ""
        return Row("opaque", size(len(item.raw)), shown, [self._mask(item.reason)] if item.reason else [])

    def _redacted(self, item: Redacted) -> Row:
        marks = [count(item.frames, "frame")] if item.frames else []
        return Row("redacted", size(item.wire), f"{item.how}: the next event of this direction", marks)

    def _mask(self, text: str) -> str:
        return text if self._secrets else mask_text(text)

    def _hex_preview(self, data: bytes) -> str:
        start = data[:_PREVIEWED]
        return (start if self._secrets else mask_data(start))[:32].hex(" ")

    def _content(self, item: Message | HttpBody | Event) -> Iterator[Line]:
        """The whole content of an item, indented below its line."""
        data = getattr(item, "data", None)
        if isinstance(item, Frame | Part):
            data = item.payload
        elif isinstance(item, Request | Response):
            data = item.raw
            if not self._hex and not self._secrets:
                yield from _indented(mask_head(item.raw).replace("\r", "").rstrip("\n"))
                return
        elif isinstance(item, Opaque | Piece):
            data = item.raw
        if not isinstance(data, bytes) or not data:
            return
        why = None if self._secrets else why_withheld(item)
        if why:
            yield [(f"          ({why}: not shown without --show-secrets)", "yellow")]
        elif self._hex or (isinstance(item, Message) and item.opcode == 2) or isinstance(item, Frame | Part | Opaque):
            if not self._secrets and mask_data(data) != data:
                yield [("          (holds credentials: --show-secrets shows the bytes)", "yellow")]
            else:
                yield from hex_dump(data)
        else:
            yield from _indented(self._pretty(data))

    def _pretty(self, data: bytes) -> str:
        import json

        try:
            value: Any = json.loads(data)
            return json.dumps(value if self._secrets else mask_json(value), indent=2, ensure_ascii=False)
        except (ValueError, RecursionError):
            return self._mask(data.decode("utf-8", "replace"))

    _ROWS: ClassVar[dict[type, Callable[..., Row | None]]] = {
        Message: _message,
        HttpBody: _body,
        Frame: _frame,
        Part: lambda self, item: Row("  more", size(len(item.payload)), f"from byte {item.offset:,}"),
        Request: _request,
        Response: _response,
        Opaque: _opaque,
        Piece: lambda self, item: Row(
            "piece", size(len(item.raw)), self._hex_preview(item.raw) if self._secrets else "", ["incomplete"]
        ),
        Redacted: _redacted,
        End: _end,
        Open: _open,
        Gap: lambda self, item: Row(
            "GAP",
            size(item.bytes),
            f"{count(item.events, 'event')} not recorded for {seconds((item.until - item.t) / 1e9)}: {self._mask(item.reason)}",
        ),
        Late: lambda self, item: Row(
            "late",
            "",
            "the disk stalls: from here on events are forwarded before they are written"
            if item.until is None
            else f"{count(item.events, 'event')} of {seconds((item.until - item.t) / 1e9)} were written "
            f"up to {seconds(item.longest / 1e9)} after they were forwarded",
        ),
        Marker: lambda self, item: Row(
            "marker",
            "",
            f"{item.stage}{'' if item.index is None else f' #{item.index}'}",
            [self._mask(item.source)] if item.source else [],
        ),
        Unknown: lambda self, item: Row(f"({item.kind})", "", "an event of a newer version"),
        Totals: lambda self, item: None,
        Trailer: lambda self, item: None,
    }


def hex_dump(data: bytes) -> Iterator[Line]:
    """Offset, sixteen bytes, their ASCII."""
    for at in range(0, len(data), 16):
        row = data[at : at + 16]
        shown = row.translate(_ASCII).decode("ascii")
        yield [(f"          {at:08x}  ", "dim"), (f"{row.hex(' '):<47}", ""), (f"  {shown}", "dim")]


def _indented(text: str) -> Iterator[Line]:
    for line in escape(text.replace("\r\n", "\n"), lines=True).split("\n"):
        yield [("          " + line, "")]


__all__ = ["Item", "Timeline", "hex_dump"]
