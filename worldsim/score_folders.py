"""Scoring two folders of clips as if they were a run: the same metrics, nulls, ceiling, tables and page.

The folder that is written has everything of a run but the episodes themselves, which stay where they are.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from worldsim import __version__, clips, video
from worldsim.clips import SCENARIO, Clip, Matched, Options
from worldsim.config import EvalConfig, digest, to_plain
from worldsim.errors import ConfigError
from worldsim.evaluate import write_scores
from worldsim.fingerprint import fingerprint, utc_now
from worldsim.folders import FIELDS
from worldsim.lane import PlannedEpisode
from worldsim.plan import Verdict, resolve_metrics
from worldsim.progress import Progress
from worldsim.provenance import provenance
from worldsim.score_workers import Task, observe_tasks
from worldsim.store import RunStore
from worldsim.types import MetricSpec

_SHOWN = 12  # problems named in one message


@dataclass(frozen=True, kw_only=True)
class FolderConfig:
    """Settings of `worldsim score --generated DIR --truth DIR`.

    Attributes:
        generated, truth: Folders of clips, matched by stem.
        options: How clips are paired.
        metrics: Names or families; none = all that can be scored.
        skip_bad: Score the pairs that are whole, and record the others as failed.
        out: Folder of the result; none = a new one under runs/.
        resamples, min_worlds, quiet: As in `EvalConfig`.
        workers: Processes.
    """

    generated: Path
    truth: Path
    options: Options = field(default_factory=Options)
    metrics: tuple[str, ...] = ()
    skip_bad: bool = False
    out: Path | None = None
    resamples: int = 2000
    min_worlds: int = 10
    workers: int = 1
    quiet: bool = False

    def __post_init__(self) -> None:
        if self.options.context < 0:
            raise ConfigError(f"context must be 0 or more frames, got {self.options.context}")
        if self.options.fps is not None and not 0 < self.options.fps < 10_000:
            raise ConfigError(f"fps must be above 0 and below 10000, got {self.options.fps}")
        if not self.options.generated_has_context and not self.options.context:
            raise ConfigError("without a context there is none that the generated clips could lack: give --context")


def score_folders(config: FolderConfig, *, command: Sequence[str] = ()) -> RunStore:
    """Matches, checks and scores; the result lies in the returned folder, its page not yet built.

    Raises:
        StoreError: If a folder is missing or empty, or no stem is in both.
        ConfigError: If pairs are not whole and `skip_bad` is not set, or no metric can be scored.
    """
    metrics = resolve_metrics(config.metrics)
    matched = clips.match(config.generated, config.truth, config.options)
    if not matched.clips or (matched.problems and not config.skip_bad):
        raise ConfigError(_refusal(matched))
    verdicts = [verdict(metric.spec, matched.clips) for metric in metrics]
    chosen = [metric for metric, v in zip(metrics, verdicts, strict=True) if v.scored]
    if not chosen:
        raise ConfigError("none of these metrics can be scored:\n" + "\n".join(sentences(verdicts)))
    settings, store = _open(config, matched, verdicts, command)
    with Progress("score", len(matched.clips), quiet=config.quiet, unit="clips") as progress:
        tasks = _tasks(matched.clips)
        found = observe_tasks(clips.load, tasks, chosen, workers=config.workers, advance=progress.advance)
    write_scores(store, chosen, found, settings)
    _show(store, matched.clips)
    return store


def verdict(spec: MetricSpec, pairs: Sequence[Clip]) -> Verdict:
    """Whether a metric can be scored on at least one clip, else what is missing and where it belongs."""
    scored = any(spec.requires <= clip.known for clip in pairs)
    if scored:
        short = [clip.name for clip in pairs if not spec.requires <= clip.known]
        reason = f"{len(short)} of {len(pairs)} clips lack what it needs, first {short[0]}" if short else None
        return Verdict(metric=spec.name, scenario=SCENARIO, scored=True, reason=reason)
    nearest = max(pairs, key=lambda clip: len(spec.requires & clip.known))
    lacking = sorted(spec.requires - nearest.known)
    beyond = [name for name in lacking if name not in FIELDS]
    if beyond:
        reason = f"needs {', '.join(beyond)}, which only a run with the truth itself records (worldsim eval)"
    else:
        file = f"{nearest.name}.txt" if lacking == ["prompts"] else f"{nearest.name}.npz with these keys"
        reason = f"needs {', '.join(lacking)}: add {file} beside the true clip"
        if lacking == ["segmentation"]:
            reason += ", or give --static if nothing moves by itself in any clip"
    return Verdict(metric=spec.name, scenario=SCENARIO, scored=False, reason=reason)


def sentences(verdicts: Sequence[Verdict]) -> list[str]:
    """A line for each metric that is not scored, or not everywhere, then one for each field that would mend it."""
    lines = [f"{'' if v.scored else 'not scored: '}{v.metric}: {v.reason}" for v in verdicts if v.reason]
    heads = [(v.reason or "").partition(":")[0].removeprefix("needs ") for v in verdicts if not v.scored]
    lacking = {name for head in heads for name in head.split(", ")}
    return lines + [f"  {name}: {shape}" for name, shape in FIELDS.items() if name in lacking]


def _few(count: int, least: int) -> list[str]:
    if count >= least:
        return []
    return [
        f"{count} clips are fewer worlds than --min-worlds {least}: no score is given, only the values of single clips "
        "in scores.jsonl"
    ]


def _refusal(matched: Matched) -> str:
    lines = [f"  {name}: {said}" for name, said in list(matched.problems.items())[:_SHOWN]]
    more = len(matched.problems) - len(lines)
    total = len(matched.problems) + len(matched.clips)
    advice = "--skip-bad scores the others and records these as failed" if matched.clips else "none is left to score"
    return "\n".join(
        [
            f"{len(matched.problems)} of {total} clips cannot be scored; {advice}:",
            *lines,
            *([f"  and {more} more"] if more else []),
        ]
    )


# ------------------------------------------------------------------------------------------------- the run's folder


def _open(
    config: FolderConfig, matched: Matched, verdicts: Sequence[Verdict], command: Sequence[str]
) -> tuple[EvalConfig, RunStore]:
    names = sorted([*matched.problems, *(clip.name for clip in matched.clips)])
    settings = EvalConfig(
        model=config.generated.name,
        env=config.truth.name,
        scenarios=SCENARIO,
        metrics=config.metrics,
        episodes=len(names),
        resamples=config.resamples,
        min_worlds=config.min_worlds,
        quiet=config.quiet,
    )
    plan = [_planned(name, i) for i, name in enumerate(names)]
    pairing = dataclasses.asdict(config.options)
    stamp = utc_now().replace("-", "").replace(":", "").replace("T", "-")[:15]
    label = "".join(c if c.isalnum() or c in "-." else "-" for c in config.generated.resolve().name)
    path = config.out or Path("runs") / f"{stamp}_{SCENARIO}_{label}_{digest([to_plain(settings), pairing])[:4]}"
    horizon = max(clip.length for clip in matched.clips) - max(config.options.context, 1)
    info = {
        "kind": "folders",
        "worldsim": __version__,
        "command": list(command),
        "created": utc_now(),
        "finished": None,
        "seconds": {},
        "config_sha256": digest(to_plain(settings)),
        "suite": {"name": SCENARIO, "version": 1, "hash": digest(names)},
        "model": {"name": config.generated.resolve().name, "reference": str(config.generated), "privileged": False},
        "env": {"id": config.truth.resolve().name, "args": {}},
        "scenario_set": SCENARIO,
        "scenarios": [
            {
                "name": SCENARIO,
                "summary": f"{config.generated} against {config.truth}",
                "context": config.options.context,
                "horizon": horizon,
                "size": list(matched.clips[0].truth[1].size),
                "probes": [],
            }
        ],
        "pairing": pairing,
        "episodes": len(names),
        "fingerprint": fingerprint(),
        "notes": [*matched.notes, *_few(len(matched.clips), config.min_worlds)],
        "scored": [dataclasses.asdict(v) for v in verdicts],
        "counts": {"planned": len(names), "done": 0, "failed": 0, "aborted": 0},
    }
    store = RunStore.create(path, settings, plan, info)
    by_name = {clip.name: clip for clip in matched.clips}
    for name in names:
        store.commit(_row(name, by_name.get(name), matched.problems.get(name), config.options.context), None)
    return settings, store


def _planned(name: str, index: int) -> PlannedEpisode:
    world = clips.world_of(name)
    return PlannedEpisode(
        episode=name,
        scenario=SCENARIO,
        index=index,
        variant="main",
        pair_id=name,
        group=index,
        world_seed=world,
        dynamics_seed=0,
        controller_seed=0,
        model_seed=0,
    )


def _row(name: str, clip: Clip | None, problem: str | None, context: int) -> dict[str, Any]:
    row: dict[str, Any] = {
        "episode": name,
        "scenario": SCENARIO,
        "variant": "main",
        "pair_id": name,
        "world_seed": clips.world_of(name),
        "status": "failed" if clip is None else "done",
        "reason": problem,
        "context": context,
    }
    if clip is None:
        return row
    return row | {
        "horizon": clip.length - max(context, 1),
        "steps": clip.length - 1,
        "fps": clip.fps,
        "size": list(clip.truth[1].size),
        "rollouts": [],
        "marks": [],
        "ended": None,
        "end_reason": "",
        "prompts": [],
        "generated": str(clip.generated[0]),
        "truth": str(clip.truth[0]),
        "fields": sorted(clip.fields),
    }


def _tasks(pairs: Sequence[Clip]) -> list[Task]:
    """One clip, one task; the other world is the next clip of the same size."""
    out = []
    for i, clip in enumerate(pairs):
        around = (pairs[(i + k) % len(pairs)] for k in range(1, len(pairs)))
        other = next((o for o in around if o.truth[1].size == clip.truth[1].size), None)
        out.append(Task(rows=(_row(clip.name, clip, None, clip.options.context),), data=(clip, other)))
    return out


def _show(store: RunStore, pairs: Sequence[Clip]) -> None:
    """Videos of the clips that the page will show: truth | generated | difference."""
    from worldsim.reports.data import read_run
    from worldsim.reports.view import page_of

    by_name = {clip.name: clip for clip in pairs}
    about = provenance(model=store.run["model"]["name"], created=utc_now())
    for player in page_of(read_run(store.path)).players:
        clip = by_name[player.episode]
        (episode,) = clips.load((clip, None))
        true, shown = episode.truth.frames, episode.generated[0].trajectory.frames
        folder = store.folder(clip.name)
        folder.mkdir(parents=True, exist_ok=True)
        rows = (_side_by_side(np.asarray(true[t]), np.asarray(shown[t])) for t in range(clip.length))
        scale = max(1, round(192 / clip.truth[1].size[0]))
        video.write_mp4(folder / "pair.mp4", rows, clip.fps, about, scale=scale)
        last = clip.length - 1
        video.write_png(folder / "poster.png", _side_by_side(np.asarray(true[last]), np.asarray(shown[last])))


def _side_by_side(true: Any, shown: Any) -> Any:
    return np.concatenate([true, shown, video.difference(true, shown)], axis=1)
