"""Environments for the tests: with the fake bridge, and with the real one where it is installed."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from worldsim.envs.minecraft import installation
from worldsim.envs.minecraft.child import Bridge
from worldsim.envs.minecraft.env import MinecraftEnv

FAKE = str(Path(__file__).with_name("fake_bridge.py"))


def fake_bridge(fault: str = "", *, timeout: float = 20.0) -> Bridge:
    return Bridge([sys.executable, FAKE, fault], timeout=timeout)


def fake_env(fault: str = "", *, timeout: float = 20.0, **kwargs: Any) -> MinecraftEnv:
    return MinecraftEnv(start_bridge=lambda: fake_bridge(fault, timeout=timeout), **{"size": (16, 24), **kwargs})


def lacking() -> str:
    """Why the real bridge cannot run here, or ""."""
    reasons = [what for what, _ in installation.lacking_programs()]
    if not installation.is_installed():
        reasons.append(f"the npm packages are not installed: {installation.INSTALL}")
    return "; ".join(reasons)


needs_bridge = pytest.mark.skipif(bool(lacking()), reason=lacking() or "installed")
