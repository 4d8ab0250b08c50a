"""The values of `--route` and `--listen`: a text on the command line, a text or a table in a configuration file.

Strategy: click parameter types, so that command line, environment and file go one way. A table has the parts of the text under names of their own,
and beside them what only a table can say: how stream ids are found there, and what goes up as Host.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from ..relay.settings import Finding, ListenSpec, RouteSpec

_FINDING = {"stream-path", "stream-header", "stream-body", "host-header"}


class RouteType(click.ParamType):  # type: ignore[type-arg]  # generic since click 8.3
    """`/prefix=URL`, or a table with `prefix` and `upstream`."""

    name = "route"
    takes_tables = True

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> RouteSpec:
        from ..relay.settings import RouteSpec, read_route

        if isinstance(value, RouteSpec):
            return value
        try:
            if isinstance(value, str):
                return read_route(value)
            table = _checked(value, {"prefix", "upstream"}, {"prefix", "upstream"})
            return RouteSpec(table["prefix"], table["upstream"], _finding(table))
        except ValueError as error:
            self.fail(str(error), param, ctx)


class ListenType(click.ParamType):  # type: ignore[type-arg]
    """`ADDRESS` or `ADDRESS=URL`, or a table with `address` and perhaps `upstream`."""

    name = "listen"
    takes_tables = True

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> ListenSpec:
        from ..relay.settings import ListenSpec, read_listen

        if isinstance(value, ListenSpec):
            return value
        try:
            if isinstance(value, str):
                return read_listen(value)
            table = _checked(value, {"address", "upstream"}, {"address"})
            if _FINDING & set(table) and "upstream" not in table:
                raise ValueError(
                    "a listener without an upstream of its own has the rules of the routes that it leads to"
                )
            return ListenSpec(table["address"], table.get("upstream"), _finding(table))
        except ValueError as error:
            self.fail(str(error), param, ctx)


def _checked(table: dict[str, Any], own: set[str], required: set[str]) -> dict[str, Any]:
    """A table with its keys as options are written. Raises ValueError."""
    named = {key.replace("_", "-"): value for key, value in table.items()}
    for key, value in named.items():
        if key not in own | _FINDING:
            raise ValueError(f"there is no {key}; there are {', '.join(sorted(own | _FINDING))}")
        texts = value if isinstance(value, list) and key == "stream-body" else [value]
        if not all(isinstance(text, str) for text in texts):
            raise ValueError(f"{key} must be a text" + (" or a list of texts" if key == "stream-body" else ""))
    for key in sorted(required - set(named)):
        raise ValueError(f"{key} is missing")
    return named


def _finding(table: dict[str, Any]) -> Finding:
    from ..relay.settings import Finding

    body = table.get("stream-body")
    return Finding(
        table.get("stream-path"),
        table.get("stream-header"),
        None if body is None else tuple([body] if isinstance(body, str) else body),
        table.get("host-header"),
    )
