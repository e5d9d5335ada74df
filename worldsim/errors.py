"""Errors that a user can act on: each message says what was expected, what came, and what to do.

`WorldsimError` is the root, so that the command line can print the message without a traceback and choose the exit
code. Programming mistakes inside worldsim stay ordinary Python exceptions.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class WorldsimError(Exception):
    """Anything a user can mend. `exit_code` is what the command line returns for it."""

    exit_code = 2


class UnknownNameError(WorldsimError):
    """A name that is not registered; the message offers the nearest one."""


class ShapeError(WorldsimError):
    """An array with the wrong shape, dtype or range."""


class ContractError(WorldsimError):
    """A model, environment or metric that breaks its contract."""


class ConfigError(WorldsimError):
    """A setting that does not exist or does not fit."""


class UnsupportedError(WorldsimError):
    """An ability that this environment or model does not have."""


class StoreError(WorldsimError):
    """A run on disk that cannot be read or written."""

    exit_code = 1


class WorldFailure(WorldsimError):
    """A model or environment that raised or hung in a rollout; recorded with its episode, never fatal to the run."""

    exit_code = 1


class DivergedError(WorldsimError):
    """A training whose loss or gradient is no longer a number."""

    exit_code = 1


class PrerequisiteError(WorldsimError):
    """Something that is not installed; the message holds the exact command that installs it."""

    exit_code = 3


def nearest(name: str, known: Iterable[str]) -> str:
    """Returns " Did you mean 'x'?" for the known name closest to `name`, or "" when none is close."""
    by_lower = {k.lower(): k for k in known}
    match = difflib.get_close_matches(name.lower(), by_lower, n=1, cutoff=0.5)
    return f" Did you mean {by_lower[match[0]]!r}?" if match else ""
