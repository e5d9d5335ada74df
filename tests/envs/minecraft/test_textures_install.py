"""`worldsim doctor minecraft --install --textures` against stand-ins for npm: whole, or nothing and why."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.envs.minecraft import art
from tests.envs.minecraft.test_installation import program
from worldsim.cli import minecraft as cli
from worldsim.cli import minecraft_textures
from worldsim.cli.doctor import doctor_command
from worldsim.envs.minecraft import installation, textures
from worldsim.errors import ConfigError, PrerequisiteError

Npm = Callable[[str], None]


@pytest.fixture
def npm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Npm:
    """A machine where the bridge is installed; returns what sets the text of npm's stand-in."""
    programs = tmp_path / "bin"
    program(programs, "node", "echo v22.1.0")
    program(programs, "Xvfb", "exit 0")
    monkeypatch.setenv("PATH", str(programs))
    monkeypatch.setenv("WORLDSIM_HOME", str(tmp_path / "home"))
    installation.folder().mkdir(parents=True)
    (installation.folder() / "complete").write_text("x")
    monkeypatch.setattr(textures, "INTEGRITY", art.package(tmp_path / "good.tgz"))
    return lambda text: program(programs, "npm", f"good={tmp_path}/good.tgz\n{text}")


FETCHES = 'echo "$*" > "$good.said"; /bin/mkdir -p "$6/x"; /bin/cp $good prismarine-viewer-1.33.0.tgz'


def left() -> list[str]:
    return sorted(p.name for p in (installation.home() / "minecraft").iterdir())


def test_the_textures_are_fetched_checked_baked_and_the_tarball_deleted(
    npm: Npm, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    npm(FETCHES)
    assert doctor_command(["minecraft", "--install", "--textures"]) == 0
    said = capsys.readouterr().out
    assert "Mojang's" in said and "not affiliated" in said and "MB in" in said and "ok       the bridge" in said
    assert textures.is_baked() and left() == sorted([installation.lock_hash(), textures.folder().name])
    about = json.loads((textures.folder() / "atlas.json").read_text())
    assert {"grass_block", "stone"} <= set(about["blocks"])
    words = (tmp_path / "good.tgz.said").read_text()
    assert words.startswith("pack prismarine-viewer@1.33.0 --ignore-scripts") and "--cache" in words


def test_a_second_time_nothing_is_fetched_but_with_force(npm: Npm, capsys: pytest.CaptureFixture[str]) -> None:
    npm(FETCHES)
    minecraft_textures.add_textures()
    npm("exit 9")
    minecraft_textures.add_textures()
    assert "ok       the block textures are in" in capsys.readouterr().out
    with pytest.raises(Exception, match="ended with 9"):
        minecraft_textures.add_textures(force=True)
    assert textures.is_baked()  # the old ones


def test_without_the_word_nothing_is_fetched(npm: Npm) -> None:
    npm("exit 9")
    for args in ([], ["--install"]):
        for tool in ("g++", "make", "python3"):
            program(Path(str(shutil.which("node"))).parent, tool, "exit 0")
        program(Path(str(shutil.which("node"))).parent, "pkg-config", "exit 0")
        assert doctor_command(["minecraft", *args]) == 0
    assert left() == [installation.lock_hash()]
    with pytest.raises(ConfigError, match="--textures goes with --install"):
        doctor_command(["minecraft", "--textures"])


def test_only_npm_is_needed_where_the_bridge_is_installed(npm: Npm, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(PrerequisiteError, match="install what is missing"):
        doctor_command(["minecraft", "--install", "--textures"])
    said = capsys.readouterr().out
    assert "npm is not on the PATH" in said and "g++" not in said


def test_a_bridge_that_is_not_there_is_installed_first(npm: Npm, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.rmtree(installation.folder())
    npm(FETCHES)
    order: list[str] = []
    monkeypatch.setattr(cli, "_lacking_tools", lambda programs: order.append(",".join(programs)) or ())
    monkeypatch.setattr(cli, "install", lambda *_: order.append("bridge"))
    monkeypatch.setattr(cli, "add_textures", lambda **_: order.append("textures"))
    assert doctor_command(["minecraft", "--install", "--textures"]) == 0
    assert order == [",".join(installation.BUILD_PROGRAMS), "bridge", "textures"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("echo npm error code ENOTFOUND; exit 1", "could not reach its registry"),
        ("echo npm error network request failed; exit 1", "proxy"),
        ("echo npm error code ENOSPC >&2; exit 228", "the disk was full"),
        ("echo something else; exit 7", "ended with 7"),
        ("exit 0", "left no tarball"),
        ("echo rubbish > prismarine-viewer-1.33.0.tgz", "not the file that was checked"),
    ],
)
def test_what_fails_is_named_and_leaves_nothing(
    npm: Npm, capsys: pytest.CaptureFixture[str], text: str, words: str
) -> None:
    npm(text)
    assert doctor_command(["minecraft", "--install", "--textures"]) == 1
    said = capsys.readouterr().out
    assert words in said and "error: the installation failed" in said
    assert left() == [installation.lock_hash()]


@pytest.mark.parametrize(
    ("members", "words"),
    [
        ({textures.MEMBERS[0]: b"no picture"}, "the picture of the blocks is damaged"),
        ({textures.MEMBERS[1]: b'{"stone": '}, "the models of the blocks are damaged"),
        ({textures.MEMBERS[1]: b"[" * 100_000}, "the models of the blocks are damaged"),
        ({textures.MEMBERS[1]: b"[1]"}, "got a list"),
        ({textures.MEMBERS[1]: b'{"stone": {}}'}, "the model of block 'stone'"),
    ],
)
def test_a_package_with_damaged_files_is_named(
    npm: Npm,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    members: dict[str, bytes],
    words: str,
) -> None:
    npm(FETCHES)
    whole = {**art.good_members(), **members}
    monkeypatch.setattr(textures, "INTEGRITY", art.package(tmp_path / "good.tgz", whole))
    assert doctor_command(["minecraft", "--install", "--textures"]) == 1
    assert words in capsys.readouterr().out and left() == [installation.lock_hash()]


def test_a_full_disk_is_said(npm: Npm, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    npm(FETCHES)
    with monkeypatch.context() as small:
        small.setattr(minecraft_textures, "ROOM", 1e30)
        assert doctor_command(["minecraft", "--install", "--textures"]) == 1
    assert "MB must be free" in capsys.readouterr().out

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(textures, "write", full)
    assert doctor_command(["minecraft", "--install", "--textures"]) == 1
    assert "is full; set WORLDSIM_HOME" in capsys.readouterr().out
    assert left() == [installation.lock_hash()]
