"""`wsproxy replay`."""

from __future__ import annotations

import asyncio
import json
import math
import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..analysis.selection import LANGUAGE
from ..recording.folder import resolve
from ..recording.reader import Recording
from ..render.jsonl import dump
from ..render.replay import mismatch_line, ready_line, summary_lines
from ..render.screen import Screen
from ..replay.problems import ReplayError
from .completing import complete_rec

if TYPE_CHECKING:
    from ..analysis.diff.model import Diff
    from ..replay.pacing import Pace
    from ..replay.report import Mismatch, Report
    from ..replay.whatif import Edit

_SELECTORS = "\n".join(f"  {word:<20}{meaning}" for word, meaning in LANGUAGE.items())


@click.command(
    epilog=f"""\b
Examples:
  wsproxy replay @last --to ws://127.0.0.1:8081     be the client; compare
  wsproxy replay good.msgpack --serve :8081         be the server
  wsproxy replay good.msgpack --serve :8081 --delay 'grep:BLOCKED=+300ms'
  wsproxy replay recordings --serve :8081 --repeat  all of a folder
  wsproxy replay @last --to ws://127.0.0.1:8081 --pace max --fresh-ids

\b
A SELECTOR chooses messages of the side that is played; words with spaces
between them, all of which must hold:
{_SELECTORS}

\b
Exit status: 0 as recorded, 1 diverged, 2 trouble.
"""
)
@click.argument("recs", metavar="REC...", nargs=-1, required=True, shell_complete=complete_rec)
@click.option("--to", metavar="URL", help="Be the client, to this server: ws://HOST:PORT.")
@click.option("--serve", metavar="HOST:PORT", help="Be the server; :8081 is 127.0.0.1:8081. Takes folders, too.")
@click.option(
    "--dir", "folder", default="recordings", show_default=True, metavar="DIR", help="Folder of the recordings."
)
@click.option(
    "--match",
    type=click.Choice(["strict", "shape", "none"]),
    help="Compare every field but ids and times; type and order; nothing.  [default: with --to strict, with --serve shape]",
)
@click.option("--ignore", multiple=True, metavar="FIELD", help="A JSON field that may differ: name, or dotted path.")
@click.option(
    "--pace",
    type=click.Choice(["recorded", "max"]),
    default="recorded",
    show_default=True,
    help="Recorded pauses, or none. An answer never comes before what it answers.",
)
@click.option("--speed", type=float, metavar="N", help="N times as fast.")
@click.option("--max-idle", type=float, metavar="SECONDS", help="No pause is longer.")
@click.option("--delay", multiple=True, metavar="SELECTOR=+130ms", help="Hold messages back (ms, s).")
@click.option("--drop", multiple=True, metavar="SELECTOR", help="Leave messages out.")
@click.option("--duplicate", multiple=True, metavar="SELECTOR", help="Say them twice.")
@click.option("--swap", multiple=True, metavar="SELECTOR", help="Say them after the message that follows.")
@click.option("--corrupt", multiple=True, metavar="SELECTOR", help="Invert the middle byte of their content.")
@click.option("--truncate-after", type=click.IntRange(0), metavar="N", help="Say nothing more after N messages; stay.")
@click.option(
    "--close-with", type=click.IntRange(0, 65535), metavar="CODE", help="Close with this code, --after N messages."
)
@click.option("--after", type=click.IntRange(0), metavar="N", help="For --close-with.")
@click.option("--reset-after", type=click.IntRange(0), metavar="N", help="Abort the connection after N messages.")
@click.option("--fresh-ids", is_flag=True, help="A new stream id in path, headers and payloads (with --to).")
@click.option("--set", "sets", multiple=True, metavar="JSONPATH=VALUE", help="Set it in each message that has it.")
@click.option("--header", "headers", multiple=True, metavar="'NAME: VALUE'", help="Send this header (with --to).")
@click.option(
    "--var", "names", multiple=True, metavar="NAME", help="${NAME} in --set and --header is from the environment."
)
@click.option("--repeat", is_flag=True, help="Play a recording again when all were played (with --serve).")
@click.option(
    "--record",
    metavar="DIR",
    help="Folder for the recording of the replay.  [default: with --to, that of REC; with --serve, none]",
)
@click.option(
    "--timeout", type=float, metavar="SECONDS", help="Give up a peer that owes something.  [default: 10 with --to]"
)
@click.option("--json", "as_json", is_flag=True, help="JSON Lines: what is served, each difference, the sum.")
@click.option("--ready-fd", type=int, hidden=True, help="Write a JSON line with the port to this descriptor.")
def command(recs: tuple[str, ...], folder: str, **options: Any) -> int:
    """Play one side of a recording to a real peer, and say where it diverges.

    With --to the client is played to a server; with --serve the server to clients, the stream id of each in place of
    the recorded one. Frames go out as they were recorded, at the recorded pace, never before what they answer.
    """
    to, serve = options["to"], options["serve"]
    if (to is None) == (serve is None):
        raise click.UsageError("say --to URL (be the client) or --serve HOST:PORT (be the server)")
    for name in ("fresh_ids", "headers"):
        if serve is not None and options[name]:
            raise click.UsageError(
                f"--{name.replace('_', '-').rstrip('s')} is for --to: a served client brings its own"
            )
    options["match"] = options["match"] or ("strict" if to is not None else "shape")
    sources = [rec if serve is not None and Path(rec).is_dir() else str(resolve(rec, folder)) for rec in recs]
    if to is not None:
        if len(sources) > 1:
            raise click.UsageError("--to plays one recording; --serve takes several")
        return _play(Path(sources[0]), to, options)
    return _serve(sources, serve, options)


