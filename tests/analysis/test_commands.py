"""`wsproxy trace` and `wsproxy diagnose`, run as a person does."""

from __future__ import annotations

from pathlib import Path

import pytest

from ..cli.command import SAMPLES, assert_trouble, wsproxy
from .stories import HEADER, on_disk
from .test_causes import text, too_late

LOST = SAMPLES / "blocked-lost.msgpack"


def test_diagnose_says_the_answer_first_and_exits_with_1() -> None:
    done = wsproxy("diagnose", LOST)
    assert done.status == 1 and done.err == ""
    assert done.out.startswith("LOST: the client stopped listening 105 ms after its last chunk (#6, 0.3448 s)")
    assert "  try: " in done.out


def test_a_healthy_stream_exits_with_0() -> None:
    done = wsproxy("diagnose", SAMPLES / "allowed.msgpack")
    assert (done.status, done.out[:13]) == (0, "nothing lost:")


def test_several_recordings_get_a_line_each_and_a_summary_by_cause(tmp_path: Path) -> None:
    late = [on_disk(tmp_path / f"{n}.msgpack", too_late().events()).path for n in range(3)]
    fine = on_disk(tmp_path / "fine.msgpack", text().events()).path
    done = wsproxy("diagnose", *late, fine, LOST)
    lines = done.out.splitlines()
    assert done.status == 1 and len(lines) == 10
    assert lines[5] == "5 recordings: 1 with nothing lost, 4 lost something"
    assert "3  too-late-never-sent" in lines[6] and "196 ms" in lines[6]
    assert "1  unanswered-at-close" in lines[8]


def test_a_file_that_is_no_recording_does_not_hide_the_others(tmp_path: Path) -> None:
    (tmp_path / "x.msgpack").write_bytes(b"nothing of the kind")
    done = wsproxy("diagnose", tmp_path / "x.msgpack", LOST)
    assert done.status == 2 and "unanswered-at-close" in done.out and "1 not readable" in done.out
    assert_trouble(wsproxy("diagnose", tmp_path / "x.msgpack"), "x.msgpack")


def test_a_hundred_recordings_are_told_in_their_order_whoever_judges_them(tmp_path: Path) -> None:
    names = [f"{number:03d}.msgpack" for number in range(100)]
    for number, name in enumerate(names):
        told = (too_late() if number % 7 == 0 else text()).events()
        on_disk(tmp_path / name, told, HEADER._replace(stream_id=f"stream-{number}"))
    (tmp_path / names[50]).write_bytes(b"nothing of the kind")
    many = wsproxy("diagnose", "--json", *(tmp_path / name for name in names))
    found = [one["stream"] for one in many.objects if one["kind"] == "diagnosis"]
    assert found == [f"stream-{number}" for number in range(100) if number != 50]
    assert (many.status, many.err.count("\n")) == (2, 1) and names[50] in many.err
    few = wsproxy("diagnose", "--json", *(tmp_path / name for name in names[:20]))
    assert many.out.startswith(few.out)


def test_json_has_a_diagnosis_and_its_findings() -> None:
    done = wsproxy("diagnose", "--json", LOST)
    head, *findings = done.objects
    assert done.status == 1 and head["kind"] == "diagnosis" and head["code"] == "unanswered-at-close"
    assert (head["verdict"], head["chunk"], round(head["ms"])) == ("lost", 6, 105)
    assert [line["kind"] for line in findings] == ["finding"]
    assert findings[0]["evidence"][0] == {"number": 20, "t": 0.344821309}
    assert set(findings[0]) >= {"code", "severity", "sentence", "stage", "chunk", "ms", "evidence", "advice", "unknown"}


def test_trace_draws_the_stream_and_exits_with_0() -> None:
    done = wsproxy("trace", LOST)
    assert done.status == 0 and "wire ↑" in done.out and "no answer" in done.out


@pytest.mark.parametrize(("chosen", "status"), [(("--chunk", "3"), 0), (("--blocked",), 0), (("--grep", "users"), 0)])
def test_trace_of_one_chunk_exits_with_0_when_it_reached_the_client(chosen: tuple[str, ...], status: int) -> None:
    assert wsproxy("trace", SAMPLES / "blocked-delivered.msgpack", *chosen).status == status


def test_trace_of_a_lost_chunk_exits_with_1(tmp_path: Path) -> None:
    recording = on_disk(tmp_path / "late.msgpack", too_late().events())
    done = wsproxy("trace", recording.path, "--blocked")
    assert done.status == 1 and "196 ms too late" in done.out
    assert wsproxy("trace", LOST, "--chunk", "6").status == 1
    head, *steps = wsproxy("trace", recording.path, "--blocked", "--json").objects
    assert head["fate"] == "too-late-never-sent" and [step["kind"] for step in steps] == ["step"] * 7


def test_trouble_is_one_line() -> None:
    assert_trouble(wsproxy("trace", LOST, "--chunk", "99"), "no chunk #99", "#0 to #6")
    assert_trouble(wsproxy("trace", LOST, "--blocked"), "BLOCKED", "policy.*")
    assert_trouble(wsproxy("trace", LOST, "--blocked", "--chunk", "1"), "give one of them")
    assert_trouble(wsproxy("diagnose", "no-such.msgpack"), "no such file")


def test_from_python_they_print_what_the_commands_print() -> None:
    import wsproxy as api
    from wsproxy.analysis.diagnose import diagnose
    from wsproxy.analysis.trace import trace

    recording = api.open(LOST)
    assert str(diagnose(recording)) == "\n".join(line.rstrip() for line in wsproxy("diagnose", LOST).out.splitlines())
    assert str(trace(recording)) == "\n".join(line.rstrip() for line in wsproxy("trace", LOST).out.splitlines())
