"""`worldsim doctor minecraft --install --textures`: fetches the package with the game's block textures and bakes them.

The tarball lies in a partial folder beside the result while it is read, npm's cache of it too; both are deleted.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import shutil
import subprocess
import time
from pathlib import Path

from worldsim.envs.minecraft import textures
from worldsim.envs.minecraft.baking import bake
from worldsim.errors import WorldsimError

ROOM = 150e6  # bytes needed meanwhile: the tarball of 41 MB, in npm's cache and beside it; what stays is 1 MB
TARBALL = 40.7e6  # bytes, for the progress line
UNREACHABLE = re.compile(r"ENOTFOUND|EAI_AGAIN|ECONN\w+|E?TIMEDOUT|ENETUNREACH|EHOSTUNREACH|ENETWORK|network")


def add_textures(*, force: bool = False) -> None:
    """Makes the atlas, if it is not there: all or nothing.

    Args:
        force: Make it again, though it is there.

    Raises:
        WorldsimError: If a step fails; what it said is in the message.
    """
    place = textures.folder()
    print(textures.WHOSE, flush=True)
    if textures.is_baked() and not force:
        print(f"ok       the block textures are in {place} ({folder_size(place) / 1e6:.1f} MB)")
        return
    began = time.monotonic()
    partial = place.with_name(place.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        partial.mkdir(parents=True)
        if shutil.disk_usage(partial).free < ROOM:
            raise WorldsimError(f"{ROOM / 1e6:.0f} MB must be free at {partial}; set WORLDSIM_HOME to another disk")
        tarball = fetch(partial)
        textures.check_integrity(tarball, textures.INTEGRITY)
        picture, models = textures.unpack(tarball)
        print(f"2/2  {tarball.name} is the file that was checked (SHA-512); baking its block textures", flush=True)
        atlas = bake(textures.decode(picture), _read_models(models))
        textures.write(atlas, place)
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise WorldsimError(f"the disk of {place} is full; set WORLDSIM_HOME to another one") from error
        raise WorldsimError(f"cannot write to {place}: {error}") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    print(
        f"done in {time.monotonic() - began:.0f} s: {len(atlas.means)} tiles of {len(atlas.blocks)} blocks, "
        f"{folder_size(place) / 1e6:.1f} MB in {place}\n"
        "try: worldsim eval --env minecraft --env-args textures=game --scenarios quick"
    )


def fetch(partial: Path) -> Path:
    """The package's tarball, fetched by npm into `partial`.

    Raises:
        WorldsimError: If npm fails, with its last words.
    """
    if shutil.which("npm") is None:
        raise WorldsimError("npm is not on the PATH; apt-get install npm")
    name = f"{textures.PACKAGE}@{textures.VERSION}"
    print(f"1/2  npm pack {name}, about {TARBALL / 1e6:.0f} MB", flush=True)
    # A cache of its own: npm's would keep the game's pictures where nobody looks for them.
    command = ["npm", "pack", name, "--ignore-scripts", "--no-update-notifier", "--cache", str(partial / "cache")]
    log = partial / "npm.log"
    with log.open("wb") as said:
        process = subprocess.Popen(
            command, cwd=partial, stdin=subprocess.DEVNULL, stdout=said, stderr=said, env={**os.environ, "CI": "1"}
        )
        try:
            code = _wait(process, partial)
        except BaseException:  # Ctrl-C
            process.kill()
            process.wait()
            raise
    found = sorted(partial.glob("*.tgz"))
    if code or len(found) != 1:
        raise WorldsimError(_fault(name, code, log.read_text(encoding="utf-8", errors="replace")))
    return found[0]


def _wait(process: subprocess.Popen[bytes], partial: Path) -> int:
    """Shows every five seconds how much has come; npm writes what it fetches into its cache and then copies it."""
    began = shown = time.monotonic()
    while True:
        with contextlib.suppress(subprocess.TimeoutExpired):
            return process.wait(0.5)
        if time.monotonic() - shown > 5.0:
            shown = time.monotonic()
            come = min(folder_size(partial), TARBALL)
            print(f"     {come / 1e6:.0f} of about {TARBALL / 1e6:.0f} MB, {shown - began:.0f} s", flush=True)


def _fault(name: str, code: int, said: str) -> str:
    lines = "\n  ".join(line.rstrip() for line in said.splitlines()[-12:])
    if "ENOSPC" in said:
        return f"the disk was full before {name} was there; set WORLDSIM_HOME to another one. npm said:\n  {lines}"
    if UNREACHABLE.search(said):
        return (
            f"npm could not reach its registry for {name}; look at the network and at npm's settings (npm config get "
            f"registry, proxy), then run again: {textures.INSTALL}. npm said:\n  {lines}"
        )
    return f"npm pack {name} ended with {code} and left no tarball, expected one; npm said:\n  {lines}"


def _read_models(data: bytes) -> dict[str, object]:
    try:
        models = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise WorldsimError(
            f"the models of the blocks are damaged ({error}); fetch them: {textures.INSTALL}"
        ) from error
    if not isinstance(models, dict):
        raise WorldsimError(f"expected models by name of block, got a {type(models).__name__}: {textures.INSTALL}")
    return models


def folder_size(folder: Path) -> int:
    """Bytes of the files in a folder, also while others write and delete there."""
    total = 0
    for where, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):
                total += os.lstat(Path(where) / name).st_size
    return total
