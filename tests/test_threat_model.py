"""The README's threat model: every line of it names a test, and every test that it names exists."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
_TEXT = (TESTS.parent / "README.md").read_text(encoding="utf-8")
_TABLE = _TEXT.partition("## Threat model")[2].partition("\n## ")[0]
LINES = [line for line in _TABLE.splitlines() if line.startswith("| ")][2:]


def test_the_table_speaks_of_everybody() -> None:
    everybody = {line.split("|")[1].strip() for line in LINES}
    assert everybody >= {"client", "server", "control port", "a page in a browser", "who hands you a recording"}


@pytest.mark.parametrize("line", LINES, ids=lambda line: line.split("|")[2].strip()[:40])
def test_every_line_names_a_test_that_exists(line: str) -> None:
    file, name = re.fullmatch(r"`([\w/.]+)::(test_\w+)`", line.rstrip("| ").rpartition("| ")[2].strip()).groups()  # type: ignore[union-attr]
    tree = ast.parse((TESTS / file).read_text(encoding="utf-8"))
    assert name in {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
