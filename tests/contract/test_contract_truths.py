"""The toy truth in all its forms, and every registered environment, keep the contract of `TruthEnv`."""

from __future__ import annotations

import functools
from typing import Any

import pytest

from tests.toys import ToyEnv
from worldsim.checks import check_truth_env
from worldsim.registry import ENVS


@pytest.mark.parametrize(
    "kwargs",
    [
        {},
        {"open_future": True, "actions": "dict"},
        {"snapshots": False, "actions": "box"},
        {"objects": 0},
        {"terminate_at": 5, "size": (16, 20)},
    ],
    ids=str,
)
def test_the_toy_keeps_the_contract(kwargs: dict[str, Any]) -> None:
    report = check_truth_env(lambda: ToyEnv(**kwargs))
    assert report.ok, str(report)


@pytest.mark.parametrize(
    "kwargs",
    [
        {},
        {"preset": "village", "actions": "discrete", "size": (32, 48)},
        {"task": "survive-night", "actions": "continuous", "size": (32, 32)},
    ],
    ids=str,
)
def test_the_built_in_world_keeps_the_contract(kwargs: dict[str, Any]) -> None:
    report = check_truth_env(functools.partial(ENVS.get("blocks"), **kwargs))
    assert report.ok, str(report)
