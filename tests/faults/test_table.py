"""The table of faults, and what is refused."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.faults.tour import begin, toy
from worldsim.errors import ConfigError, UnknownNameError, UnsupportedError
from worldsim.faults import FAULTS, Fault, FaultSpec, make_fault
from worldsim.oracle import Oracle

FAMILIES = {
    *("geometry", "permanence", "interaction", "coherence", "control"),
    *("fidelity", "distribution", "policy", "text"),
}


@pytest.mark.parametrize("spec", FAULTS.values(), ids=list(FAULTS))
def test_every_fault_is_declared_in_full(spec: FaultSpec) -> None:
    assert len(spec.full) >= 5 and len(spec.ci) == 3 and set(spec.ci) <= set(spec.full)
    assert spec.full[0] > 0 and list(spec.full) == sorted(set(spec.full)) and spec.full[-1] <= spec.limit
    assert spec.moves and spec.moves <= FAMILIES and spec.plants and spec.unit
    for severity in (0, *spec.full, spec.limit):
        fault = make_fault(spec.name, severity)
        assert isinstance(fault, Fault) and isinstance(fault, Oracle) and fault.severity == severity
        assert fault.spec.privileged and spec.name in fault.spec.name
    assert not make_fault(spec.name).spec.stochastic
    for wrong in (-0.1, spec.limit * 1.01, float("nan")):
        with pytest.raises(ConfigError, match="severity"):
            make_fault(spec.name, wrong)


def test_every_family_has_a_fault() -> None:
    assert set().union(*(spec.moves for spec in FAULTS.values())) == FAMILIES
    assert sum(spec.cheat for spec in FAULTS.values()) == 7


def test_mistakes_are_answered() -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'vanish'"):
        make_fault("vanis")
    with pytest.raises(ConfigError, match="whole number"):
        make_fault("lag", 1.5)
    with pytest.raises(UnsupportedError, match=r"'edit-ignored' needs a truth with SetCell, cells"):
        begin(make_fault("edit-ignored", 1), toy)
    with pytest.raises(ConfigError, match="at least five"):
        FaultSpec(**{**vars(FAULTS["blur"]), "full": (1, 2)})
    with pytest.raises(ConfigError, match="must increase"):
        FaultSpec(**{**vars(FAULTS["tint"]), "full": (0.1, 0.4, 0.2, 0.6, 0.8)})


def test_worldsim_itself_does_not_load_them() -> None:
    code = "import sys, worldsim; sys.exit('worldsim.faults' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
