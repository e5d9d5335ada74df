"""Every registered metric keeps the contract of `Metric`."""

from __future__ import annotations

import pytest

from tests.toys import ToyEnv
from worldsim.checks import check_metric
from worldsim.registry import METRICS


@pytest.mark.parametrize("name", METRICS.names())
def test_every_registered_metric_keeps_the_contract(name: str) -> None:
    report = check_metric(METRICS.get(name), env=ToyEnv)
    assert report.ok, str(report)
