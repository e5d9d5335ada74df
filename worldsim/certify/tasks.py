"""The work of a certification, cut into pieces that can be lost: a few worlds of one scenario under every fault.

A piece reads its truths once, rolls out every fault at every severity that the table asks for, and keeps the rows of
evidence in a folder of its own, one file a metric. A folder that is there is done; a killed run goes on with the rest.
"""

from __future__ import annotations

import json
import os
import shutil
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, replace
from multiprocessing import get_context, parent_process
from pathlib import Path
from typing import Any, TypeAlias

from worldsim import registry
from worldsim.certify.cheats import CAUGHT_BY
from worldsim.certify.expected import Expected
from worldsim.certify.replay import BATCH, Recorded, play_groups, unchanged
from worldsim.certify.reuse import Truths
from worldsim.config import digest
from worldsim.errors import UnsupportedError, WorldFailure, WorldsimError
from worldsim.evaluate import other_episode
from worldsim.faults.table import FAULTS, FaultSpec, make_fault
from worldsim.plan import env_factory, probed
from worldsim.protocols import EpisodeGroup
from worldsim.scoring import observe_all, observe_model
from worldsim.store import RunStore
from worldsim.types import Observation, Scenario

SHOWN = (
    "shown.json"  # in a piece's folder: [fault, severity, whether something else than the truth was shown, episodes]
)
ANCHORS = "anchors"  # in the place of a fault's name: the nulls and the truth itself


Job: TypeAlias = tuple[str, float, tuple[str, ...]]


@dataclass(frozen=True, kw_only=True)
class Piece:
    """Some worlds of one scenario.

    Attributes:
        name: Of its folder.
        scenario: What they are asked.
        size: (H, W).
        pairs: `pair_id`s, each with all its variants.
        metrics: Names, all that the scenario is made for.
        jobs: What is rolled out: (fault, severity, metrics that ask for it).
    """

    name: str
    scenario: Scenario
    size: tuple[int, int]
    pairs: tuple[str, ...]
    metrics: tuple[str, ...]
    jobs: tuple[Job, ...]


def severities(spec: FaultSpec, preset: str) -> tuple[float, ...]:
    """Those of a preset: "ci" or "full"."""
    return spec.ci if preset == "ci" else spec.full


def blind_up_to(spec: FaultSpec, preset: str) -> float:
    """The severity at which "does not move" is tested: the largest that is mild."""
    return max((s for s in severities(spec, preset) if s <= spec.mild), default=severities(spec, preset)[0])


def levels_of(fault: str, sign: str, preset: str) -> tuple[float, ...]:
    """The severities that a cell needs: all for "+", the mild one for "0", the top one for "~", which ci leaves out."""
    spec = FAULTS[fault]
    if sign == "+":
        return severities(spec, preset)
    if sign == "0":
        return (blind_up_to(spec, preset),)
    return severities(spec, preset)[-1:] if preset != "ci" else ()


def jobs_of(scenario_metrics: Sequence[str], expected: Expected, preset: str) -> list[Job]:
    """What must be rolled out in a scenario, and which metrics look at it."""
    out: dict[tuple[str, float], list[str]] = {}
    for fault in expected.faults:
        for metric in scenario_metrics:
            wanted = set(levels_of(fault, expected.signs[fault, metric], preset))
            if metric in CAUGHT_BY.get(fault, ()):
                wanted.add(severities(FAULTS[fault], preset)[-1])
            for severity in sorted(wanted):
                out.setdefault((fault, severity), []).append(metric)
    return [(fault, severity, tuple(names)) for (fault, severity), names in sorted(out.items())]


