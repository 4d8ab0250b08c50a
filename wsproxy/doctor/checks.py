"""The checks, in the order in which things must be right.

Strategy: a check is a function of the `Case` that returns what it found, in a sentence, and where something is wrong, what to do. The relay is asked
once how it stands (/v1/status): it knows its folder, its disk and its way upstream; what it cannot know (this environment, LiteLLM) is looked
at from here.
Nothing stays behind: the one marker that is sent makes a recording of its own, which the relay removes when it was asked what is in it.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias
from urllib.parse import urlsplit

from .asking import Answer, NoAnswer, ask

State: TypeAlias = Literal["fine", "wrong", "unknown"]

LITTLE, SHARE = 1 << 30, 0.05  # bytes, or part of the disk, below which it is not roomy
STEP_SECONDS = 0.1  # of the wall clock against the monotonic one, since the relay started
APART_SECONDS = 1.0  # the relay's wall clock and ours


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check found. `advice` is what to do about it; "" where there is nothing to do."""

    check: str
    state: State
    words: str
    advice: str = ""


@dataclass(slots=True)
class Case:
    """What is examined. `control` is the URL of the relay's control port, `litellm` LiteLLM's, if one is to be asked."""

    control: str
    environment: Mapping[str, str]
    token: str | None = None
    litellm: str | None = None
    status: dict[str, Any] = field(default_factory=dict)
    asked: Answer | None = None

    def ask(self, path: str, **options: Any) -> Answer:
        """Ask the relay's control port."""
        return ask(self.control, path, token=self.token, **options)


def examine(case: Case) -> Iterator[Finding]:
    """All findings, as they are made. Where no relay answers, only what can be seen without one."""
    try:
        first = relay(case)
    except NoAnswer as error:
        first = Finding("relay", "wrong", f"the relay stopped answering: {error}")
    yield first
    if first.state == "wrong" and not case.status:
        yield from (litellm_points_here(case), litellm_lives(case))
        return
    for check in CHECKS:
        try:
            found = check(case)
        except NoAnswer as error:
            found = Finding(check.__name__, "wrong", f"the relay stopped answering: {error}", "see its standard error")
        yield from found if isinstance(found, list) else [found]


def relay(case: Case) -> Finding:
    """Does a relay answer on the control port, and is it well?"""
    try:
        health = case.ask("/healthz")
    except NoAnswer as error:
        advice = "start it (wsproxy record --upstream URL), or name its control port with --control"
        return Finding("relay", "wrong", f"nothing answers at {case.control}: {error}", advice)
    said = health.json
    if "uptime_seconds" not in said:
        return Finding(
            "relay", "wrong", f"what answers at {case.control} is no wsproxy", "name its control port with --control"
        )
    case.asked = case.ask("/v1/status?dial=1")
    if case.asked.status == 401:
        return Finding("relay", "wrong", "it is up, and asks for its token", "give --token, or set WSPROXY_TOKEN")
    if case.asked.status != 200:
        return Finding(
            "relay", "wrong", f"wsproxy {said.get('version')} is up, and too old to be examined", "upgrade it"
        )
    case.status = case.asked.json
    where = ", ".join(str(listener["listen"]) for listener in case.status["listeners"])
    if health.status != 200:
        errors = list(said.get("recording_errors", {}).values())
        return Finding(
            "relay",
            "wrong",
            f"it is up on {where} and cannot record: {', '.join(errors[:2])}",
            "see 'folder' and 'disk'",
        )
    return Finding(
        "relay", "fine", f"wsproxy {said['version']} listens on {where}, up for {_span(said['uptime_seconds'])}"
    )


def upstream(case: Case) -> list[Finding]:
    """Does what is behind the relay take connections, from where the relay stands?"""
    found = []
    for url, why in case.status.get("upstreams", {}).items():
        if why is None:
            found.append(Finding("upstream", "fine", f"{url} takes connections"))
        else:
            found.append(
                Finding(
                    "upstream",
                    "wrong",
                    f"{url} does not answer: {why}; clients get 502",
                    "start it, or correct --upstream",
                )
            )
    return found


