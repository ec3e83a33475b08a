"""Tab completes commands, names and options."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from metarl.cli import COMMANDS, main
from metarl.environment.registry import names

DRIVER = """
COMP_WORDS=(metarl "$@"); COMP_CWORD=$#; _metarl; printf '%s\\n' "${COMPREPLY[@]}"
"""


@pytest.fixture(scope="module", params=["bash", "zsh"])
def complete(request, tmp_path_factory):
    """What the script offers for words of which the last is begun."""
    shell = request.param
    if shutil.which(shell) is None:
        pytest.skip(f"no {shell}")
    home = tmp_path_factory.mktemp(shell)
    command = home / "metarl"
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m metarl "$@"\n')
    command.chmod(0o755)
    environment = {**os.environ, "PATH": f"{home}{os.pathsep}{os.environ['PATH']}"}
    printed = subprocess.run(
        [command, "completion", shell], env=environment, capture_output=True, text=True
    ).stdout

    def complete(*words):
        script = f"{printed}\n{DRIVER}"
        if shell == "zsh":  # its bashcompinit calls functions as sh would
            script = script.replace("_metarl;", "emulate sh -c _metarl;")
            script = f"autoload -U compinit; compinit -u; {script}"
        done = subprocess.run(
            [shell, "-c", script, shell, *words],
            env=environment,
            cwd=Path(__file__).parents[2],
            capture_output=True,
            text=True,
        )
        # zsh narrows down by itself what it is offered.
        return [w for w in done.stdout.split() if w.startswith(words[-1])]

    return complete


@pytest.mark.slow
def test_it_completes(complete):
    assert complete("tr") == ["train"]
    assert complete("") == list(COMMANDS)
    assert complete("train", "arm-l") == ["arm-lift"]
    assert complete("train", "arm-lift", "") == list(names("agents"))
    assert "--query-episodes" in complete("evaluate", "RUN", "--")
    assert complete("video", "RUN", "--gr") == ["--grid", "--growing"]
    assert "point-goal-maml" in complete("play", "")
    assert complete("paper", "") == ["point-goal", "cheetah-direction"]


def test_an_unknown_shell_is_one_message(capsys):
    with pytest.raises(SystemExit):
        main(["completion", "fish"])
    assert "fish" in capsys.readouterr().err
