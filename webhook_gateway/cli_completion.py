"""`cfar completion`: the script that lets a shell complete commands and options."""

import click
from click.shell_completion import get_completion_class

SHELLS = ("bash", "zsh", "fish")
VARIABLE = "_CFAR_COMPLETE"
"""Where a shell leaves its question when it runs `cfar`, which click answers before any command runs."""


@click.command()
@click.argument("shell", type=click.Choice(SHELLS))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print a script that completes commands and options in SHELL.

    \b
    bash:  eval "$(cfar completion bash)"     in ~/.bashrc
    zsh:   eval "$(cfar completion zsh)"      in ~/.zshrc, after compinit
    fish:  cfar completion fish | source      in ~/.config/fish/config.fish
    """
    known = get_completion_class(shell)
    if known is None:
        raise click.UsageError(f"{shell} cannot be completed.")
    click.echo(known(context.find_root().command, {}, "cfar", VARIABLE).source())
