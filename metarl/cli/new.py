"""`metarl new`: a starting file for a family of your own."""

import keyword
import re
import shlex
from pathlib import Path
from typing import Literal

from tyro.conf import Positional

from metarl.errors import InputError

_TEMPLATES = Path(__file__).with_name("templates")
_CLASS = "MyRobot"
"""Name of the template's class."""


def new(
    kind: Positional[Literal["family"]],
    name: Positional[str],
    out: Path | None = None,
    robot: str | None = None,
    base: Literal["file", "fixed", "free"] = "file",
) -> None:
    """Write a starting file for a family of your own. No file is overwritten.

    Args:
        kind: what to write.
        name: of the family, such as my_robot.
        out: the file; default: NAME.py in this folder.
        robot: a URDF or MJCF file, or menagerie:NAME such as menagerie:unitree_go1;
            default: a puck on a table.
        base: of the robot: fixed, free, or as its file has it.
    """
    path, class_name = new_family(name, out, robot, base)
    reference = shlex.quote(f"{path}:{class_name}")
    agent = "maml --steps 800000" if robot is None else "randomized --steps 1000000"
    print(f"Written: {path}")
    print(f"Next: metarl check {reference}")
    print(f"      metarl train {reference} {agent}")


def new_family(
    name: str,
    out: Path | str | None = None,
    robot: str | None = None,
    base: Literal["file", "fixed", "free"] = "file",
) -> tuple[Path, str]:
    """Write a small, commented family that works as it is.

    Args:
        name: "my_robot", "my-robot" and "MyRobot" all make the class ``MyRobot``; so
            does "my_robot.py".
        out: the file; default: the name in lower case, in the current folder.
        robot: see `metarl.robot`; default: a puck on a table.
        base: of the robot: fixed, free, or as its file has it.

    Returns:
        The file and the name of the class in it.

    Raises:
        InputError: if the name is no name, the file exists or cannot be written, or
            the robot cannot be read.
    """
    name = name.removesuffix(".py")
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9]*([-_][A-Za-z0-9]+)*", name):
        raise InputError(
            f"{name!r} is no name for a family: letters, digits, - and _, such as "
            "my_robot."
        )
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).replace("-", "_").split("_")
    class_name = "".join(word[0].upper() + word[1:] for word in words)
    path = Path(out) if out else Path(f"{'_'.join(words).lower()}.py")
    if path.suffix != ".py":
        raise InputError(f"--out {path} must end in .py.")
    if robot is None and base != "file":
        raise InputError(f"--base {base} goes with --robot.")
    text = (_TEMPLATES / "puck.py").read_text()
    if robot is not None:
        from metarl.cli.robot_family import fill

        text = fill(_TEMPLATES, robot, base, path)
    taken = class_name != _CLASS and re.search(rf"\b{class_name}\b", text)
    if taken or keyword.iskeyword(class_name):
        raise InputError(
            f"{class_name!r} has a meaning in the file already. Choose another name."
        )
    text = text.replace(_CLASS, class_name).replace("FILE", shlex.quote(str(path)))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("x") as file:
            file.write(text)
    except FileExistsError as error:
        raise InputError(f"{path} exists and is left as it is.") from error
    except OSError as error:
        raise InputError(f"Cannot write {path}: {error.strerror}.") from error
    return path, class_name
