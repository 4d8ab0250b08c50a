"""Defaults of options from `pyproject.toml` and `wsproxy.toml`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from .command import DEADLINE, SAMPLES, Done, assert_trouble, wsproxy

DELIVERED, LOST = (str(SAMPLES / f"{name}.msgpack") for name in ("blocked-delivered", "blocked-lost"))


def diff(cwd: Path, *args: str, **environment: str) -> Done:
    return wsproxy("diff", DELIVERED, LOST, *args, cwd=cwd, **environment)


def test_a_table_of_pyproject_gives_defaults(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text("[tool.wsproxy.diff]\nsummary = true\n[tool.other]\nx = 1\n")
    assert "@@" not in diff(tmp_path).out
    below = tmp_path / "a" / "b"
    below.mkdir(parents=True)
    assert "@@" not in diff(below).out


def test_a_wsproxy_toml_beside_it_wins(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text("[tool.wsproxy.diff]\nsummary = true\n")
    (tmp_path / "wsproxy.toml").write_text("[diff]\nstat = true\n")
    assert "rechunked" in diff(tmp_path).out


def test_the_nearest_file_wins_and_one_of_another_project_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "wsproxy.toml").write_text("[diff]\nstat = true\n")
    below = tmp_path / "below"
    below.mkdir()
    (below / "pyproject.toml").write_text('[project]\nname = "x"\ndependencies = ["wsproxy"]\n')
    assert "rechunked" in diff(below).out
    (below / "pyproject.toml").write_text("[tool.wsproxy.diff]\nsummary = true\n")
    assert "B lost" in diff(below).out


def test_every_command_takes_its_table(tmp_path: Path) -> None:
    (tmp_path / "wsproxy.toml").write_text('[show]\njson = true\ntype = ["START"]\n')
    assert [one["type"] for one in wsproxy("show", LOST, cwd=tmp_path).objects] == ["START"]


def test_keys_are_long_options_with_dashes_or_underscores(tmp_path: Path) -> None:
    for key in ("side-by-side", "side_by_side"):
        (tmp_path / "wsproxy.toml").write_text(f"[diff]\n{key} = true\n")
        assert "│ B  " in diff(tmp_path).out


def test_the_other_name_of_a_flag_turns_it_off(tmp_path: Path) -> None:
    (tmp_path / "wsproxy.toml").write_text("[show]\nframes = true\njson = true\n")
    assert "Message" not in wsproxy("show", LOST, cwd=tmp_path).out
    assert {one["kind"] for one in wsproxy("show", LOST, cwd=tmp_path).objects} >= {"frame"}


def test_lists_are_for_options_that_can_be_repeated_and_one_value_does_too(tmp_path: Path) -> None:
    for value in ('"**.x-judge-delay"', '["**.other", "**.x-judge-delay"]'):
        (tmp_path / "wsproxy.toml").write_text(f'[diff]\nignore = {value}\ndir = "c2s"\nonly = "data.metadata"\n')
        assert "x-judge-delay" not in diff(tmp_path).out


def test_the_command_line_beats_the_environment_and_that_the_file(tmp_path: Path) -> None:
    (tmp_path / "wsproxy.toml").write_text("[diff]\ncontext = 0\n")

    def rows(*args: str, **environment: str) -> int:
        return sum(one["kind"] == "row" for one in diff(tmp_path, "--json", *args, **environment).objects)

    by_file, by_environment = rows(), rows(WSPROXY_DIFF_CONTEXT="1")
    assert by_file < by_environment < rows("--context", "2", WSPROXY_DIFF_CONTEXT="1")


def test_a_tolerance_from_a_file_counts_as_given(tmp_path: Path) -> None:
    (tmp_path / "wsproxy.toml").write_text('[diff]\ntolerance = "1ms"\n')
    text = " ".join(diff(tmp_path, "--summary").out.split())
    assert "ms longer before" in text.split("ids")[0]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[diff]\nsumary = true\n", ("[diff] sumary", "no such option", "summary")),
        ("[dif]\nsummary = true\n", ("[dif]", "no such command")),
        ("summary = true\n", ("[summary]", "no such command")),
        ("diff = 3\n", ("[diff]", "table", "whole number")),
        ('[diff]\nsummary = "yes"\n', ("[diff] summary", "true or false", "a text")),
        ("[diff]\ncontext = true\n", ("[diff] context", "whole number")),
        ("[diff]\ncontext = -1\n", ("[diff] context", "-1")),
        ("[diff]\ncontext = [1]\n", ("[diff] context", "a list")),
        ('[diff]\ntolerance = "soon"\n', ("[diff] tolerance", "50ms")),
        ("[diff]\nignore = [1]\n", ("[diff] ignore", "a text")),
        ("[diff\n", ("no TOML", "line 1")),
        ("[diff]\nsummary = \udcff\n", ("no TOML",)),
    ],
)
def test_a_mistake_is_one_line_with_file_and_key(tmp_path: Path, text: str, words: tuple[str, ...]) -> None:
    file = tmp_path / "wsproxy.toml"
    file.write_bytes(text.encode("utf-8", "surrogateescape"))
    assert_trouble(diff(tmp_path), str(file), *words)
    file.rename(tmp_path / "pyproject.toml")
    if text.startswith("[diff]") and b"\xff" not in (tmp_path / "pyproject.toml").read_bytes():
        (tmp_path / "pyproject.toml").write_text(text.replace("[diff]", "[tool.wsproxy.diff]"))
        assert_trouble(diff(tmp_path), "pyproject.toml: [tool.wsproxy.diff] ", *words[1:])


def test_help_works_whatever_stands_in_a_file(tmp_path: Path) -> None:
    (tmp_path / "wsproxy.toml").write_text("[diff\n")
    assert wsproxy("diff", "--help", cwd=tmp_path).status == 0
    assert wsproxy("--help", cwd=tmp_path).status == 0


def test_other_commands_mistakes_are_their_own(tmp_path: Path) -> None:
    (tmp_path / "wsproxy.toml").write_text("[show]\nsumary = true\n")
    assert diff(tmp_path).status == 1


def test_no_toml_is_parsed_where_there_is_no_file(tmp_path: Path) -> None:
    code = (
        "import sys, wsproxy.cli\n"
        f"try:\n    wsproxy.cli.main(['ls', {str(SAMPLES)!r}])\nexcept SystemExit:\n    pass\n"
        "print('tomllib' in sys.modules, file=sys.stderr)"
    )
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "other"\n')
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=DEADLINE, check=True
    )
    assert done.stderr.split() == ["False"]