def litellm_points_here(case: Case) -> Finding:
    """Does CONTROL_PLANE_URL of this environment lead to the relay?"""
    url = case.environment.get("CONTROL_PLANE_URL", "")
    listeners = [str(listener["listen"]) for listener in case.status.get("listeners", [])]
    here = _reachable(listeners[0], case.control) if listeners else "http://127.0.0.1:9090"
    if not url:
        return Finding(
            "litellm", "unknown", "CONTROL_PLANE_URL is not set here", f"for litellm: export CONTROL_PLANE_URL={here}"
        )
    if not listeners:
        return Finding("litellm", "unknown", f"CONTROL_PLANE_URL is {url}; no relay says whether that is right")
    if any(_same(url, listener, case.control) for listener in listeners):
        return Finding("litellm", "fine", f"CONTROL_PLANE_URL is {url}: the relay")
    past = any(
        _same(url, target, case.control) for listener in case.status["listeners"] for target in listener["upstreams"]
    )
    words = "goes past the relay, to its upstream" if past else "does not lead to this relay"
    return Finding("litellm", "wrong", f"CONTROL_PLANE_URL is {url}, which {words}", f"export CONTROL_PLANE_URL={here}")


def litellm_lives(case: Case) -> Finding:
    """Is LiteLLM up?"""
    if case.litellm is None:
        return Finding("liveliness", "unknown", "no LiteLLM was asked", "give --litellm URL")
    try:
        answer = ask(case.litellm, "/health/liveliness")
    except NoAnswer as error:
        return Finding(
            "liveliness", "wrong", f"{case.litellm} does not answer: {error}", "start it, or correct --litellm"
        )
    if answer.status != 200:
        return Finding("liveliness", "wrong", f"{case.litellm}/health/liveliness says {answer.status}", "see its log")
    return Finding("liveliness", "fine", f"{case.litellm} is alive")


def markers_from_here(case: Case) -> Finding:
    """Would hooks in this environment send their markers to the relay?"""
    url = case.environment.get("WSPROXY_MARKERS", "")
    if not url:
        advice = f"for litellm and the control plane: export WSPROXY_MARKERS={case.control}"
        return Finding("hooks", "unknown", "WSPROXY_MARKERS is not set here: hooks do nothing", advice)
    if not _same(url, case.control, case.control):
        return Finding(
            "hooks",
            "wrong",
            f"WSPROXY_MARKERS is {url}, another port than this relay's",
            f"export WSPROXY_MARKERS={case.control}",
        )
    return Finding("hooks", "fine", f"WSPROXY_MARKERS is {url}: the relay")


def marker(case: Case) -> Finding:
    """Does a marker arrive, and does it stand in a recording?"""
    stream_id = f"doctor-{os.urandom(6).hex()}"
    body: dict[str, Any] = {"stream_id": stream_id, "stage": "doctor.checked", "source": "wsproxy doctor"}
    if _same_kernel(case):
        body |= {"t_mono_ns": time.monotonic_ns(), "boot_id": case.status["clock"]["boot_id"]}
    sent = case.ask("/v1/markers", method="POST", body=body)
    if sent.status != 202:
        return Finding("marker", "wrong", f"the relay refuses a marker ({sent.status}): {sent.json.get('error')}")
    ended = case.ask(f"/v1/streams/{stream_id}", method="DELETE")
    if ended.status != 200 or ended.json.get("markers") != 1:
        return Finding("marker", "wrong", "a marker was taken and stands in no recording", "see 'folder' and 'disk'")
    return Finding(
        "marker",
        "fine",
        f"one arrived and was recorded within {(ended.came - sent.sent) / 1e6:.0f} ms; its recording is removed",
    )


