"""`check_metric`."""

from typing import Any

from worldsim.checks.report import Report


def check_metric(metric: Any) -> Report:
    raise NotImplementedError
