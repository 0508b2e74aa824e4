"""`sealbatch completion`: what makes a shell complete this command's verbs, options, tickets and schedules."""

from typing import Annotated, Literal

import typer

from sealbatch.face import ends_well

EXAMPLES = """\
# for this shell only
source <(sealbatch completion bash)
# for every shell that starts from now on
sealbatch completion bash \\
    > ~/.local/share/bash-completion/completions/sealbatch
sealbatch completion zsh > ~/.zfunc/_sealbatch
sealbatch completion fish > ~/.config/fish/completions/sealbatch.fish"""

REGISTER = "compdef _sealbatch_completion sealbatch"
FROM_FPATH = f"""\
if [[ $funcstack[1] == _sealbatch ]]; then
  _sealbatch_completion "$@"
else
  {REGISTER}
fi"""
"""A file in zsh's fpath is the completing function itself; sourced, it only names one."""


@ends_well
def command(
    context: typer.Context,  # noqa: ARG001 - errors name the verb by it
    shell: Annotated[Literal["bash", "zsh", "fish"], typer.Argument(metavar="SHELL", help="bash, zsh or fish.")],
) -> None:
    """Print what makes a shell complete verbs, options and tickets.

    Completion reads this user's tickets and configuration and asks nobody else. For zsh, `fpath+=~/.zfunc` must stand
    before `compinit` in ~/.zshrc; bash needs the package bash-completion to find the file by itself.
    """
    from typer.completion import get_completion_script  # type: ignore[attr-defined]

    script = get_completion_script(prog_name="sealbatch", complete_var="_SEALBATCH_COMPLETE", shell=shell)
    typer.echo(script.replace(REGISTER, FROM_FPATH) if shell == "zsh" else script)
