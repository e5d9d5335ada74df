"""Where the bridge's programs and packages are, and what is missing. Imports nothing heavy."""

from __future__ import annotations

import functools
import hashlib
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from worldsim.errors import PrerequisiteError

BRIDGE = Path(__file__).resolve().parent / "bridge"
NODE_LEAST = 20  # flying-squid asks for 18, minecraft-protocol for 22 but runs on 20, where all was tested
GAME = "1.16.5"
INSTALL = "worldsim doctor minecraft --install"
#: What compiling the package `gl` takes, as programs and as Debian packages.
BUILD_PROGRAMS = ("g++", "make", "python3", "pkg-config")
BUILD_PACKAGES = "g++ make python3 pkg-config libxi-dev libgl1-mesa-dev libglew-dev libxext-dev"
RUN_PACKAGES = "xvfb libgl1-mesa-dri libxi6 libglew2.2"


@dataclass(frozen=True, kw_only=True)
class Installation:
    """What a bridge needs to start."""

    node: str
    xvfb: str
    modules: Path


def home() -> Path:
    """The folder for what worldsim installs for itself: $WORLDSIM_HOME, else worldsim/ in the user's data folder."""
    if chosen := os.environ.get("WORLDSIM_HOME"):
        return Path(chosen).expanduser().resolve()
    data = os.environ.get("XDG_DATA_HOME") or str(Path.home() / ".local" / "share")
    return Path(data) / "worldsim"


def lock_hash() -> str:
    """Twelve letters of the lock file's SHA-256: another lock file, another folder."""
    return hashlib.sha256((BRIDGE / "package-lock.json").read_bytes()).hexdigest()[:12]


def folder() -> Path:
    """Where the packages of this version's lock file are installed; `node_modules` lies in it."""
    return home() / "minecraft" / lock_hash()


def is_installed() -> bool:
    """Whether an installation was finished."""
    return (folder() / "complete").is_file()


@functools.cache
def node_version(node: str) -> tuple[int, ...]:
    """What `node --version` says, () if it cannot be run."""
    try:
        said = subprocess.run([node, "--version"], capture_output=True, text=True, timeout=20, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return ()
    return tuple(int(part) for part in re.findall(r"\d+", said)[:3])


def lacking_programs() -> Iterator[tuple[str, str]]:
    """(what is missing, how to get it) of the programs that running takes."""
    node = shutil.which("node")
    if node is None:
        yield f"Node.js >= {NODE_LEAST} is not on the PATH", "apt-get install nodejs npm, or https://nodejs.org"
    elif node_version(node) < (NODE_LEAST,):
        found = ".".join(map(str, node_version(node))) or "one that does not start"
        yield f"Node.js >= {NODE_LEAST} is needed, {node} is {found}", "install a newer one: https://nodejs.org"
    if shutil.which("Xvfb") is None:
        yield "Xvfb, the display that nobody sees, is not on the PATH", f"apt-get install {RUN_PACKAGES}"


def find() -> Installation:
    """The installation.

    Raises:
        PrerequisiteError: With everything that is missing and the command that gets it.
    """
    lacking = [f"{what} ({remedy})" for what, remedy in lacking_programs()]
    if not is_installed():
        lacking.append(f"the npm packages of the bridge are not installed in {folder()}")
    if lacking:
        raise PrerequisiteError(
            f"worldsim/Minecraft-v0 cannot start: {'; '.join(lacking)}. Run: {INSTALL}\n"
            "(without it everything else works: --env blocks needs nothing)"
        )
    return Installation(
        node=shutil.which("node") or "node", xvfb=shutil.which("Xvfb") or "Xvfb", modules=folder() / "node_modules"
    )
