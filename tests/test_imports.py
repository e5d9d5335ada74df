"""`import worldsim` is light; and the import contracts of `.importlinter` hold and can fail."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import worldsim

ROOT = Path(__file__).parents[1]
HEAVY = {"torch", "gymnasium", "numba", "scipy", "pandas", "torchmetrics", "cv2", "av", "rich", "jinja2", "tyro"}


def modules_after(code: str) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-c", f"{code}; import json, sys; print(json.dumps(sorted(sys.modules)))"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return set(json.loads(done.stdout.splitlines()[-1]))


def test_import_worldsim_is_next_to_nothing():
    added = modules_after("import worldsim") - modules_after("pass")
    assert not HEAVY & added
    assert "numpy" not in added
    assert len(added) < 60, sorted(added)


def test_the_public_names_need_neither_torch_nor_gymnasium():
    loaded = modules_after("import worldsim; [getattr(worldsim, name) for name in worldsim.__all__]")
    assert not HEAVY & loaded


@pytest.mark.parametrize("module", ["worldsim.video", "worldsim.config", "worldsim.store", "worldsim.reports"])
def test_light_modules(module):
    assert not {"torch", "gymnasium", "numba"} & modules_after(f"import {module}")


def test_every_public_name_is_there():
    for name in worldsim.__all__:
        assert getattr(worldsim, name) is not None
    assert set(worldsim.__all__) <= set(dir(worldsim))
    with pytest.raises(AttributeError, match="no attribute 'Modle'"):
        worldsim.Modle  # noqa: B018


def contracts(folder: Path) -> str:
    code = "import sys; from importlinter.cli import lint_imports_command as c; c(['--no-cache'])"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, env={"PYTHONPATH": "."}
    )
    return done.stdout + done.stderr


def test_contracts_hold_and_can_fail(tmp_path):
    """A copy of the tree passes; with one forbidden import planted on each floor it does not."""
    if not (ROOT / ".importlinter").is_file():
        pytest.skip("not a checkout")
    shutil.copytree(ROOT / "worldsim", tmp_path / "worldsim", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / ".importlinter", tmp_path)
    told = contracts(tmp_path)
    assert "0 broken" in told, told.partition("Contracts:")[2]
    for file, line in (
        ("metrics/base.py", "import worldsim.envs"),
        ("types.py", "import worldsim.store"),
        ("reports/page.py", "import torch"),
    ):
        path = tmp_path / "worldsim" / file
        text = path.read_text()
        path.write_text(f"{text}\n{line}\n")
        assert "0 broken" not in contracts(tmp_path), f"{line!r} in {file} went unnoticed"
        path.write_text(text)
