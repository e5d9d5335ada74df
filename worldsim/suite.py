"""Frozen suites: everything that decides a number, under one hash. Two laboratories that print it can compare numbers.

A suite is a scenario set, the worlds it is asked in, the metrics with their versions and floors, the thresholds of the
hypothesis test, and the matrix that certifies them. It is written down once, in `worldsim/suites/<name>.json`; what is
computed from the code must stay equal to it. A change is a new version, and the old file stays.

    python -m worldsim.suite           # does this version of worldsim still agree with the file?
    python -m worldsim.suite --write   # write the file anew (before a release only)
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import json
import math
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from worldsim import registry, seeding
from worldsim.config import EvalConfig
from worldsim.errors import ConfigError, UnknownNameError, nearest
from worldsim.types import Scenario

FOLDER = Path(__file__).parent / "suites"
CURRENT: Final = "worldsim-core-1"
SET, ENV, SEED, WORLDS, SIZE = "core", "blocks", 0, 64, (64, 64)
SPLIT: Final = "test"

_ROOM = Path(__file__).parent
_EXPECTED, _THRESHOLDS = _ROOM / "certify" / "expected.csv", _ROOM / "metrics" / "data" / "thresholds.json"


@dataclass(frozen=True, kw_only=True)
class FrozenSuite:
    """A suite as plain data.

    Attributes:
        name: "worldsim-core-1": set and version.
        parts: What is frozen: `scenarios`, `worlds`, `metrics`, `expected`, `thresholds`, `faults`.
        hash: SHA-256 over name and parts as canonical JSON.
    """

    name: str
    parts: Mapping[str, Any]
    hash: str


def hash_of(name: str, parts: Mapping[str, Any]) -> str:
    """SHA-256 over canonical JSON: sorted keys, no spaces, floats as Python writes them."""
    text = json.dumps([name, parts], sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def names() -> list[str]:
    """The suites that come along, sorted."""
    return sorted(path.stem for path in FOLDER.glob("*.json"))


def read(name: str = CURRENT, folder: Path = FOLDER) -> FrozenSuite:
    """A suite as it was frozen.

    Raises:
        UnknownNameError: If there is no such suite.
        ConfigError: If the file is damaged: its hash is not that of its parts.
    """
    path = folder / f"{name}.json"
    if not path.is_file():
        raise UnknownNameError(f"no suite is called {name!r}.{nearest(name, names())} `worldsim ls suites` lists them.")
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        found = FrozenSuite(name=data["name"], parts=data["parts"], hash=data["hash"])
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"{path} cannot be read as a suite: {error!r}; install worldsim again") from error
    if found.hash != hash_of(found.name, found.parts):
        raise ConfigError(f"{path} was changed by hand: its hash is not that of its parts; install worldsim again")
    return found


def compute(name: str = CURRENT) -> FrozenSuite:
    """The suite as this version of worldsim would freeze it. Imports every metric that comes along."""
    from worldsim.envs.scenarios import load_set
    from worldsim.faults.table import FAULTS

    chosen = load_set(SET, ENV)
    parts: dict[str, Any] = {
        "scenarios": {"set": chosen.name, "version": chosen.version, "hash": chosen.hash},
        "worlds": {
            "seed": SEED,
            "split": SPLIT,
            "size": list(SIZE),
            "seeds": {
                s.name: [seeding.world_seed(SEED, s.env, s.name, i, SPLIT) for i in range(WORLDS)]
                for s in chosen.scenarios
            },
        },
        "metrics": _metrics(),
        "expected": _expected(_EXPECTED),
        "thresholds": json.loads(_THRESHOLDS.read_text(encoding="utf-8"))["thresholds"],
        "faults": {
            fault.name: {
                "full": [float(s) for s in fault.full],
                "ci": [float(s) for s in fault.ci],
                "mild": fault.mild if math.isfinite(fault.mild) else None,
            }
            for fault in FAULTS.values()
        },
    }
    parts = json.loads(json.dumps(parts))  # as the file gives them back
    return FrozenSuite(name=name, parts=parts, hash=hash_of(name, parts))


def _metrics() -> dict[str, dict[str, Any]]:
    """Version and floor of each metric that comes along; those of plug-ins, and those with weights, are left out."""
    out: dict[str, dict[str, Any]] = {}
    for name in registry.METRICS.names():
        if registry.METRICS.target(name).startswith("worldsim.metrics.") and not name.startswith("learned."):
            spec = registry.METRICS.get(name).spec
            out[name] = {"version": spec.version, "floor": spec.floor}
    return out


def _expected(path: Path) -> dict[str, dict[str, str]]:
    """Fault -> metric -> sign."""
    with path.open(encoding="utf-8", newline="") as file:
        head, *rows = [row for row in csv.reader(file) if row]
    return {row[0]: dict(zip(head[1:], row[1:], strict=True)) for row in rows}


def differences(frozen: Mapping[str, Any], now: Mapping[str, Any], where: str = "") -> Iterator[str]:
    """What differs between two trees of plain data, a line a leaf: "metrics fidelity.l1 version: 1 then, 2 now"."""
    for key in sorted({*frozen, *now}):
        at = f"{where} {key}".strip()
        if key not in now:
            yield f"{at}: gone"
        elif key not in frozen:
            yield f"{at}: new"
        elif isinstance(frozen[key], Mapping) and isinstance(now[key], Mapping):
            yield from differences(frozen[key], now[key], at)
        elif frozen[key] != now[key]:
            yield f"{at}: {_short(frozen[key])} then, {_short(now[key])} now"


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 40 else f"{text[:37]}..."


def check(name: str = CURRENT) -> str | None:
    """None if this version of worldsim agrees with the frozen suite; else what differs, and what to do."""
    found = list(differences(read(name).parts, compute(name).parts))
    if not found:
        return None
    more = f"\n  ... and {len(found) - 12} more" if len(found) > 12 else ""
    return (
        f"this version of worldsim is not the frozen suite {name}:\n  " + "\n  ".join(found[:12]) + more + "\n"
        "Numbers of the two cannot be compared. Raise the version: give CURRENT in worldsim/suite.py the next number, "
        "run `python -m worldsim.suite --write`, and leave the old file as it is."
    )


def of_run(
    config: EvalConfig,
    chosen: tuple[str, str],
    scenarios: Sequence[Scenario],
    sizes: Sequence[tuple[int, int]],
) -> tuple[dict[str, Any] | None, str | None]:
    """Whether a run is one of the frozen suite, for its `run.json`.

    Args:
        config: The settings of the run.
        chosen: Name and hash of its scenario set.
        scenarios: Those that are rolled out, fitted to the model.
        sizes: (H, W) of each.

    Returns:
        {"name", "hash", "worlds"} and None; or None and why it is not, None for sets that are no suite's.
    """
    from worldsim.envs.scenarios import load_set

    if chosen[0] != SET or CURRENT not in names():
        return None, None
    suite = read()
    contexts = {s.name: s.context for s in load_set(SET, ENV).scenarios}
    reasons = {
        f"its worlds are those of {ENV!r}, these of {config.env!r}": registry.short_env(config.env) != ENV,
        "the scenario set has changed": chosen[1] != suite.parts["scenarios"]["hash"],
        "some of its scenarios are left out": {s.name for s in scenarios} != set(suite.parts["worlds"]["seeds"]),
        f"the seed is {config.seed}, not {SEED}": config.seed != SEED,
        f"the worlds are of the split {config.split!r}, not {SPLIT!r}": config.split != SPLIT,
        f"there are {config.episodes} worlds a scenario, and {WORLDS} are frozen": config.episodes > WORLDS,
        f"frames are not {SIZE[0]}x{SIZE[1]}": any(size != SIZE for size in sizes),
        "the model needs longer contexts": any(s.context != contexts.get(s.name) for s in scenarios),
        "the environment has other arguments": bool(config.env_args),
        "the controller acts on generated frames": config.drive_from != "truth",
    }
    reason = next((text for text, holds in reasons.items() if holds), None)
    if reason is None and check() is not None:
        reason = "this version of worldsim differs from it; `python -m worldsim.suite` says in what"
    if reason is not None:
        return None, f"not a run of the frozen suite {suite.name}: {reason}"
    return {"name": suite.name, "hash": suite.hash, "worlds": config.episodes}, None


def write(name: str = CURRENT, folder: Path = FOLDER) -> Path:
    """Freezes what this version of worldsim computes; the innermost lists and tables stay on one line each."""
    suite = compute(name)
    text = json.dumps({"name": suite.name, "hash": suite.hash, "parts": suite.parts}, indent=1, sort_keys=True)
    for inner in (r"\[[^\[\]{}]*\]", r"\{[^{}]*\}"):
        text = re.sub(inner, lambda found: " ".join(found.group().split()), text)
    path = folder / f"{name}.json"
    folder.mkdir(parents=True, exist_ok=True)
    path.write_text(text + "\n", encoding="utf-8")
    return path


def main(args: Sequence[str] | None = None) -> int:
    """`python -m worldsim.suite [--write]`; 1 = the suite differs."""
    parser = argparse.ArgumentParser(prog="python -m worldsim.suite", description="Checks or writes the frozen suite.")
    parser.add_argument("--write", action="store_true", help="write the file anew instead of checking it")
    if parser.parse_args(args).write:
        if CURRENT in names() and (said := check()):
            print(said.splitlines()[0], *said.splitlines()[1:-1], sep="\n")
        path = write()
        print(f"wrote {path.name}: {read().hash}")
        return 0
    said = check()
    print(said or f"{CURRENT} {read().hash}: this version of worldsim agrees with it")
    return int(said is not None)


if __name__ == "__main__":
    sys.exit(main())
