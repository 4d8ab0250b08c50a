"""The message view and what `show`, `trace` and `diagnose` make of it: any events become items, lines and JSON, none of which acts."""

from __future__ import annotations

from wsproxy.analysis.diagnose import diagnose
from wsproxy.analysis.selection import content, names
from wsproxy.analysis.trace import trace
from wsproxy.recording.messages import Message
from wsproxy.recording.view import HttpBody, in_time_order, items
from wsproxy.render.diagnosis import diagnosis_lines
from wsproxy.render.ending import ending_lines
from wsproxy.render.jsonl import dump, item_object
from wsproxy.render.lanes import trace_lines
from wsproxy.render.timeline import Timeline

from .files import TOKENS as OF_FILES
from .files import MemoryFile, assert_plain, recording

LIMIT = 1 << 16
TOKENS = [
    *OF_FILES,
    *(b'{"type":"CHUNK","data":', b'{"type":"START","data":{}}', b'{"type":"END"}', b'{"type":"ERROR","error":"', b'"choices":[{"delta":{"content":'),
    *(b"sec-websocket-extensions: permessage-deflate\r\n", b"content-encoding: gzip\r\n", b"transfer-encoding: chunked\r\n"),
    *(b"policy.chunk_in", b"endpoint.chunk_out", b"callback.yielded", b"ws.sent", b"1e999", b"NaN", b"-0", b"[[[[", b"\\ud800"),
]  # fmt: skip
_file = MemoryFile()


def check(data: bytes) -> None:
    rec = recording(_file, data)
    for frames in (False, True):
        timeline = Timeline(80, full=True, hex=frames)
        for number, item in in_time_order(items(rec.events(), frames=frames, limit=LIMIT)):
            if isinstance(item, Message | HttpBody):
                assert len(item.data) <= LIMIT
            assert_plain(timeline.lines(number, item))
            assert "\n" not in dump(item_object(number, item, secrets=False))
            assert names(item)
            content(item)
    assert rec.ending is not None
    assert_plain(ending_lines(rec.ending))
    judged, followed = diagnose(rec), trace(rec)
    assert judged.exit_status in (0, 1)
    assert_plain([*diagnosis_lines(judged, 80), *trace_lines(followed, 80)])
    for line in [*judged.to_json(), *followed.to_json()]:
        assert "\n" not in dump(line)
