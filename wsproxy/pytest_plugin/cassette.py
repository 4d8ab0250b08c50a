"""What the fixture gives to a test: URLs, and at the end a verdict.

Strategy: a tape per upstream, made when its URL is asked for, numbered in that order. All troubles of all tapes are told together, in one
failure; those that come up when the test has failed by itself stand beside its own words.
"""

from __future__ import annotations

from urllib.parse import SplitResult, urlsplit

from .settings import Mode, Settings, fail
from .tape import Tape

_PORTS = {"ws": 80, "http": 80, "wss": 443, "https": 443}


class Cassette:
    """The recorded servers of one test.

    `cassette(URL)` gives the URL to connect to in place of a real one: the same scheme and path on this machine. WebSockets and plain HTTP
    share the port. Works for any client, in any thread or event loop.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._tapes: dict[tuple[str, int], Tape] = {}

    @property
    def mode(self) -> Mode:
        """What is done: "once", "none", "all" or "new"."""
        return self._settings.mode

    @property
    def url(self) -> str:
        """The URL in place of the marker's upstream."""
        if self._settings.upstream is None:
            fail(
                f"wsproxy_cassette.url in {self._settings.test} needs an upstream: mark the test with "
                '@pytest.mark.wsproxy_cassette("ws://HOST:PORT"), or call wsproxy_cassette("ws://HOST:PORT")'
            )
        return self(self._settings.upstream)

    def __call__(self, upstream: str) -> str:
        """The URL in place of an upstream's. The first upstream of a test is its first cassette, another one its second.

        Args:
            upstream: ws://HOST:PORT or http://HOST:PORT, with or without a path. Not contacted when it is played.
        """
        real, port = self._read(upstream)
        key = (real.hostname or "", port)
        if key not in self._tapes:
            self._tapes[key] = Tape(self._settings, len(self._tapes) + 1, real)
        return self._tapes[key].url(real)

    def check(self) -> None:
        """The test has ended well: fail it where its cassettes say otherwise."""
        troubles = [trouble for tape in self._tapes.values() for trouble in tape.troubles()]
        if troubles:
            fail("\n".join(troubles))

    def explain(self) -> None:
        """The test has failed: fail it in our words where its real server was not there, which its own can only hint at."""
        causes = [cause for tape in self._tapes.values() for cause in tape.not_reached()]
        if causes:
            fail("\n".join(causes))

    def remarks(self) -> str:
        """The test has failed: what its cassettes have to say to that."""
        tapes = self._tapes.values()
        return "\n".join(said for tape in tapes for said in (*tape.troubles(), *tape.notes()))

    def finish(self, *, passed: bool) -> None:
        """The end of the fixture. Fails it where something has come up since `check`, or a cassette could not be kept."""
        troubles: list[str] = []
        for tape in self._tapes.values():
            troubles += tape.finish(passed=passed)
        self._tapes.clear()
        if troubles:
            fail("\n".join(troubles))

    def _read(self, upstream: str) -> tuple[SplitResult, int]:
        try:
            real = urlsplit(upstream)
            port = real.port or _PORTS[real.scheme]
        except (ValueError, KeyError, AttributeError):
            fail(f"wsproxy_cassette({upstream!r}) in {self._settings.test}: not a URL; write ws://HOST:PORT")
        if not real.hostname:
            fail(f"wsproxy_cassette({upstream!r}) in {self._settings.test}: no host; write ws://HOST:PORT")
        return real, port
