"""What `wsproxy record` says while it runs: a line when a connection opens, one when it ends, trouble at once.

Strategy: lines go through a bounded queue to a thread, because a terminal that is stopped (or a pipe that nobody reads) must not stop the
traffic; what does not fit is counted. Trouble goes to standard error the same way.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from typing import IO

from ..recording.events import Event
from ..recording.view import View
from ..relay.news import Summary, Watcher
from ..secrets.masking import mask_text
from ..wire.events import C2S, S2C, WireEvent
from .screen import Line, Screen
from .text import close_code, count, escape, seconds, size
from .timeline import Timeline

_QUEUE = 10_000  # lines
_JOIN_SECONDS = 2.0


class ConnectionLog(Watcher):
    """Prints connections.

    Args:
        live: print each message too.
        quiet: print nothing but trouble.
    """

    def __init__(self, out: IO[str], err: IO[str], *, live: bool, quiet: bool) -> None:
        self._out = Screen(out)
        self._err = Screen(err)
        self._quiet = quiet
        self._lines: queue.Queue[tuple[Screen, Line] | None] = queue.Queue(_QUEUE)
        self._dropped = 0
        self._views: dict[int, tuple[View, Timeline, int]] = {}
        self._thread = threading.Thread(target=self._write, name="wsproxy-log", daemon=True)
        self._thread.start()
        self.events: Callable[[list[WireEvent]], None] | None = self._live if live and not quiet else None

    def listening(self, listeners: list[tuple[str, list[str]]], folder: str, control_port: int) -> None:
        """The relay is up: where it listens, and where each of these leads."""
        if self._quiet:
            return
        for url, upstreams in listeners:
            self._say([("wsproxy ", "bold"), (f"{url} → {', '.join(upstreams)}", "")])
        self._say([(f"        recording into {escape(folder)}, control on port {control_port}", "dim")])

    def opened(self, summary: Summary) -> None:
        if not self._quiet:
            self._say(
                [
                    (f"#{summary.conn} ", "dim"),
                    ("open ", "green"),
                    (escape(mask_text(summary.target)), ""),
                    (f"  from {summary.client}", "dim"),
                ]
            )

    def ended(self, summary: Summary) -> None:
        self._views.pop(summary.conn, None)
        if self._quiet:
            return
        up, down = summary.frames[C2S], summary.frames[S2C]
        passed = (
            f"→ {count(up, 'frame')} {size(summary.bytes[C2S])}  ← {count(down, 'frame')} {size(summary.bytes[S2C])}"
            if up or down
            else f"→ {size(summary.bytes[C2S])}  ← {size(summary.bytes[S2C])}"
        )
        line: Line = [
            (f"#{summary.conn} ", "dim"),
            ("end  ", "magenta"),
            (escape(mask_text(summary.target) or "(nothing asked)"), ""),
        ]
        if summary.status:
            line.append((f"  {summary.status}", "" if summary.status < 400 else "red"))
        line.append((f"  {passed}  {seconds(summary.seconds)}", ""))
        if summary.close_code is not None:
            line.append((f"  closed {close_code(summary.close_code)} by {summary.closed_by}", ""))
            if summary.close_reason:
                line.append((f": {escape(mask_text(summary.close_reason))}", ""))
        if summary.end:
            line.append((f"  {summary.end}", "yellow"))
        if summary.error:
            line.append((f"  upstream: {escape(mask_text(summary.error))}", "red"))
        if summary.file:
            line.append((f"  {escape(mask_text(summary.file))}", "dim"))
        self._say(line)

    def trouble(self, sentence: str) -> None:
        self._put(self._err, [("wsproxy: ", "bold red"), (escape(mask_text(sentence)), "")])

    def remark(self, sentence: str) -> None:
        if not self._quiet:
            self._put(self._err, [("wsproxy: ", "dim"), (escape(sentence), "dim")])

    def close(self) -> None:
        """Write what is queued, within two seconds."""
        try:
            self._lines.put(None, timeout=_JOIN_SECONDS)
        except queue.Full:
            return
        self._thread.join(_JOIN_SECONDS)

    def _live(self, events: list[WireEvent]) -> None:
        conn = events[0].conn
        found = self._views.get(conn)
        if found is None:
            found = (View(), Timeline(self._out.width - 5), events[0].t)
        view, timeline, start = found
        self._views[conn] = found
        for event in events:
            moved: Event = event._replace(t=event.t - start)
            for _, item in view.feed(0, moved):
                for line in timeline.lines(conn, item):
                    self._say(line)

    def _say(self, line: Line) -> None:
        self._put(self._out, line)

    def _put(self, screen: Screen, line: Line) -> None:
        try:
            self._lines.put_nowait((screen, line))
        except queue.Full:
            self._dropped += 1

    def _write(self) -> None:
        while (entry := self._lines.get()) is not None:
            screen, line = entry
            try:
                screen.print(line)
                if self._lines.empty():
                    screen.flush()
                if self._dropped and self._lines.qsize() < _QUEUE // 2:
                    dropped, self._dropped = self._dropped, 0
                    self._err.print([(f"wsproxy: {count(dropped, 'line')} not printed: output is not read", "yellow")])
            except (OSError, ValueError):
                pass  # nobody reads any more: the relay goes on
