"""Every registered model keeps the contract, and so does every kind of model that the interface promises."""

from __future__ import annotations

from typing import Any

import pytest

from tests.toy_models import Shifter
from tests.toys import ToyEnv
from worldsim.checks import check_world_model
from worldsim.registry import MODELS

BUILTIN = [name for name in MODELS.names() if name.startswith("worldsim/")]


def toy(**kwargs: Any) -> Any:
    return lambda: ToyEnv(size=(32, 32), **kwargs)


@pytest.mark.parametrize("name", BUILTIN)
def test_every_registered_model_keeps_the_contract(name: str) -> None:
    report = check_world_model(MODELS.get(name), env=toy(open_future=True, actions="dict"))
    assert report.ok, str(report)


@pytest.mark.parametrize(
    "kwargs",
    [
        {"n": 4},
        {"n": 4, "noise": 9, "context": 3},
        {"sizes": ((32, 32), (20, 48), (64, 64))},
        {"sizes": None, "noise": 5},
        {"text": True},
        {"text": True, "n": 4, "sizes": ((64, 64),), "noise": 3, "context": 2, "rewards": True},
        {"max_batch": 1},
        {"max_batch": 2, "rewards": True, "ends_at": 2},
    ],
    ids=lambda k: "-".join(k),
)
@pytest.mark.parametrize("env", [None, toy()], ids=["pattern", "truth"])
def test_the_interface_carries_every_kind(kwargs: dict[str, Any], env: Any) -> None:
    """Chunked, variable-size, independent resets inside a batch, text-only start, one world only."""
    report = check_world_model(lambda: Shifter(**kwargs), env=env)
    assert report.ok, str(report)
    ran = {c.name for c in report.clauses if c.status == "pass"}
    assert {"step", "same seed, same frames", "snapshot and restore"} <= ran
    assert ("text alone" in ran) == bool(kwargs.get("text"))
    assert ("batch equals single" in ran) == (kwargs.get("max_batch") != 1)
    assert "reset of some worlds" in ran
