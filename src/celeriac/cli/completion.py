"""`celeriac completion`: what has a shell complete commands and options."""

from __future__ import annotations

from typing import Final

import click
from click.shell_completion import get_completion_class

from celeriac.cli.pages import Command
from celeriac.cli.session import Session, pass_session

PROGRAM: Final = "celeriac"
VARIABLE: Final = "_CELERIAC_COMPLETE"

SHELLS: Final = ("bash", "zsh", "fish")


@click.command("completion", cls=Command, takes_json=False)
@click.argument("shell", type=click.Choice(SHELLS))
@pass_session
def completion(session: Session, /, shell: str) -> None:
    """Print what has SHELL complete commands and options with the TAB key.

    \b
      eval "$(celeriac completion bash)"    in ~/.bashrc
      eval "$(celeriac completion zsh)"    in ~/.zshrc
      celeriac completion fish > ~/.config/fish/completions/celeriac.fish
    """
    found = get_completion_class(shell)
    assert found is not None, "click knows these shells"
    session.output.line(found(click.Command(PROGRAM), {}, PROGRAM, VARIABLE).source().rstrip())
