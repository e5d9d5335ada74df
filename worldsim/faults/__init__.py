"""Planted faults: the truth, wrong in one way by a known amount, on which metrics are proved."""

from worldsim.faults.base import Fault
from worldsim.faults.table import FAULTS, FaultSpec, make_fault

__all__ = ["FAULTS", "Fault", "FaultSpec", "make_fault"]
