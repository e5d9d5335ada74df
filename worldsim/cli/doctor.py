"""`worldsim doctor`: what is installed, what is missing, and the exact command that gets it. Imports nothing heavy."""

from __future__ import annotations

import importlib
import importlib.util
import os
import re
import shutil
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Literal

from worldsim import __version__
from worldsim.cli.output import print_table
from worldsim.fingerprint import PACKAGES, fingerprint, version

#: Import names that differ from the name of the distribution.
MODULES = {"opencv-python-headless": "cv2", "pyyaml": "yaml"}
OPTIONAL = {
    "pyarrow": "tables as Parquet; Minari and LeRobot: pip install 'worldsim[datasets]'",
    "h5py": "Minari's hdf5: pip install 'worldsim[datasets]'",
    "minerl": "the real game; it lives in a Python of its own: worldsim doctor minerl",
    "playwright": "opens the report in the tests: pip install playwright",
}
#: Environments with needs of their own: `worldsim doctor NAME ...` calls "module:function" with the rest of the line.
PARTS = {
    "minecraft": "worldsim.cli.minecraft:minecraft_command",
    "minerl": "worldsim.envs.minerl.doctor:doctor_minerl",
}
#: An episode of 64x64 takes about 2 MB; a run of the set `core` some hundreds of them.
ROOM_WANTED = 2e9
MEMORY_WANTED = 2e9


