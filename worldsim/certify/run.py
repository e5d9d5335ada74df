"""Certification from truth to matrix: record once, replay under every fault, score, judge, write down.

Every stage reads what the one before left in the folder and can be killed at any moment; the same command goes on.
"""

from __future__ import annotations

import json
import shutil
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, TypeAlias

from worldsim import evaluate, registry
from worldsim.certify.cells import NOT_APPLICABLE, Anchors, anchors_of, judge_cell
from worldsim.certify.cheats import judge_cheats
from worldsim.certify.expected import FILE, Expected, read_expected
from worldsim.certify.lacking import unable, unasked, without_prey
from worldsim.certify.tasks import (
    ANCHORS,
    Piece,
    blind_up_to,
    idle_faults,
    levels_of,
    make_pieces,
    processes,
    run_pieces,
    severities,
)
from worldsim.config import EvalConfig
from worldsim.errors import ConfigError, WorldFailure, nearest
from worldsim.faults.table import FAULTS
from worldsim.fingerprint import fingerprint, utc_now
from worldsim.plan import probed
from worldsim.preparation import Prepared
from worldsim.progress import Progress
from worldsim.store import RunStore
from worldsim.types import Observation, Scenario

#: (fault, metric) -> why the cell cannot be tried; fault -> why it finds nothing to change.
Lacking: TypeAlias = tuple[Mapping[tuple[str, str], str], Mapping[str, str]]

SCHEMA = 1
WORLDS = {"ci": 14, "full": 24}
SIZE = (64, 64)  # of the quick preset
#: Judged at 128 px, where points can be matched; larger than the quick preset draws.
AT_128 = frozenset({"geometry.tsed", "geometry.self_pose"})


@dataclass(frozen=True, kw_only=True)
class CertifyConfig:
    """Settings of a certification.

    Attributes:
        preset: "ci": three severities, few worlds, and only what is expected of a cell; "full": five severities, more
            worlds, and every cell measured.
        out: Folder of the result.
        scenarios: Scenario set.
        env: The truth.
        metrics: Names or families; none = all in the table of expectations. Of one that the table lacks its own spec
            says what is expected (`sensitive`, `invariant`).
        faults: Names; none = all in the table. With the cheats alone it is a quick look at floors and ceilings.
        episodes: Worlds of each scenario; 0 = those of the preset.
        seed: Which worlds.
        workers: Processes.
        expected: The table.
        quiet: No progress.
    """

    preset: Literal["ci", "full"] = "ci"
    out: Path = Path("certificate")
    scenarios: str = "certify"
    env: str = "blocks"
    metrics: tuple[str, ...] = ()
    faults: tuple[str, ...] = ()
    episodes: int = 0
    seed: int = 0
    workers: int = 2
    expected: Path = FILE
    quiet: bool = False

    @property
    def worlds(self) -> int:
        """Worlds of each scenario."""
        return self.episodes or WORLDS[self.preset]


def certify(config: CertifyConfig) -> dict[str, Any]:
    """Runs all stages; returns the document that `matrix.json` holds.

    Raises:
        ConfigError: If the table and the metrics do not fit, or the folder holds another certification.
        WorldFailure: If a truth or a fault fails.
    """
    started = time.perf_counter()
    expected = _columns(read_expected(config.expected), config)
    metrics = [registry.METRICS.get(name) for name in expected.metrics]
    store, prepared = _record(config, metrics)
    scenarios = list(zip(prepared.scenarios, prepared.sizes, strict=True))
    pieces = make_pieces(store, scenarios, metrics, expected, config.preset)
    rows = config.out / "rows"
    with Progress("faults", len(pieces), quiet=config.quiet, unit="pieces") as progress:
        run_pieces(store.path, rows, pieces, config.workers, progress.advance)
    idle = without_prey(idle_faults(rows, [p.name for p in pieces]))
    document = _judge(config, expected, rows, pieces, (_lacking(expected, prepared), idle))
    document |= {
        "command": _command(config),
        "suite": store.run["suite"],
        "fingerprint": fingerprint(),
        "seconds": round(time.perf_counter() - started, 1),
    }
    _write(config.out / "matrix.json", document)
    return document


