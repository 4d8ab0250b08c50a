"""The command line: one thin file per command, loaded when it is asked for."""

from __future__ import annotations

import importlib
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import click

from ..errors import WsproxyError
from . import outputs
from .configuration import defaults, table

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

_COMMANDS = {
    "record": "Relay and record: stand between a client and a server.",
    "ls": "List recordings: time, stream, frames, outcome.",
    "show": "Show a recording: frames of both directions, one order.",
    "trace": "Follow a chunk through the six steps, with the time at each.",
    "diagnose": "What went wrong, where, by how much; the evidence.",
    "replay": "Play either side of a recording; ask 'what if'.",
    "diff": "Two recordings, aligned: what differs, down to the field.",
    "rm": "Remove recordings, and say what that freed.",
    "verify": "Prove that a recording is whole and exact.",
    "redact": "A copy that can be shared: no secrets in it.",
    "doctor": "Is everything in its place? What to do where it is not.",
    "completion": "Tab for bash, zsh and fish.",
    "demo": "The whole pipeline on this machine, with the famous bug in it.",
}

# What a person wants to do, an example of it, and the commands for it.
_TASKS = {
    "Record": ("wsproxy record --upstream ws://control-plane:8081", ("record", "doctor")),
    "Look": ("wsproxy show @last --grep BLOCKED", ("ls", "show")),
    "Understand": ("wsproxy diagnose recordings/*.msgpack", ("diagnose", "trace", "diff")),
    "Play": ("wsproxy replay @last --to ws://127.0.0.1:8081", ("replay", "demo")),
    "Keep order": ("wsproxy rm --older-than 7d", ("verify", "redact", "rm", "completion")),
}

HELP = """Record what goes over a WebSocket, and look at it.

\b
  wsproxy demo                                       see it work now
  wsproxy record --upstream ws://control-plane:8081  stand between, record
  wsproxy show @last                                 look at the newest

REC is a path, the start of a stream id, or @last, @2 (the second last) ...
"""


class _Commands(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in _COMMANDS:
            return None
        command: click.Command = importlib.import_module(f"wsproxy.cli.{name}").command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name, command, rest = super().resolve_command(ctx, args)
        if name and command and not set(rest) & set(ctx.help_option_names):
            with suppress(*((click.ClickException,) if ctx.resilient_parsing else ())):
                ctx.default_map = {name: defaults(command, name, (*_COMMANDS, "secrets"))}
                _use_rules()
        return name, command, rest

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list of commands by task, without loading any of them."""
        told = {name for _, names in _TASKS.values() for name in names}
        other = tuple(name for name in _COMMANDS if name not in told)
        width = max(map(len, _COMMANDS))
        for task, (example, names) in (_TASKS | ({"Other": ("", other)} if other else {})).items():
            with formatter.section(task):
                formatter.write_dl([(f"{name:<{width}}", _COMMANDS[name]) for name in names])
                if example:
                    formatter.write_text(f"$ {example}")

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Names of commands without loading any of them; and options."""
        from click.shell_completion import CompletionItem

        found = [CompletionItem(name, help=text) for name, text in _COMMANDS.items() if name.startswith(incomplete)]
        return found + click.Command.shell_complete(self, ctx, incomplete)


@click.group(
    cls=_Commands, help=HELP, context_settings={"auto_envvar_prefix": "WSPROXY", "help_option_names": ["-h", "--help"]}
)
@click.version_option(package_name="wsproxy", message="wsproxy %(version)s")
def group() -> None:
    pass


def main(args: list[str] | None = None) -> Any:
    """Run the command line; trouble is one line on standard error and exit status 2."""
    outputs.make_ready()
    try:
        status = group.main(args, prog_name="wsproxy", standalone_mode=False)
        sys.stdout.flush()
    except WsproxyError as error:
        click.echo(f"wsproxy: {_masked(str(error))}", err=True)
        status = 2
    except click.exceptions.Exit as done:
        status = done.exit_code
    except click.Abort:
        status = 130
    except click.ClickException as error:
        _say(error)
        status = 2
    except (BrokenPipeError, SystemExit):
        # Whoever read our output has seen enough (click turns that into SystemExit).
        outputs.give_up(1)
        status = 0
    except KeyboardInterrupt:
        status = 130
    except OSError as error:  # a command tells of its own files; what is left is the output: a full disk
        outputs.give_up(1)
        click.echo(f"wsproxy: cannot write the output: {(error.strerror or str(error)).lower()}", err=True)
        status = 2
    sys.exit(status if isinstance(status, int) else 0)


def _use_rules() -> None:
    """What else is a secret, by the configuration."""
    found = table("secrets")
    if found is not None:
        from ..secrets.masking import use
        from .secret_rules import read_rules

        use(read_rules(*found))


def _masked(sentence: str) -> str:
    from ..secrets.masking import mask_text

    return mask_text(sentence)


def _say(error: click.ClickException) -> None:
    if isinstance(error, click.UsageError) and error.ctx is not None:
        click.echo(f"wsproxy: {_masked(error.format_message())} (try '{error.ctx.command_path} --help')", err=True)
    else:
        click.echo(f"wsproxy: {_masked(error.format_message())}", err=True)
