"""Every fault is a world model like any other: it passes the public checker at a middle severity."""

from __future__ import annotations

import pytest

from tests.toys import ToyEnv
from worldsim.checks import check_world_model
from worldsim.envs.blocks.env import BlocksEnv
from worldsim.faults import FAULTS, make_fault


@pytest.mark.parametrize("name", FAULTS)
def test_every_fault_keeps_the_contract(name: str) -> None:
    spec = FAULTS[name]

    def hall() -> ToyEnv:
        return ToyEnv(actions="dict")

    def arena() -> BlocksEnv:
        return BlocksEnv(preset="arena", size=(32, 32))

    report = check_world_model(
        lambda: make_fault(name, spec.full[2]), env=arena if spec.any_of or spec.needs & {"StopProcess"} else hall
    )
    assert report.ok, str(report)
    ran = {c.name for c in report.clauses if c.status == "pass"}
    assert {"same seed, same frames", "reset of some worlds", "batch equals single", "snapshot and restore"} <= ran