def clock(case: Case) -> Finding:
    """Does time pass as it should, there and here?"""
    said = case.status["clock"]
    assert case.asked is not None
    stepped = said["stepped_ns"] / 1e9
    if abs(stepped) > STEP_SECONDS:
        advice = "times within a recording are right; names and dates of those made before are off. A restart sets the relay right"
        return Finding(
            "clock", "wrong", f"the relay's wall clock was stepped by {stepped:+.1f} s since it started", advice
        )
    ours = time.time_ns() - (time.monotonic_ns() - (case.asked.sent + case.asked.came) // 2)
    apart = (said["wall_ns"] - ours) / 1e9
    bound = (case.asked.came - case.asked.sent) / 2e9
    if abs(apart) > max(APART_SECONDS, bound):
        return Finding("clock", "wrong", f"the relay's wall clock is {apart:+.1f} s from ours", "set both by NTP")
    kernel = (
        "one kernel, times of markers are exact"
        if _same_kernel(case)
        else "another host, markers keep their error bound"
    )
    return Finding("clock", "fine", f"not stepped since the relay started; {kernel}")


def disk(case: Case) -> Finding:
    """Is there room for recordings?"""
    folder = case.status["folder"]
    if "error" in folder:
        return Finding(
            "disk",
            "wrong",
            f"{folder['path']}: {folder['error']}",
            "make the folder again, or start the relay with another --out",
        )
    free, total = folder["free"], folder["total"] or 1
    limit = case.status.get("limits", {}).get("max_bytes")
    bounded = "" if limit is None else f"; recordings take {_bytes(limit)} at most"
    words = f"{_bytes(free)} free ({free / total:.0%}) at {folder['path']}{bounded}"
    if free < LITTLE or free / total < SHARE:
        return Finding(
            "disk", "wrong", words, "make room ('wsproxy rm --older-than 7d'), or bound it: wsproxy record --max-bytes"
        )
    return Finding("disk", "fine", words)


def folder(case: Case) -> Finding:
    """Can nobody else read the recordings?"""
    said = case.status["folder"]
    if "error" in said:
        return Finding("folder", "wrong", f"{said['path']}: {said['error']}", "make it again: mkdir -m 700")
    if not said["private"]:
        return Finding(
            "folder",
            "wrong",
            f"others may look into {said['path']}, which holds credentials",
            f"chmod 700 {said['path']}",
        )
    return Finding("folder", "fine", f"{said['path']} is private")


CHECKS: tuple[Callable[[Case], Finding | list[Finding]], ...] = (
    upstream,
    litellm_points_here,
    litellm_lives,
    markers_from_here,
    marker,
    clock,
    disk,
    folder,
)


def _same_kernel(case: Case) -> bool:
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
            return file.read().strip() == str(case.status["clock"]["boot_id"])
    except OSError:
        return False


def _parts(url: str) -> tuple[str, int | None]:
    try:
        parts = urlsplit(url if "://" in url else f"http://{url}")
        return parts.hostname or "", parts.port or (443 if parts.scheme in ("https", "wss") else 80)
    except ValueError:
        return "", None


def _addresses(host: str) -> set[str]:
    try:
        return {str(found[4][0]) for found in socket.getaddrinfo(host, None)}
    except (OSError, UnicodeError):
        return set()


def _same(url: str, other: str, control: str) -> bool:
    """Whether two URLs lead to one port; an address of all interfaces is that of the host of the control port."""
    (host, port), (there, port_there) = _parts(url), _parts(other)
    if port != port_there:
        return False
    if there in ("0.0.0.0", "::"):
        there = _parts(control)[0]
    return host == there or bool(_addresses(host) & _addresses(there))


def _reachable(listener: str, control: str) -> str:
    """A listener's URL as it is reached from here."""
    host, port = _parts(listener)
    if host in ("0.0.0.0", "::"):
        host = _parts(control)[0]
    return f"{listener.partition('://')[0]}://{f'[{host}]' if ':' in host else host}:{port}"


def _bytes(count: float) -> str:
    return f"{count / 1e9:,.1f} GB" if count >= 1e9 else f"{count / 1e6:,.1f} MB"


def _span(seconds: float) -> str:
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.0f} h"
