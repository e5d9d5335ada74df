"""Where the tests get a Python with MineRL: the stand-in of `fake/`, always; the real client, where one is named."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
FAKE = str(HERE / "fake" / "python")


@pytest.fixture(autouse=True)
def interpreter(monkeypatch: pytest.MonkeyPatch) -> None:
    """The stand-in runs in the Python of the tests, which has numpy."""
    monkeypatch.setenv("WORLDSIM_FAKE_PYTHON", sys.executable)


@pytest.fixture(scope="session")
def real() -> str:
    """The interpreter of $WORLDSIM_MINERL_PYTHON, with the real `minerl`."""
    python = os.environ.get("WORLDSIM_MINERL_PYTHON")
    if not python:
        pytest.skip("$WORLDSIM_MINERL_PYTHON names no Python with minerl: see docs/minerl.md")
    return python