def _command(config: CertifyConfig) -> list[str]:
    """The command that makes this matrix again, but for its folder."""
    out = ["worldsim", "certify", "--preset", config.preset, "--seed", str(config.seed)]
    for name in ("metrics", "faults"):
        if getattr(config, name):
            out += [f"--{name}", *getattr(config, name)]
    default = CertifyConfig()
    for name in ("episodes", "scenarios", "env", "expected"):
        if getattr(config, name) != getattr(default, name):
            out += [f"--{name}", str(getattr(config, name))]
    return out


def _columns(expected: Expected, config: CertifyConfig) -> Expected:
    """The table for the metrics and faults that were asked for; of metrics that it lacks their specs say."""
    from worldsim.plan import resolve_metrics

    names = tuple(m.spec.name for m in resolve_metrics(config.metrics)) if config.metrics else expected.metrics
    if config.preset == "ci":
        names = tuple(name for name in names if name not in AT_128)
    for fault in config.faults:
        if fault not in expected.faults:
            raise ConfigError(f"no fault of the table is called {fault!r}.{nearest(fault, expected.faults)}")
    faults = config.faults or expected.faults
    signs = {(f, m): expected.signs.get((f, m)) or _claimed(f, m) for f in faults for m in names}
    return Expected(metrics=names, faults=faults, signs=signs)


def _claimed(fault: str, metric: str) -> str:
    """What the contract of a metric that the table lacks says of a fault."""
    spec = registry.METRICS.get(metric).spec
    return "+" if fault in spec.sensitive else "0" if fault in spec.invariant else "~"


def _record(config: CertifyConfig, metrics: Sequence[type[Any]]) -> tuple[RunStore, Prepared]:
    """The truth of every world, with its snapshots and alternatives, in a run of its own."""
    path = config.out / "truth"
    run = EvalConfig(
        model="worldsim/Oracle",
        env=config.env,
        scenarios=config.scenarios,
        metrics=tuple(m.spec.name for m in metrics),
        episodes=config.worlds,
        seed=config.seed,
        out=path,
        quiet=config.quiet,
        resume=(path / "run.json").exists(),
    )
    if path.exists() and not run.resume:
        shutil.rmtree(path)  # killed before its first line

    def wanted(scenario: Scenario) -> bool:
        too_large = config.preset == "ci" and max(scenario.env_kwargs.get("size", SIZE)) > SIZE[0]
        return not too_large and any(probed(scenario, m.spec) for m in metrics)

    prepared = evaluate.prepare(run, only=wanted)
    store = evaluate.open_run(prepared, ["certify", "--preset", config.preset, "--seed", str(config.seed)])
    if not evaluate.rollout(prepared, store, keep_start=True):
        raise WorldFailure("a truth hung; the same command goes on with the rest")
    evaluate.render(prepared, store)
    if not store.done():
        raise WorldFailure("no world could be recorded: see the reasons in truth/episodes.jsonl")
    return store, prepared


# ------------------------------------------------------------------------------------------------------- judging


def _lacking(expected: Expected, prepared: Prepared) -> dict[tuple[str, str], str]:
    """(fault, metric) -> why the cell cannot be tried in this truth, as far as its abilities and the scenarios tell."""
    of_metric = unasked(expected.metrics, prepared.verdicts)
    of_fault = unable(expected.faults, prepared.abilities)
    return {
        (f, m): of_metric.get(m) or of_fault[f]
        for f in expected.faults
        for m in expected.metrics
        if m in of_metric or f in of_fault
    }


def _judge(
    config: CertifyConfig,
    expected: Expected,
    rows: Path,
    pieces: Sequence[Piece],
    lacking: Lacking,
) -> dict[str, Any]:
    jobs = [
        (config, expected, rows, tuple(p.name for p in pieces if name in p.metrics), name, lacking)
        for name in expected.metrics
    ]
    found: list[dict[str, Any]] = []
    with Progress("judge", len(jobs), quiet=config.quiet, unit="metrics") as progress:
        if config.workers == 1:
            for job in jobs:
                found.append(judge_metric(*job))
                progress.advance()
        else:
            with processes(config.workers) as pool:
                for one in pool.map(judge_metric, *zip(*jobs, strict=True)):
                    found.append(one)
                    progress.advance()
    cells = [cell for one in found for cell in one["cells"]]
    return {
        "schema": SCHEMA,
        "preset": config.preset,
        "created": utc_now(),
        "seed": config.seed,
        "worlds": config.worlds,
        "expected": {sign: expected.count(sign) for sign in ("+", "0", "~")},
        "counts": {v: sum(c["verdict"] == v for c in cells) for v in ("pass", "fail", "measured", NOT_APPLICABLE)},
        "metrics": {one["metric"]: one["anchors"] for one in found},
        "cheats": [cheat for one in found for cheat in one["cheats"]],
        "faults": {
            name: {
                "plants": FAULTS[name].plants,
                "unit": FAULTS[name].unit,
                "severities": list(severities(FAULTS[name], config.preset)),
                "mild": blind_up_to(FAULTS[name], config.preset),
            }
            for name in expected.faults
        },
        "rows": cells,
    }


