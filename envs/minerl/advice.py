"""Which Python has MineRL, and what to do where none has."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from worldsim.errors import PrerequisiteError

VARIABLE = "WORLDSIM_MINERL_PYTHON"
INSTALL = (
    "MineRL lives in a Python of its own, with Java 8: make one as docs/minerl.md says "
    "(python3 -m venv minerl-env && minerl-env/bin/pip install minerl==0.4.4, or "
    "git+https://github.com/minerllabs/minerl@v1.0.2), then name it: --env-args python=minerl-env/bin/python, or "
    f"export {VARIABLE}=$PWD/minerl-env/bin/python. `worldsim doctor minerl` says what is missing."
)


def find_python(given: str | None) -> str:
    """The absolute path of the interpreter that the user named (links are kept: they make a virtual environment).

    Args:
        given: Path or command; None = what $WORLDSIM_MINERL_PYTHON says.

    Raises:
        PrerequisiteError: If none was named, or there is no such program.
    """
    name = given or os.environ.get(VARIABLE, "")
    if not name:
        raise PrerequisiteError(f"no Python with MineRL was named. {INSTALL}")
    path = Path(name).expanduser()
    found = shutil.which(str(path)) if path.parent == Path() else str(path)
    if found is None or not os.access(found, os.X_OK) or not Path(found).is_file():
        raise PrerequisiteError(f"{name} is no program that can be started. {INSTALL}")
    return str(Path.cwd() / found)
