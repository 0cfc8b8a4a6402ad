"""`completion`: makes the shell complete commands, options and names of jobs."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from pgagent_cli.app import App
from pgagent_cli.outcome import Exit

SHELLS = ("bash", "zsh", "fish")
PROGRAM = "pgagent-py"
VARIABLE = "_PGAGENT_PY_COMPLETE"


@click.command()
@click.argument("shell", type=click.Choice(SHELLS))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> int:
    """Print a script for the completion of a shell.

    The shell completes commands, options and names of jobs then.

    \b
      pgagent-py completion bash > ~/.local/share/bash-completion/completions/pgagent-py
      pgagent-py completion zsh > ~/.zfunc/_pgagent-py
      pgagent-py completion fish > ~/.config/fish/completions/pgagent-py.fish
    """
    kind = get_completion_class(shell)
    assert kind is not None
    app: App = ctx.obj
    app.out.file.write(kind(ctx.find_root().command, {}, PROGRAM, VARIABLE).source() + "\n")
    return Exit.OK