def _play(path: Path, url: str, options: dict[str, Any]) -> int:
    from ..replay.client import TIMEOUT, play
    from ..replay.handshake import read_header
    from ..replay.identities import filled
    from ..replay.loop import run

    variables = _variables(options)
    voice = _Voice(as_json=options["as_json"])
    report = run(
        play(
            path,
            url,
            edits=_edits(options, variables),
            pace=_pace(options),
            match=options["match"],
            ignore=options["ignore"],
            headers=[read_header(filled(text, variables)) for text in options["headers"]],
            fresh_ids=options["fresh_ids"],
            record=options["record"] or path.parent,
            timeout=_seconds("--timeout", options["timeout"]) or TIMEOUT,
            on_mismatch=voice.mismatch,
        )
    )
    voice.sum(report)
    made = _compared(Recording(path), report, options)
    if made is None:
        return report.exit_status
    if not made.same:
        voice.differences(made)
    return max(report.exit_status, made.exit_status)


def _compared(recorded: Recording, report: Report, options: dict[str, Any]) -> Diff | None:
    """What the server said then against what it said now; None where messages alone are compared, as they come."""
    if options["match"] != "strict" or not report.recordings:
        return None
    from ..analysis.diff.compare import diff
    from ..analysis.diff.model import Options

    ignored = tuple(field if "." in field else f"**.{field}" for field in options["ignore"])
    made = diff(recorded, Recording(report.recordings[-1]), Options(dirs=("s2c",), ignore=ignored))
    return made if made.a.state == "finished" else None  # what is cut off has no end to compare


def _serve(sources: list[str], address: str, options: dict[str, Any]) -> int:
    from ..replay.loop import run
    from ..replay.server import Server, serve

    host, port = _address(address)
    voice = _Voice(as_json=options["as_json"])
    server = serve(
        sources,
        host,
        port,
        edits=_edits(options, _variables(options)),
        pace=_pace(options),
        match=options["match"],
        ignore=options["ignore"],
        repeat=options["repeat"],
        record=options["record"],
        timeout=_seconds("--timeout", options["timeout"]),
        on_mismatch=voice.mismatch,
    )

    async def main(server: Server) -> None:
        stop = asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        async with server:
            voice.ready(server)
            if options["ready_fd"] is not None:
                with os.fdopen(options["ready_fd"], "w") as pipe:
                    pipe.write(json.dumps({"ready": "replay", "port": server.port}) + "\n")
            await stop.wait()
            await server.close(grace=0)

    _raise_descriptor_limit()
    run(main(server))
    voice.sum(server.report)
    return server.report.exit_status


