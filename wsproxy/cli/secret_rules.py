"""`[tool.wsproxy.secrets]`, or `[secrets]` in `wsproxy.toml`: what else is a secret."""

from __future__ import annotations

from typing import Any

import click

from ..secrets.rules import Rules

_KEYS = ("keys", "paths", "patterns")


def read_rules(where: str, table: Any) -> Rules:
    """The rules that a table adds to the built-in ones.

    Args:
        where: it stands, for errors.

    Raises:
        click.ClickException: an unknown key, a value of the wrong type, a rule that is none.
    """
    if not isinstance(table, dict):
        raise click.ClickException(f"{where} must be a table with {', '.join(_KEYS)}")
    for key, value in table.items():
        if key not in _KEYS:
            raise click.ClickException(f"{where} {key}: no such rule; there are {', '.join(_KEYS)}")
        if not isinstance(value, list) or not all(isinstance(one, str) and one for one in value):
            raise click.ClickException(f"{where} {key}: a list of texts is wanted")
    try:
        return Rules(**table)
    except ValueError as error:
        raise click.ClickException(f"{where} {error}") from None