def make_pieces(
    store: RunStore,
    scenarios: Sequence[tuple[Scenario, tuple[int, int]]],
    metrics: Sequence[type[Any]],
    expected: Expected,
    preset: str,
    worlds: int = 4,
) -> list[Piece]:
    """The pieces of a recorded run, at most `worlds` starts each, the longest first.

    What is rolled out together is a piece where it can be, so that a truth that is used again is in its own world.
    """
    out = []
    done = store.done()
    scored = {(v["metric"], v["scenario"]): v["scored"] for v in store.run["scored"]}
    for scenario, size in scenarios:
        pairs = list(dict.fromkeys(row["pair_id"] for row in done if row["scenario"] == scenario.name))
        names = tuple(
            m.spec.name for m in metrics if probed(scenario, m.spec) and scored.get((m.spec.name, scenario.name), True)
        )
        together = min(worlds, max(1, BATCH // len(scenario.variant_names)))
        for k in range(0, len(pairs), together):
            jobs = tuple(jobs_of(names, expected, preset))
            versions = [m.spec.version for m in metrics if m.spec.name in names]
            asked = digest([names, versions, jobs, pairs[k : k + together]])  # another question is another piece
            out.append(
                Piece(
                    name=f"{scenario.name}-{k // together:03d}-{asked[:8]}",
                    scenario=scenario,
                    size=size,
                    pairs=tuple(pairs[k : k + together]),
                    metrics=names,
                    jobs=jobs,
                )
            )
    return sorted((p for p in out if p.metrics), key=lambda p: -p.scenario.horizon * len(p.scenario.variant_names))


def run_pieces(
    run: Path, folder: Path, pieces: Sequence[Piece], workers: int, advance: Callable[[int], None] = lambda n: None
) -> None:
    """Works off what is not there yet, in processes of their own.

    Raises:
        WorldFailure: If a piece fails; those that are done stay.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for leftover in folder.glob(".*"):
        shutil.rmtree(leftover, ignore_errors=True)
    missing = [piece for piece in pieces if not (folder / piece.name).is_dir()]
    advance(len(pieces) - len(missing))
    if workers == 1:
        for piece in missing:
            _work(run, folder, piece)
            advance(1)
        return
    with processes(workers) as pool:
        futures = {pool.submit(_work, run, folder, piece): piece for piece in missing}
        for future in as_completed(futures):
            try:
                future.result()
            except WorldsimError:
                pool.shutdown(cancel_futures=True)
                raise
            except Exception as error:
                pool.shutdown(cancel_futures=True)
                raise WorldFailure(f"certification of {futures[future].name} failed: {error!r}") from error
            advance(1)


def processes(workers: int) -> ProcessPoolExecutor:
    """A pool whose processes count on one core each, and end when this one does, however it ends."""
    return ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=_begin)


def _begin() -> None:
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = "1"
    import cv2

    cv2.setNumThreads(1)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    # A worker of a pool waits for work for ever when its parent was killed: the others hold the pipe open.
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _work(run: Path, folder: Path, piece: Piece) -> None:
    temporary = folder / f".{piece.name}.{os.getpid()}"
    temporary.mkdir()
    files = {name: (temporary / f"{name}.jsonl").open("w", encoding="utf-8") for name in piece.metrics}
    changed = Counter[tuple[str, float, bool]]()
    try:
        for fault, severity, row in _rows(run, piece, changed):
            line = {"fault": fault, "severity": severity, **vars(row), "details": dict(row.details)}
            files[row.metric].write(json.dumps(line, separators=(",", ":")) + "\n")
    finally:
        for file in files.values():
            file.close()
    shown = [[*key, count] for key, count in sorted(changed.items())]
    (temporary / SHOWN).write_text(json.dumps(shown) + "\n", encoding="utf-8")
    temporary.replace(folder / piece.name)


def idle_faults(folder: Path, pieces: Sequence[str]) -> dict[str, int]:
    """Fault -> episodes, of those that at no severity and in no episode showed or told anything but the truth."""
    same, other = Counter[str](), Counter[str]()
    for piece in pieces:
        file = folder / piece / SHOWN
        if not file.is_file():
            return {}  # of an older worldsim, which did not count
        for fault, _, changed, count in json.loads(file.read_text(encoding="utf-8")):
            (other if changed else same)[fault] += int(count)
    return {fault: count for fault, count in same.items() if not other[fault]}


def _rows(
    run: Path, piece: Piece, changed: Counter[tuple[str, float, bool]]
) -> Iterator[tuple[str, float, Observation]]:
    store = RunStore.open(run)
    metrics = [registry.METRICS.get(name)() for name in piece.metrics]
    groups = _read(store, piece)
    truths = Truths(env_factory(store.config, piece.scenario, piece.size))
    by_name = {m.spec.name: m for m in metrics}
    of_truth: dict[str, list[Observation]] = {}
    for group in groups:
        for row in observe_all(metrics, [tuple(r.episode for r in group)]):
            if row.source == "ceiling":
                of_truth.setdefault(group[0].episode.pair_id, []).append(replace(row, source="model"))
            if row.source != "model":
                yield ANCHORS, 0.0, row
    try:
        for fault, severity, names in piece.jobs:
            own = [by_name[name] for name in names]
            model = make_fault(fault, severity)
            try:
                for shown in play_groups(groups, model, truths.make):
                    changed[fault, severity, not unchanged(shown)] += len(shown)
                    for row in _observed(own, shown, of_truth):
                        yield fault, severity, row
            except UnsupportedError as error:
                for group in groups:
                    for row in (r for r in of_truth[group[0].episode.pair_id] if r.metric in names):
                        yield fault, severity, replace(row, outcome=None, reason=str(error), details={})
            finally:
                model.close()
    finally:
        truths.close()


def _observed(
    metrics: Sequence[Any], shown: EpisodeGroup, of_truth: Mapping[str, list[Observation]]
) -> Sequence[Observation]:
    """The rows of what was shown; the truth's own where it is the truth, for equal frames have equal scores."""
    if unchanged(shown):
        names = {m.spec.name for m in metrics}
        return [row for row in of_truth[shown[0].pair_id] if row.metric in names]
    return observe_model(metrics, shown)


def _read(store: RunStore, piece: Piece) -> list[tuple[Recorded, ...]]:
    done = [row for row in store.done() if row["scenario"] == piece.scenario.name]
    groups: dict[str, list[Recorded]] = {pair: [] for pair in piece.pairs}
    for place, row in enumerate(done):  # in the order of the plan: the main variant first
        if row["pair_id"] in groups:
            groups[row["pair_id"]].append(Recorded(store, row, other_episode(done, place)))
    return [tuple(group) for group in groups.values()]