class _Voice:
    """Says things, to a person or to a program."""

    def __init__(self, *, as_json: bool) -> None:
        self._as_json = as_json
        self._screen = Screen()

    def ready(self, server: Any) -> None:
        served = server.places.listing()
        if self._as_json:
            click.echo(dump({"kind": "serving", "url": server.url, "served": served}))
        else:
            recordings = len({id(one.scenario) for one in (*server.places.websockets, *server.places.answers)})
            self._screen.print(ready_line(server.url, recordings, served))
        self._screen.flush()

    def mismatch(self, mismatch: Mismatch) -> None:
        try:
            if self._as_json:
                click.echo(dump(mismatch.to_json()))
            else:
                self._screen.print(mismatch_line(mismatch))
            self._screen.flush()
        except BrokenPipeError:
            pass  # nobody reads that any more; the replay goes on

    def sum(self, report: Report) -> None:
        """What was played, and how it went."""
        if self._as_json:
            click.echo(dump(report.summary()))
        else:
            for line in summary_lines(report):
                self._screen.print(line)

    def differences(self, made: Diff) -> None:
        """What the server says otherwise than in the recording, as `wsproxy diff` says it."""
        from ..render.diff.jsonl import diff_objects
        from ..render.diff.page import diff_lines
        from ..render.diff.view import View

        if self._as_json:
            for one in diff_objects(made, secrets=False):
                click.echo(dump(one))
        else:
            self._screen.print([])
            for line in diff_lines(made, View(self._screen.width)):
                self._screen.print(line)


def _edits(options: dict[str, Any], variables: dict[str, str]) -> list[Edit]:
    from ..replay import whatif
    from ..replay.identities import parse_set

    edits = [parse_set(text, variables) for text in options["sets"]]
    for name in ("drop", "duplicate", "swap", "corrupt"):
        edits += [getattr(whatif, name)(selector) for selector in options[name]]
    edits += [whatif.parse_delay(text) for text in options["delay"]]
    if options["truncate_after"] is not None:
        edits.append(whatif.truncate_after(options["truncate_after"]))
    if (options["close_with"] is None) != (options["after"] is None):
        raise click.UsageError("--close-with CODE and --after N go together")
    if options["close_with"] is not None:
        edits.append(whatif.close_with(options["close_with"], after=options["after"]))
    if options["reset_after"] is not None:
        edits.append(whatif.reset_after(options["reset_after"]))
    return edits


def _pace(options: dict[str, Any]) -> Pace:
    from ..replay import pacing

    if options["pace"] == "max":
        if options["speed"] is not None or options["max_idle"] is not None:
            raise click.UsageError("--pace max has no pauses: leave --speed and --max-idle out")
        return pacing.at_once
    try:
        paces = [] if options["max_idle"] is None else [pacing.max_idle(options["max_idle"])]
        paces += [] if options["speed"] is None else [pacing.speed(options["speed"])]
    except ValueError as error:
        raise ReplayError(str(error)) from None
    return pacing.compose(*paces) if paces else pacing.recorded


def _variables(options: dict[str, Any]) -> dict[str, str]:
    from ..replay.identities import read_variables

    return read_variables(options["names"], os.environ)


def _seconds(option: str, value: float | None) -> float | None:
    if value is not None and not (math.isfinite(value) and value > 0):
        raise click.UsageError(f"{option}: give a number of seconds above 0")
    return value


def _address(text: str) -> tuple[str, int]:
    host, colon, port = text.rpartition(":")
    if not (colon or text.isdigit()) or not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise click.UsageError(f"--serve {text}: not HOST:PORT with a port from 0 to 65535")
    return host.strip("[]") or "127.0.0.1", int(port)


def _raise_descriptor_limit() -> None:
    """Two descriptors per connection: take what the hard limit gives."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        except (ValueError, OSError):
            pass  # some systems say "unlimited" and mean less
