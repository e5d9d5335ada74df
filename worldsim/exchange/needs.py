"""Optional libraries, with the command that installs them where they are missing."""

from __future__ import annotations

import importlib
from typing import Any

from worldsim.errors import PrerequisiteError


def need(module: str, what: str) -> Any:
    """Imports an optional module.

    Raises:
        PrerequisiteError: If it is not installed; says how to install it.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise PrerequisiteError(
            f"{what} needs {module.partition('.')[0]}, which is not installed: `pip install 'worldsim[datasets]'`"
        ) from error
