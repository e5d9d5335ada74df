"""What is missing is said in words, with the command that gets it; an installation is whole or absent."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from worldsim.cli import minecraft as cli
from worldsim.cli.doctor import doctor_command
from worldsim.envs.minecraft import installation
from worldsim.envs.minecraft.env import MinecraftEnv
from worldsim.errors import PrerequisiteError, WorldsimError


def program(folder: Path, name: str, text: str) -> None:
    folder.mkdir(exist_ok=True)
    file = folder / name
    file.write_text(f"#!/bin/sh\n{text}\n")
    file.chmod(0o755)


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with nothing on its PATH and an empty home; returns the folder for programs."""
    programs = tmp_path / "bin"
    programs.mkdir()
    monkeypatch.setenv("PATH", str(programs))
    monkeypatch.setenv("WORLDSIM_HOME", str(tmp_path / "home"))
    return programs


def test_the_folder_is_the_users_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLDSIM_HOME", "/somewhere")
    assert installation.folder() == Path("/somewhere/minecraft") / installation.lock_hash()
    monkeypatch.delenv("WORLDSIM_HOME")
    monkeypatch.setenv("XDG_DATA_HOME", "/data")
    assert installation.home() == Path("/data/worldsim")


def test_everything_that_is_missing_is_named_at_once(machine: Path) -> None:
    with pytest.raises(PrerequisiteError) as error:
        MinecraftEnv()
    words = str(error.value)
    assert "Node.js >= 20 is not on the PATH" in words and "Xvfb" in words and "npm packages" in words
    assert installation.INSTALL in words and error.value.exit_code == 3


def test_a_node_that_is_too_old_is_named_with_its_version(machine: Path) -> None:
    program(machine, "node", "echo v16.3.0")
    assert "is 16.3.0" in next(what for what, _ in installation.lacking_programs() if "Node" in what)


def test_the_doctor_says_what_to_install(machine: Path, capsys: pytest.CaptureFixture[str]) -> None:
    program(machine, "node", "echo v22.1.0")
    program(machine, "Xvfb", "exit 0")
    with pytest.raises(PrerequisiteError, match="--install"):
        doctor_command(["minecraft"])
    with pytest.raises(PrerequisiteError, match=r"apt-get install .*libxi-dev"):
        doctor_command(["minecraft", "--install"])
    assert "npm is not on the PATH" in capsys.readouterr().out


def test_a_node_that_does_not_start_is_said_to(machine: Path) -> None:
    program(machine, "node", "exit 127")
    assert "is one that does not start" in next(what for what, _ in installation.lacking_programs() if "Node" in what)


def test_a_missing_header_is_named_with_its_package(machine: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("node", "Xvfb", "npm", "g++", "make", "python3"):
        program(machine, name, "echo v22.1.0")
    program(machine, "pkg-config", '[ "$2" != xi ] && [ "$2" != glew ]')
    with pytest.raises(PrerequisiteError, match="install what is missing"):
        doctor_command(["minecraft", "--install"])
    said = capsys.readouterr().out
    assert "the headers of xi are not installed" in said and "apt-get install libxi-dev" in said
    assert "the headers of glew are not installed" in said and "headers of gl are" not in said
    assert not (installation.home() / "minecraft").exists()  # nothing was begun


def test_headers_beside_node_are_used_and_a_setting_of_the_users_goes_first(
    machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("npm_config_nodedir", raising=False)
    program(machine, "node", "echo v22.1.0")
    program(machine, "npm", 'echo "headers in $npm_config_nodedir"; exit 4')
    headers = machine.parent / "include" / "node"
    with pytest.raises(WorldsimError, match=r"headers in$"):
        cli.install(installation.BRIDGE, installation.folder(), "1.16.5")
    headers.mkdir(parents=True)
    (headers / "node.h").write_text("")
    with pytest.raises(WorldsimError, match=f"headers in {machine.parent}$"):
        cli.install(installation.BRIDGE, installation.folder(), "1.16.5")
    monkeypatch.setenv("npm_config_nodedir", "/mine")
    with pytest.raises(WorldsimError, match=r"headers in /mine$"):
        cli.install(installation.BRIDGE, installation.folder(), "1.16.5")


NPM = """
if [ "$1" = ci ]; then /bin/mkdir -p node_modules/gl node_modules/gl/angle; echo 'npm http fetch GET 200 x'; fi
if [ "$1" = rebuild ]; then /bin/mkdir -p node_modules/gl/build/Release/obj.target
  echo '  CXX(target) Release/a.o'; echo x > node_modules/gl/build/Release/webgl.node; fi
"""


def test_an_installation_is_pruned_and_tried(
    machine: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    program(machine, "npm", NPM)
    monkeypatch.setattr(cli, "_try_out", lambda folder: "tried")
    cli.install(installation.BRIDGE, installation.folder(), "1.16.5")
    assert installation.is_installed()
    left = sorted(p.name for p in (installation.folder() / "node_modules" / "gl").rglob("*"))
    assert left == ["Release", "build", "webgl.node"]
    said = capsys.readouterr().out
    assert "1/4" in said and "4/4  tried" in said


@pytest.mark.parametrize(("npm", "words"), [("echo cannot reach it; exit 9", "ended with 9"), ("exit 0", "left no")])
def test_a_failed_installation_leaves_nothing(machine: Path, npm: str, words: str) -> None:
    program(machine, "npm", npm)
    with pytest.raises(WorldsimError, match=words):
        cli.install(installation.BRIDGE, installation.folder(), "1.16.5")
    assert not installation.is_installed() and not list((installation.home() / "minecraft").iterdir())


def test_pruning_keeps_one_version(tmp_path: Path) -> None:
    data = tmp_path / "minecraft-data" / "minecraft-data" / "data"
    for name in ("pc/1.16.5", "pc/1.16.2", "pc/1.20", "pc/common", "bedrock/1.21", "bedrock/common", "pc/1.16"):
        (data / name).mkdir(parents=True)
    table = {"pc": {"1.16.5": {"blocks": "pc/1.16.5", "items": "pc/1.16"}, "1.16.2": {"tints": "pc/1.16.2"}}}
    (data / "dataPaths.json").write_text(json.dumps(table))
    (tmp_path / "gl").mkdir()
    cli.prune(tmp_path, "1.16.5")
    left = {os.path.relpath(p, data) for p in data.glob("*/*")}
    assert left == {"pc/1.16.5", "pc/1.16.2", "pc/1.16", "pc/common", "bedrock/common"}
