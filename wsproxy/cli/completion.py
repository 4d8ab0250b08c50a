"""`wsproxy completion`."""

from __future__ import annotations

import click
from click.shell_completion import ShellComplete, get_completion_class

_VARIABLE = "_WSPROXY_COMPLETE"  # click listens to it
# Bash splits words at @ (for host names), so @last would be two words; and where we offer nothing, files are meant.
_BASH = "COMP_WORDBREAKS=${COMP_WORDBREAKS//@/}\n"


@click.command(
    epilog="""\b
Examples:
  echo 'source <(wsproxy completion bash)' >> ~/.bashrc
  echo 'source <(wsproxy completion zsh)' >> ~/.zshrc      behind compinit
  wsproxy completion fish > ~/.config/fish/completions/wsproxy.fish
"""
)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def command(shell: str) -> int:
    """Print the script that teaches a shell our commands.

    It completes commands, options, their values, and recordings: @last, @2 ..., the stream ids of the folder.
    """
    from . import group

    kind = get_completion_class(shell)
    assert kind is not None
    script = ShellComplete.source(kind(group, {}, "wsproxy", _VARIABLE))
    if shell == "bash":
        script = _BASH + script.replace("complete -o nosort -F", "complete -o nosort -o default -F")
    click.echo(script)
    return 0
