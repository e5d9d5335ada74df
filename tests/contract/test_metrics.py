"""Every registered metric keeps the public contract, on the walks of the toy hall."""

from __future__ import annotations

import pytest

from tests.toys import ToyEnv
from worldsim.checks import check_metric
from worldsim.registry import METRICS


@pytest.mark.parametrize("name", METRICS.names())
def test_registered_metrics_keep_the_contract(name: str) -> None:
    metric = METRICS.get(name)
    assert metric.spec.name == name
    report = check_metric(metric, env=lambda: ToyEnv(size=(48, 64)))
    assert report.ok, str(report)