def judge_metric(
    config: CertifyConfig,
    expected: Expected,
    rows: Path,
    pieces: Sequence[str],
    name: str,
    lacking: Lacking,
) -> dict[str, Any]:
    """All cells of one metric: its anchors, its verdicts, and whether a cheat beats its floor."""
    absent, idle = lacking
    metric = registry.METRICS.get(name)()
    by_level: dict[tuple[str, float], list[Observation]] = defaultdict(list)
    for fault, severity, row in read_rows(rows, pieces, name):
        by_level[fault, severity].append(row)
    anchors = anchors_of(metric, by_level[ANCHORS, 0.0])
    oracle = [replace(r, source="model") for r in by_level[ANCHORS, 0.0] if r.source == "ceiling"]
    cells, tops = [], {}
    for fault in expected.faults:
        sign, why = expected.signs[fault, name], absent.get((fault, name))
        if why is None and fault not in idle:
            tops[fault] = by_level[fault, severities(FAULTS[fault], config.preset)[-1]]
        elif why is None and sign == "+":  # not to move with nothing is trivial, and true: "0" is judged
            why = idle[fault]
        if wanted := levels_of(fault, sign, config.preset):
            levels = [oracle, *(by_level[fault, s] for s in wanted)]
            cells.append(judge_cell(metric, anchors, fault, sign, wanted, levels, why))
    return {
        "metric": name,
        "anchors": _plain(anchors, metric),
        "cells": cells,
        "cheats": judge_cheats(metric, anchors, oracle, tops),
    }


def _plain(anchors: Anchors, metric: Any) -> dict[str, Any]:
    return {
        "version": metric.spec.version,
        "unit": metric.spec.unit,
        "headline": metric.spec.headline,
        "floor": anchors.floor,
        "floor_name": anchors.floor_name,
        "floor_in_spec": metric.spec.floor,
        "ceiling": anchors.ceiling,
        "nulls": {k: dict(v) for k, v in anchors.nulls.items()},
        "worlds": anchors.worlds,
        "reason": anchors.reason,
    }


def read_rows(folder: Path, pieces: Sequence[str], metric: str) -> Iterator[tuple[str, float, Observation]]:
    """The rows of one metric from all pieces, in order: fault, severity, row."""
    for piece in sorted(pieces):
        with (folder / piece / f"{metric}.jsonl").open(encoding="utf-8") as file:
            for line in file:
                values = json.loads(line)
                fault, severity = values.pop("fault"), float(values.pop("severity"))
                yield fault, severity, Observation(**values)


def _write(path: Path, document: Mapping[str, Any]) -> None:
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps(document, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    temporary.replace(path)


def failures(document: Mapping[str, Any]) -> list[str]:
    """What does not hold, in words: cells that failed, nulls above a floor, cheats that beat one."""
    out = [
        f"{c['fault']} x {c['metric']} ({c['expected']}): {c['reason']}"
        for c in document["rows"]
        if c["verdict"] == "fail"
    ]
    for name, found in document["metrics"].items():
        above = [n for n, v in found["nulls"].items() if v["skill"] is not None and v["skill"] > 1e-9]
        out += [f"{name}: the null {n} lies above the floor" for n in above]
    out += [f"the cheat {c['fault']} beats the floor of {c['metric']}" for c in document["cheats"] if not c["caught"]]
    if not document["rows"]:
        raise ConfigError("nothing was certified: the table of expectations is empty")
    return out