EXAMPLES = """
worldsim doctor
worldsim doctor --folder /data/runs
worldsim doctor --bench --env gym:ALE/Pong-v5 blocks
worldsim doctor --bench --docs docs/environments.md
"""


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One line of the report. "missing" means that worldsim does not work without it."""

    level: Literal["ok", "note", "missing"]
    what: str
    detail: str
    remedy: str = ""


def doctor(folder: str | Path = ".") -> int:
    """Prints every finding; returns 3 if something that worldsim needs is missing, else 0.

    Args:
        folder: Where runs would be written.
    """
    findings = [*_python(), *_packages(), *_codecs(), *_machine(Path(folder)), *_extras()]
    marks = {"ok": "ok", "note": "note", "missing": "MISSING"}
    rows = [(marks[f.level], f.what, f"{f.detail}; {f.remedy}" if f.remedy else f.detail) for f in findings]
    print_table(("", "what", "found"), rows, widest=2)
    missing = [f for f in findings if f.level == "missing"]
    if not missing:
        return 0
    print("\nworldsim needs more; run:")
    for remedy in dict.fromkeys(f.remedy for f in missing):
        print(f"  {remedy}")
    return 3


def doctor_command(args: Sequence[str]) -> int:
    """`worldsim doctor`."""
    if args and args[0] in PARTS:
        return doctor_part(args[0], args[1:])
    from worldsim.cli.arguments import parse

    given = parse(DoctorArgs, args, "doctor", EXAMPLES)
    if given.bench or given.env or given.docs:
        from worldsim.cli.bench_envs import bench_envs
        from worldsim.cli.run import parse_size

        return bench_envs(given.env, parse_size(given.size) or (64, 64), given.docs)
    return doctor(given.folder)


@dataclass(frozen=True, kw_only=True)
class DoctorArgs:
    """Says what is installed, what is missing and how to get it. Exits with 3 if worldsim cannot work."""

    folder: Path = Path()
    """Where runs would be written."""
    bench: bool = False
    """Measures the environments that can start here instead: what each can do, and its frames a second."""
    env: tuple[str, ...] = ()
    """With --bench: these only."""
    size: str = "64x64"
    """With --bench: height x width of the frames."""
    docs: Path | None = None
    """With --bench: the page whose table is replaced."""


def doctor_part(name: str, args: Sequence[str]) -> int:
    """`worldsim doctor NAME ...`: what one environment needs beside worldsim."""
    module, _, function = PARTS[name].partition(":")
    code: int = getattr(importlib.import_module(module), function)(args)
    return code


def _python() -> Iterator[Finding]:
    facts = fingerprint()
    yield Finding(level="ok", what="python", detail=f"{facts['python']} at {sys.executable}")
    yield Finding(level="ok", what="machine", detail=f"{facts['cpu']}, {facts['cores']} cores, {facts['platform']}")


def _packages() -> Iterator[Finding]:
    """The core dependencies, as the installed metadata lists them, and whether what is there is new enough."""
    wanted = dict(_requirements())
    yield Finding(level="ok", what="worldsim", detail=f"{__version__} at {Path(__file__).parents[1]}")
    for name, least in wanted.items():
        found = version(name)
        remedy = f"{sys.executable} -m pip install '{name}>={least}'" if least else f"pip install {name}"
        if found is None or importlib.util.find_spec(MODULES.get(name, name)) is None:
            yield Finding(level="missing", what=name, detail="not installed", remedy=remedy)
        elif _numbers(found) < _numbers(least):
            yield Finding(level="missing", what=name, detail=f"{found} is older than {least}", remedy=remedy)
        else:
            yield Finding(level="ok", what=name, detail=found)


def _requirements() -> Iterator[tuple[str, str]]:
    try:
        lines = metadata.requires("worldsim") or []
    except metadata.PackageNotFoundError:  # a checkout on sys.path that was never installed
        yield from ((name, "") for name in PACKAGES if name != "worldsim")
        return
    for line in lines:
        match = re.match(r"([A-Za-z0-9._-]+)\s*(?:>=\s*([\d.]+))?", line)
        if match and "extra ==" not in line:
            yield match[1].lower(), match[2] or ""


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", text.split("+")[0])[:3])


def _codecs() -> Iterator[Finding]:
    """A codec counts if this PyAV has it, not because a package of some name is installed."""
    if importlib.util.find_spec("av") is None:
        return
    import av

    lost = sorted({"ffv1", "libx264"} - set(av.codecs_available))
    yield Finding(
        level="missing" if lost else "ok",
        what="video codecs",
        detail=f"without {', '.join(lost)}" if lost else "FFV1 (lossless) and H.264 (for eyes)",
        remedy=f"{sys.executable} -m pip install --force-reinstall av" if lost else "",
    )


def _machine(folder: Path) -> Iterator[Finding]:
    memory = _memory()
    if memory is not None:
        yield _amount("memory", memory, "free", MEMORY_WANTED, "close other programs, or run with --batch 2")
    near = next(parent for parent in (folder.resolve(), *folder.resolve().parents) if parent.exists())
    room = shutil.disk_usage(near).free
    yield _amount("disk", room, f"free at {near}", ROOM_WANTED, "choose another --out")
    if not os.access(near, os.W_OK):
        yield Finding(level="note", what="disk", detail=f"{near} cannot be written", remedy="choose another --out")
    cache = _numba_cache()
    yield Finding(
        level="ok" if cache else "note",
        what="numba cache",
        detail=str(cache) if cache else "no folder can be written, so each start compiles the built-in world anew",
        remedy="" if cache else "set NUMBA_CACHE_DIR to a folder that can be written",
    )
    gpu = Path("/proc/driver/nvidia/version").exists()
    cpu_build = "+cpu" in (version("torch") or "")
    if gpu and cpu_build:
        yield Finding(level="note", what="gpu", detail="there is one, but this torch is the CPU build")
    else:
        yield Finding(level="ok", what="gpu", detail="NVIDIA driver loaded" if gpu else "none; the CPU is used")


def _amount(what: str, found: float, where: str, wanted: float, remedy: str) -> Finding:
    detail = f"{found / 1e9:.1f} GB {where}"
    if found >= wanted:
        return Finding(level="ok", what=what, detail=detail)
    return Finding(level="note", what=what, detail=f"{detail}, {wanted / 1e9:.0f} GB are comfortable", remedy=remedy)


def _memory() -> float | None:
    """Bytes that a new process can have, by Linux's own estimate; None on other systems."""
    try:
        text = Path("/proc/meminfo").read_text(encoding="utf-8")
    except OSError:
        return None
    match = re.search(r"MemAvailable:\s+(\d+) kB", text)
    return float(match[1]) * 1024 if match else None


def _numba_cache() -> Path | None:
    """Where numba keeps compiled code: NUMBA_CACHE_DIR, else beside the source, else in the user's cache."""
    chosen = os.environ.get("NUMBA_CACHE_DIR")
    package = Path(__file__).resolve().parents[1]
    places = (
        [Path(chosen)] if chosen else [package / "envs" / "blocks" / "__pycache__", Path.home() / ".cache" / "numba"]
    )
    for place in places:
        near = next((parent for parent in (place, *place.parents) if parent.exists()), None)
        if near is not None and os.access(near, os.W_OK):
            return place
    return None


def _extras() -> Iterator[Finding]:
    names = ("chromium", "chromium-browser", "google-chrome")
    browser = next((found for found in map(shutil.which, names) if found), None)
    absent = "none; the tests that open the report skip: apt-get install chromium"
    yield Finding(level="ok" if browser else "note", what="chromium", detail=browser or absent)
    for name, why in OPTIONAL.items():
        found = version(name)
        yield Finding(level="ok" if found else "note", what=name, detail=found or f"not installed (optional): {why}")
