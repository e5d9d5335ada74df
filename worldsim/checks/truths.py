"""`check_truth_env`."""

from typing import Any
from worldsim.checks.report import Report


def check_truth_env(factory: Any) -> Report:
    raise NotImplementedError
