"""Defaults of options from a file: `[tool.wsproxy.show]` in the nearest `pyproject.toml`, or `[show]` in a `wsproxy.toml` that is as near.

Strategy: the folders from the working directory upwards are asked for both files. The first `wsproxy.toml`, or `pyproject.toml` with a table for
wsproxy, is read, and no other; TOML's parser is loaded only where such a file may be one. What stands there becomes click's default map, so that the
command line and the environment win.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from typing import Any, NamedTuple

import click

OWN = "wsproxy.toml"
SHARED = "pyproject.toml"


class _Place(NamedTuple):
    """Where a table stands, for errors."""

    file: str
    table: str  # tool.wsproxy, or nothing

    def __str__(self) -> str:
        return self.file

    def of(self, command: str) -> str:
        return f"{self.file}: [{self.table}{'.' if self.table else ''}{command}]"


def defaults(command: click.Command, name: str, commands: Collection[str], folder: str | None = None) -> dict[str, Any]:
    """The defaults of a command's options, by parameter.

    Args:
        name: of the command: the table that is read.
        commands: all names of commands: what other tables may be called.
        folder: where the search begins; the working directory by default.

    Raises:
        click.ClickException: a file that cannot be read, an unknown table or key, a value of the wrong type.
    """
    found = _nearest(folder)
    if found is None:
        return {}
    place, tables = found
    for key, value in tables.items():
        if key not in commands:
            raise click.ClickException(f"{place.of(key)}: there is no such command: {', '.join(commands)}")
        if not isinstance(value, dict):
            raise click.ClickException(f"{place.of(key)} must be a table, not {_kind(value)}")
    return _by_parameter(command, place.of(name), tables.get(name, {}))


def table(name: str, folder: str | None = None) -> tuple[str, Any] | None:
    """A table of the nearest file that is no command's: where it stands, for errors, and what it is. None where there is no such table."""
    found = _nearest(folder)
    return None if found is None or name not in found[1] else (found[0].of(name), found[1][name])


def _nearest(folder: str | None) -> tuple[_Place, dict[str, Any]] | None:
    try:
        at = os.path.abspath(folder or os.getcwd())
    except OSError:
        return None  # the working directory is gone
    for here in _upwards(at):
        path = os.path.join(here, OWN)
        data = _read(path)
        if data is not None:
            return _Place(path, ""), _parsed(path, data)
        path = os.path.join(here, SHARED)
        data = _read(path)
        if data is None or b"wsproxy" not in data:
            continue
        tool = _parsed(path, data).get("tool")
        table = tool.get("wsproxy") if isinstance(tool, dict) else None
        if isinstance(table, dict):
            return _Place(path, "tool.wsproxy"), table
        if table is not None:
            raise click.ClickException(f"{path}: [tool.wsproxy] must be a table, not {_kind(table)}")
    return None


def _upwards(folder: str) -> Iterator[str]:
    while True:
        yield folder
        above = os.path.dirname(folder)
        if above == folder:
            return
        folder = above


def _read(path: str) -> bytes | None:
    try:
        with open(path, "rb") as file:
            return file.read()
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return None
    except OSError as error:
        raise click.ClickException(f"{path}: {(error.strerror or str(error)).lower()}") from None


def _parsed(path: str, data: bytes) -> dict[str, Any]:
    import tomllib

    try:
        return tomllib.loads(data.decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise click.ClickException(f"{path}: this is no TOML: {error}") from None


def _by_parameter(command: click.Command, where: str, table: dict[str, Any]) -> dict[str, Any]:
    known = _options(command)
    found: dict[str, Any] = {}
    for key, value in table.items():
        name = key.replace("_", "-")
        if name not in known:
            raise click.ClickException(f"{where} {key}: no such option; there are {', '.join(sorted(known))}")
        option, turned = known[name]
        assert option.name is not None
        checked = _checked(option, value, f"{where} {key}")
        found[option.name] = not checked if turned else checked
    return found


def _options(command: click.Command) -> dict[str, tuple[click.Option, bool]]:
    """The long options of a command, without dashes; and whether it is the one that turns a flag off."""
    known: dict[str, tuple[click.Option, bool]] = {}
    for parameter in command.params:
        if isinstance(parameter, click.Option) and not parameter.is_eager:
            for names, turned in ((parameter.opts, False), (parameter.secondary_opts, True)):
                known |= {name[2:]: (parameter, turned) for name in names if name.startswith("--")}
    return known


def _checked(option: click.Option, value: Any, where: str) -> Any:
    if option.is_flag:
        if not isinstance(value, bool):
            raise click.ClickException(f"{where}: true or false is wanted, not {_kind(value)}")
        return value
    if option.multiple:
        value = value if isinstance(value, list) else [value]
        return [_one(option, item, where) for item in value]
    return _one(option, value, where)


def _one(option: click.Option, value: Any, where: str) -> Any:
    wanted: tuple[tuple[type, ...], str] = ((str,), "a text")
    if isinstance(value, dict) and getattr(option.type, "takes_tables", False):
        wanted = ((dict,), "a table")
    elif isinstance(option.type, click.types.IntParamType):
        wanted = ((int,), "a whole number")
    elif isinstance(option.type, click.types.FloatParamType):
        wanted = ((int, float), "a number")
    if isinstance(value, bool) or not isinstance(value, wanted[0]):
        raise click.ClickException(f"{where}: {wanted[1]} is wanted, not {_kind(value)}")
    try:
        option.type.convert(value, option, None)
    except click.BadParameter as error:
        raise click.ClickException(f"{where}: {error.message.rstrip('.')}") from None
    return value


def _kind(value: Any) -> str:
    """What a value of TOML is called."""
    kinds = {
        bool: "true or false",
        int: "a whole number",
        float: "a number",
        str: "a text",
        list: "a list",
        dict: "a table",
    }
    return kinds.get(type(value), f"a {type(value).__name__}")
