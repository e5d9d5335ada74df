"""What is in the folders is in the wheel, all of it, and nothing else. `.ci/run` installs it and imports it all."""

import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

import worldsim

ROOT = Path(__file__).parents[1]
ROOMS = ("envs", "metrics", "model", "reports")

pytestmark = pytest.mark.skipif(not (ROOT / "setup.py").is_file(), reason="not a checkout")


def sources() -> dict[str, Path]:
    """Name in the wheel -> file, for every file below the five folders that is not a cache."""
    found = {}
    for path in (ROOT / "worldsim").rglob("*"):
        if path.is_file() and not set(path.relative_to(ROOT / "worldsim").parts[:1]) & set(ROOMS):
            found[path.relative_to(ROOT).as_posix()] = path
    for room in ROOMS:
        for path in (ROOT / room).rglob("*"):
            if path.is_file():
                found[f"worldsim/{path.relative_to(ROOT).as_posix()}"] = path
    return {
        name: path for name, path in found.items() if "__pycache__" not in name and not name.endswith((".nbi", ".nbc"))
    }


def test_every_folder_with_python_is_a_package():
    """A folder without __init__.py imports fine here and is silently absent from the wheel."""
    for name, path in sources().items():
        if name.endswith(".py"):
            assert (path.parent / "__init__.py").is_file(), f"{path.parent} holds {path.name} but no __init__.py"


def test_links_lead_to_the_rooms():
    for room in ROOMS:
        link = ROOT / "worldsim" / room
        assert link.is_symlink() and not link.readlink().is_absolute(), f"worldsim/{room} must be a relative link"
        assert link.resolve() == (ROOT / room).resolve()


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> zipfile.ZipFile:
    """Built from a copy, so that no build/ folder is left in the tree or found in it."""
    work = tmp_path_factory.mktemp("wheel")
    copy = work / "tree"
    copy.mkdir()
    for name in ("pyproject.toml", "setup.py", "LICENSE", "README.md"):
        (copy / name).write_bytes((ROOT / name).read_bytes())
    for name, path in sources().items():
        target = copy / (name if name.split("/")[1] not in ROOMS else name.split("/", 1)[1])
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(path.read_bytes())
    for room in ROOMS:
        (copy / "worldsim" / room).symlink_to(Path("..", room))
    done = subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(work / "dist"), str(copy)],
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    (path,) = (work / "dist").glob("*.whl")
    return zipfile.ZipFile(path)


def test_the_wheel_holds_every_file_once(wheel):
    inside = [name for name in wheel.namelist() if ".dist-info/" not in name]
    assert len(inside) == len(set(inside))
    assert sorted(inside) == sorted(sources()), "see [tool.setuptools.package-data] in pyproject.toml"
    for name, path in sources().items():
        assert wheel.read(name) == path.read_bytes(), name


def test_the_wheel_brings_one_name_only(wheel):
    tops = {name.split("/")[0] for name in wheel.namelist()}
    assert tops == {"worldsim", f"worldsim-{worldsim.__version__}.dist-info"}
    info = f"worldsim-{worldsim.__version__}.dist-info"
    assert wheel.read(f"{info}/entry_points.txt").decode().split() == [
        "[console_scripts]", "worldsim", "=", "worldsim.cli.main:main",
    ]  # fmt: skip
    assert any(name.startswith(f"{info}/licenses/LICENSE") for name in wheel.namelist())
    assert "worldsim/py.typed" in wheel.namelist()


def test_one_version():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["version"] == worldsim.__version__
    assert f'version: "{worldsim.__version__}"' in (ROOT / "CITATION.cff").read_text()
    assert f"## {worldsim.__version__}" in (ROOT / "CHANGELOG.md").read_text()
