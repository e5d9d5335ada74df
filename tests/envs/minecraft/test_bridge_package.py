"""The Node package: its own tests, its lock file, and what of it is shipped."""

from __future__ import annotations

import json
import re
import shutil
import subprocess

import pytest

from worldsim.envs.minecraft import installation


def test_its_own_tests_pass() -> None:
    node = shutil.which("node")
    if node is None or installation.node_version(node) < (installation.NODE_LEAST,):
        pytest.skip(f"Node.js >= {installation.NODE_LEAST} is not installed")
    files = sorted(map(str, (installation.BRIDGE / "test").glob("*.test.js")))
    done = subprocess.run([node, "--test", *files], capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stdout[-4000:]


def test_its_scripts_check_every_file_and_pin_the_linter() -> None:
    npm, node = shutil.which("npm"), shutil.which("node")
    scripts = json.loads((installation.BRIDGE / "package.json").read_text())["scripts"]
    assert scripts["test"] == "node --test test/"
    assert re.fullmatch(r"npx --yes eslint@\d+\.\d+\.\d+ \.", scripts["lint"])
    if npm is None or node is None:
        pytest.skip("Node.js or npm is not installed")
    done = subprocess.run([npm, "run", "check"], cwd=installation.BRIDGE, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]


def test_the_lock_file_pins_every_package_and_names_no_host() -> None:
    package = json.loads((installation.BRIDGE / "package.json").read_text())
    lock = json.loads((installation.BRIDGE / "package-lock.json").read_text())
    assert lock["packages"][""]["dependencies"] == package["dependencies"]
    for name, version in {**package["dependencies"], **package["overrides"]}.items():
        assert lock["packages"][f"node_modules/{name}"]["version"] == version
    for name, entry in lock["packages"].items():
        if name:
            assert entry["integrity"].startswith("sha512-"), name
            assert entry.get("resolved", "https://registry.npmjs.org/").startswith("https://registry.npmjs.org/"), name


def test_no_picture_and_no_package_lies_in_the_folder() -> None:
    names = {path.suffix for path in installation.BRIDGE.rglob("*") if path.is_file()}
    assert names <= {".js", ".json"}
    assert not (installation.BRIDGE / "node_modules").exists()


def test_the_viewer_with_the_games_art_is_not_among_the_packages() -> None:
    lock = json.loads((installation.BRIDGE / "package-lock.json").read_text())
    assert not [name for name in lock["packages"] if "prismarine-viewer" in name]
