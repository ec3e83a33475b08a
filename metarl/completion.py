"""Completion of commands, names and options in bash and zsh.

eval "$(metarl completion bash)"      # in ~/.bashrc; zsh likewise
"""

from collections.abc import Iterable
from typing import Literal

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
      evaluate:2|video:2|play:2|report:*) words="%(checkpoints)s" ;;
      list:2) words="families agents checkpoints" ;;
      new:2) words="family" ;;
      completion:2) words="bash zsh" ;;
    esac
  fi
  COMPREPLY=($(compgen -W "$words" -- "$word"))
}
complete -o default -F _metarl metarl
"""


def script(shell: Shell, commands: Iterable[str]) -> str:
    """What the shell is to evaluate.

    Args:
        shell: which.
        commands: names of all commands.
    """
    from metarl.registry import names
    from metarl.runs import shipped

    text = _SCRIPT % {
        "commands": " ".join(commands),
        "families": " ".join(names("families")),
        "agents": " ".join(names("agents")),
        "checkpoints": " ".join(shipped.names()),
    }
    if shell == "zsh":
        text = "autoload -U +X bashcompinit && bashcompinit\n" + text
    return text
