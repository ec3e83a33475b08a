"""`metarl completion`: commands, names and options in bash and zsh.

eval "$(metarl completion bash)"      # in ~/.bashrc; zsh likewise

tyro's own scripts do not complete positional arguments, which names of families, agents
and checkpoints are, and they hold options as of when they were written, while those of
``metarl train`` depend on the family and the agent.
"""

from typing import Literal

from tyro.conf import Positional

Shell = Literal["bash", "zsh"]

# Options are asked of the command itself, so that those of a family and an agent are
# known too; names are written into the script, so that they come at once.
_SCRIPT = """\
_metarl() {
  local word="${COMP_WORDS[COMP_CWORD]}"
  local before=("${COMP_WORDS[@]:1:$((COMP_CWORD - 1))}")
  local words=""
  if [[ "$word" == -* ]]; then
    words="$(metarl "${before[@]}" --help 2>/dev/null | grep -o -e '--[a-z0-9._-]*')"
  elif [[ $COMP_CWORD == 1 ]]; then
    words="%(commands)s"
  else
    case "${COMP_WORDS[1]}:$COMP_CWORD" in
      train:2|info:2|check:2) words="%(families)s" ;;
      train:3) words="%(agents)s" ;;
      evaluate:2|video:2|play:2|export:2|report:*|compare:*) words="%(checkpoints)s" ;;
      list:2) words="families agents checkpoints" ;;
      new:2) words="family" ;;
      paper:2) words="%(rows)s" ;;
      completion:2) words="bash zsh" ;;
    esac
  fi
  COMPREPLY=($(compgen -W "$words" -- "$word"))
}
complete -o default -F _metarl metarl
"""


def completion(shell: Positional[Shell]) -> None:
    """Print a script for a shell: `eval "$(metarl completion bash)"`.

    Args:
        shell: which.
    """
    print(script(shell), end="")


def script(shell: Shell) -> str:
    """What the shell is to evaluate.

    Args:
        shell: which.
    """
    from typing import get_args

    from metarl.cli import COMMANDS
    from metarl.cli.paper import RowName
    from metarl.environment.registry import names
    from metarl.runs import pretrained

    text = _SCRIPT % {
        "commands": " ".join(COMMANDS),
        "families": " ".join(names("families")),
        "agents": " ".join(names("agents")),
        "checkpoints": " ".join(pretrained.names()),
        "rows": " ".join(get_args(RowName)),
    }
    if shell == "zsh":
        text = "autoload -U +X bashcompinit && bashcompinit\n" + text
    return text
