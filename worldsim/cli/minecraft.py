"""`worldsim doctor minecraft`: what the Minecraft bridge needs, and `--install`, which gets it.

The packages go into a folder of the user's own ($WORLDSIM_HOME, else the XDG data folder), named after the lock file;
nothing is written into the checkout or into site-packages. System packages are named, never installed. The game's own
block textures come only with `--textures` (`minecraft_textures.py`).
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from worldsim.cli.arguments import parse
from worldsim.cli.minecraft_textures import add_textures, folder_size
from worldsim.errors import ConfigError, PrerequisiteError, WorldsimError

if TYPE_CHECKING:
    from worldsim.envs.minecraft.env import MinecraftEnv

EXAMPLES = """worldsim doctor minecraft
worldsim doctor minecraft --install
worldsim doctor minecraft --install --textures
WORLDSIM_HOME=/data/worldsim worldsim doctor minecraft --install"""
HEADERS = {"xi": "libxi-dev", "gl": "libgl1-mesa-dev", "glew": "libglew-dev", "xext": "libxext-dev"}
COMPILED = 163  # files that the build of gl 8.1.6 compiles, for the progress line
ROOM = 2.0e9  # bytes needed while installing; what stays is a tenth of it


@dataclass(frozen=True, kw_only=True)
class MinecraftArgs:
    """Says whether worldsim/Minecraft-v0 can run here; `--install` fetches and compiles what it needs."""

    install: bool = False
    """Install the npm packages that the lock file names: about 5 minutes on two cores, for one of them is compiled."""
    force: bool = False
    """Install again, though it is installed."""
    textures: bool = False
    """With --install: the game's own block textures too, for the argument textures="game". They are Mojang's, not ours:
    41 MB are fetched from an npm package, 1 MB stays."""


def minecraft_command(args: Sequence[str]) -> int:
    """`worldsim doctor minecraft`. Returns 0 if it can run, 3 if something is missing, 1 if an installation failed."""
    from worldsim.envs.minecraft import installation as place

    given = parse(MinecraftArgs, args, "doctor minecraft", EXAMPLES)
    if given.textures and not given.install:
        raise ConfigError(f"--textures goes with --install: {place.INSTALL} --textures")
    bridge_wanted = not place.is_installed() or given.force
    lacking = [*place.lacking_programs()]
    if given.install:
        lacking += [*_lacking_tools(place.BUILD_PROGRAMS if bridge_wanted or not given.textures else ())]
    for what, remedy in lacking:
        print(f"MISSING  {what}\n         {remedy}")
    if lacking:
        raise PrerequisiteError(
            f"install what is missing, then run: {place.INSTALL}\n"
            f"  on Debian and Ubuntu: apt-get install nodejs npm {place.RUN_PACKAGES} {place.BUILD_PACKAGES}"
        )
    if not bridge_wanted:
        print(f"ok       the bridge is installed in {place.folder()} ({folder_size(place.folder()) / 1e6:.0f} MB)")
    elif not given.install:
        raise PrerequisiteError(f"the programs are there, the bridge's npm packages are not; run: {place.INSTALL}")
    try:
        if bridge_wanted:
            install(place.BRIDGE, place.folder(), place.GAME)
        if given.textures:
            add_textures(force=given.force)
    except (OSError, subprocess.SubprocessError, WorldsimError) as error:
        print(f"error: the installation failed: {error}")
        return 1
    return 0


def _lacking_tools(programs: Sequence[str]) -> Iterator[tuple[str, str]]:
    for program in ("npm", *programs):
        if shutil.which(program) is None:
            yield f"{program} is not on the PATH", f"apt-get install {program}"
    if programs and shutil.which("pkg-config"):
        for name, package in HEADERS.items():
            if subprocess.run(["pkg-config", "--exists", name], check=False).returncode:
                yield f"the headers of {name} are not installed", f"apt-get install {package}"


def install(bridge: Path, folder: Path, game: str) -> None:
    """Installs the packages of the lock file into `folder`: all or nothing.

    Args:
        bridge: Folder with package.json, package-lock.json and the bridge itself.
        folder: Does not exist until all is done.
        game: Version of Minecraft whose data are kept.

    Raises:
        WorldsimError: If a step fails; what it said is in the message.
    """
    began = time.monotonic()
    partial = folder.with_name(folder.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    if shutil.disk_usage(partial).free < ROOM:
        raise WorldsimError(f"{ROOM / 1e9:.0f} GB must be free at {partial}; set WORLDSIM_HOME to another disk")
    try:
        for name in ("package.json", "package-lock.json"):
            shutil.copy(bridge / name, partial)
        print(f"1/4  npm ci: the packages of the lock file, into {folder}", flush=True)
        _run(["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel", "http"], partial, "fetched")
        print("2/4  gl: a prebuilt binary where it can be had, else a build of about 4 minutes", flush=True)
        _run(["npm", "rebuild", "gl", "--foreground-scripts"], partial, "compiled", COMPILED)
        binary = partial / "node_modules" / "gl" / "build" / "Release" / "webgl.node"
        if not binary.is_file():
            raise WorldsimError(f"the build of gl left no {binary.name}; look into {partial} by hand")
        before = folder_size(partial)
        prune(partial / "node_modules", game)
        print(
            f"3/4  pruned to Minecraft {game}: {before / 1e6:.0f} MB -> {folder_size(partial) / 1e6:.0f} MB", flush=True
        )
        (partial / "complete").write_text(f"minecraft {game}\n", encoding="utf-8")
        shutil.rmtree(folder, ignore_errors=True)
        partial.rename(folder)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    print("4/4  " + _try_out(folder), flush=True)
    print(f"done in {time.monotonic() - began:.0f} s; try: worldsim eval --env minecraft --scenarios quick")


def prune(modules: Path, game: str) -> None:
    """Deletes the data of other versions of the game, and what compiling `gl` left behind."""
    data = modules / "minecraft-data" / "minecraft-data" / "data"
    if data.is_dir():
        import json

        table = json.loads((data / "dataPaths.json").read_text(encoding="utf-8"))["pc"]
        kept = {path for version in (game, "1.16.2") if version in table for path in table[version].values()}
        kept |= {"pc/common", "bedrock/common"}
        for edition in ("pc", "bedrock"):
            for version in (data / edition).iterdir():
                if version.is_dir() and f"{edition}/{version.name}" not in kept:
                    shutil.rmtree(version)
    gl = modules / "gl"
    for name in ("angle", "deps", "src/native"):
        shutil.rmtree(gl / name, ignore_errors=True)
    for part in (gl / "build").glob("*"):
        if part.name != "Release":
            shutil.rmtree(part) if part.is_dir() else part.unlink()
    for part in (gl / "build" / "Release").glob("*"):
        if part.name != "webgl.node":
            shutil.rmtree(part) if part.is_dir() else part.unlink()


def _run(command: Sequence[str], folder: Path, what: str, total: int = 0) -> None:
    """Runs a program and shows one line that counts; its last words go into the error."""
    print(f"     $ {' '.join(command)}", flush=True)
    began, count, said = time.monotonic(), 0, list[str]()
    pattern = re.compile(r"^\s*CXX\(target\)|^\s*CC\(target\)|http fetch GET 200")
    with subprocess.Popen(
        command,
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        env={**_headers(), **os.environ, "CI": "1"},
    ) as process:
        assert process.stdout is not None
        shown = began
        for line in process.stdout:
            said = [*said[-20:], line.rstrip()]
            count += bool(pattern.search(line))
            if time.monotonic() - shown > 5.0:
                shown = time.monotonic()
                of = f" of about {total}" if total else ""
                print(f"     {count}{of} files {what}, {shown - began:.0f} s", flush=True)
    if process.returncode:
        raise WorldsimError(f"{' '.join(command)} ended with {process.returncode}:\n  " + "\n  ".join(said))
    print(f"     {time.monotonic() - began:.0f} s", flush=True)


def _headers() -> dict[str, str]:
    """Where npm finds Node's own headers, if they are beside Node: compiling then downloads none."""
    node = shutil.which("node")
    prefix = Path(node).resolve().parents[1] if node else None
    return {"npm_config_nodedir": str(prefix)} if prefix and (prefix / "include/node/node.h").is_file() else {}


def _try_out(folder: Path) -> str:
    """Plays ten steps; what it prints."""
    from worldsim.envs.actions import noop
    from worldsim.envs.minecraft.env import MinecraftEnv

    env: MinecraftEnv = MinecraftEnv(size=(64, 64))
    try:
        env.reset(seed=0)
        for _ in range(10):
            env.step(noop(env.action_space))
        check = env.verify()
    except WorldsimError:
        (folder / "complete").unlink(missing_ok=True)
        raise
    finally:
        env.close()
    if check["differ"] or check["astray"]:
        raise WorldsimError(f"the bridge runs, but its two sides differ: {check}")
    return "tried: a world was made, ten steps were played, client and server agree"
