"""Three routes into a registry, the third through a tiny distribution on sys.path; and names that lead nowhere."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import worldsim
from worldsim.errors import ConfigError, UnknownNameError
from worldsim.registry import CONTROLLERS, ENVS, METRICS, MODELS, Registry

SOURCE = '''
import numpy as np
from worldsim import ModelSpec, Prediction


class Still:
    """Shows the last frame for ever."""

    spec = ModelSpec(name="still")

    def reset(self, context, *, seeds, indices=None):
        if indices is None:
            self.last = context.frames[:, -1].copy()
        else:
            self.last[list(indices)] = context.frames[:, -1]

    def step(self, actions):
        return Prediction(frames=self.last[:, None].copy())
'''


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A folder as pip leaves it: a module, and the metadata of the distribution that it belongs to."""
    (tmp_path / "tiny_models.py").write_text(SOURCE)
    info = tmp_path / "tiny_models-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: tiny-models\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[worldsim.models]\n"
        "tiny/still = tiny_models:Still\n"
        "tiny/broken = tiny_models_that_are_not_there:Still\n"
        "worldsim/Frozen = tiny_models:Still\n"
    )
    return tmp_path


def run(site: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """`worldsim ...` in a new process that finds the distribution."""
    path = os.pathsep.join([str(site), os.environ.get("PYTHONPATH", "")])
    env = os.environ | {"PYTHONPATH": path}
    return subprocess.run([sys.executable, "-m", "worldsim", *words], cwd=site, env=env, capture_output=True, text=True)


def test_a_file(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(SOURCE)
    made = MODELS.get(f"{file}:Still")
    assert made().spec.name == "still"
    assert MODELS.get(f"{file}:Still") is made, "a file runs once"
    with pytest.raises(UnknownNameError, match="Did you mean 'Still'"):
        MODELS.get(f"{file}:Stil")
    with pytest.raises(UnknownNameError, match="no file"):
        MODELS.get(f"{tmp_path / 'yours.py'}:Still")
    file = tmp_path / "wrong.py"
    file.write_text("1 / 0")
    for _ in range(2):  # what failed once is not half there the second time
        with pytest.raises(ConfigError, match="ZeroDivisionError"):
            MODELS.get(f"{file}:Still")


def test_a_decorator(monkeypatch: pytest.MonkeyPatch) -> None:
    MODELS.names()  # fills the table, so that the test takes away no more than it added
    monkeypatch.setattr(MODELS, "_table", dict(MODELS._table))

    @worldsim.register_model("me/mine")
    class Mine:
        """Mine."""

    assert MODELS.get("me/mine") is Mine and "me/mine" in MODELS and "me/mine" in MODELS.names()
    with pytest.raises(ConfigError, match="registered already"):
        worldsim.register_model("worldsim/Frozen", Mine)


def test_an_entry_point(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(site)
    table: Registry[type] = Registry("model", {"worldsim/Frozen": "worldsim.baselines:Frozen"}, "worldsim.models")
    assert table.names() == ["tiny/broken", "tiny/still", "worldsim/Frozen"]
    assert "tiny_models" not in sys.modules, "listing imports nothing"
    assert table.get("tiny/still").__module__ == "tiny_models"
    assert table.target("worldsim/Frozen") == "worldsim.baselines:Frozen", "a plug-in cannot take our names"
    with pytest.raises(ConfigError, match=r"'tiny/broken' .* cannot be imported: No module named"):
        table.get("tiny/broken")
    monkeypatch.delitem(sys.modules, "tiny_models")


def test_an_entry_point_from_the_command_line(site: Path) -> None:
    listed = run(site, "ls", "models")
    assert "tiny/still\tShows the last frame for ever." in listed.stdout and listed.returncode == 0, listed.stderr
    checked = run(site, "check", "model", "tiny/still")
    assert checked.returncode == 0, checked.stdout + checked.stderr
    done = run(site, "eval", "--model", "tiny/still", "--scenarios", "quick", "--episodes", "1", "--out", "run")
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads((site / "run" / "run.json").read_text())["model"]["reference"] == "tiny/still"


@pytest.mark.parametrize("table", [MODELS, METRICS, ENVS, CONTROLLERS], ids=lambda t: t.kind)
def test_every_builtin_name_is_there_and_a_typo_gets_the_nearest(table: Registry[type]) -> None:
    for name in table.names():
        assert callable(table.get(name))
        with pytest.raises(UnknownNameError, match="Did you mean"):
            table.get(name + "x")
