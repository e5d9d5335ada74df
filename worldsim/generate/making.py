"""From a question to a clip with its record: the search for actions, the best of several, what is known put around."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from worldsim import seeding, trees
from worldsim.generate.config import GenerateConfig
from worldsim.generate.scripts import candidates, format_script
from worldsim.generate.tasks import Task, make_task
from worldsim.model.clip_generator import ClipGenerator, Made
from worldsim.provenance import provenance
from worldsim.types import Frames


@dataclass(frozen=True, kw_only=True)
class GeneratedClip:
    """One clip.

    Attributes:
        frames: (T, H, W, 3) uint8.
        drawn: (T,) bool, the frames that the model made.
        fps: Simulated frames a second.
        record: Plain values: what made it.
        uncertainty: Name of a signal -> (T,) float32, NaN where there is none; see `Made`.
    """

    frames: Frames
    drawn: NDArray[np.bool_]
    fps: float
    record: Mapping[str, Any]
    uncertainty: Mapping[str, NDArray[np.float32]]


def generate(
    config: GenerateConfig, model: ClipGenerator | None = None, *, advance: Callable[[int], None] = lambda clips: None
) -> list[GeneratedClip]:
    """Makes the clips, `config.samples` of them.

    Args:
        config: What is wanted.
        model: A loaded checkpoint; None = loaded as the settings say.
        advance: Told when a clip is made.

    Raises:
        ConfigError: For settings, prompts or actions that do not fit.
        ShapeError: For sizes that do not.
        StoreError: For files that cannot be read.
        UnsupportedError: For what this checkpoint cannot do.
    """
    model = model or make_model(config)
    clips = []
    for sample in range(config.samples):
        task = make_task(config, model, sample)
        clips.append(_best(config, model, searched(config, model, task, sample), sample))
        advance(1)
    return clips


def make_model(config: GenerateConfig) -> ClipGenerator:
    """Loads the checkpoint of the settings."""
    return ClipGenerator(
        config.checkpoint,
        steps=config.steps,
        guidance=config.guidance,
        device=config.device,
        threads=config.threads,
    )


def searched(config: GenerateConfig, model: ClipGenerator, task: Task, sample: int) -> Task:
    """The task with those actions in its gap, of `config.search` sequences, that miss the end least."""
    if not task.search:
        return task
    shot, count, gap = task.shot, config.search, config.gap
    known = len(shot.before) if shot.before is not None else 0
    tried = candidates(model.action_space, gap + 1, count, seed=seeding.hash_seed("search", config.seed, sample))
    moves = trees.map_leaves(
        lambda whole, inside: np.concatenate(
            [
                np.repeat(whole[:, : known - 1], count, axis=0),
                inside,
                np.repeat(whole[:, known + gap :], count, axis=0),
            ],
            axis=1,
        ),
        shot.actions,
        tried,
    )
    many = replace(shot, actions=moves, prompts={frame: list(texts) * count for frame, texts in shot.prompts.items()})
    seeds = [seeding.hash_seed("generate", config.seed, sample, 0)] * count  # one noise: only the actions differ
    misses = model.misses(many, seeds)
    best = int(misses.argmin())
    facts = {"searched": count, "miss": _rounded(misses[best]), "miss_idle": _rounded(misses[0])}
    found = replace(shot, actions=trees.index(moves, slice(best, best + 1)))
    return replace(task, shot=found, facts={**task.facts, **facts})


def _best(config: GenerateConfig, model: ClipGenerator, task: Task, sample: int) -> GeneratedClip:
    """The surest of `config.best_of` clips of one task."""
    n = config.best_of
    shot = task.shot
    many = replace(
        shot,
        actions=trees.map_leaves(lambda leaf: np.repeat(leaf, n, axis=0), shot.actions),
        prompts={frame: list(texts) * n for frame, texts in shot.prompts.items()},
    )
    made = model.make(many, [seeding.hash_seed("generate", config.seed, sample, j) for j in range(n)])
    unsure = mean_uncertainty(made)
    kept = int(unsure.argmin())
    front, back = (0 if frames is None else len(frames) for frames in (task.front, task.back))
    stop = made.frames.shape[1] - task.hidden
    parts = [p for p in (task.front, made.frames[kept, :stop], task.back) if p is not None and len(p)]
    drawn = np.pad(made.drawn[:stop], (front, back))
    signals = {
        name: np.pad(values[kept, :stop], (front, back), constant_values=np.float32(np.nan))
        for name, values in (("flow", made.flow), ("codec", made.codec))
    }
    if task.earlier is not None:
        length = len(task.earlier.drawn)
        drawn[:length] = task.earlier.drawn
        signals["flow"][:length], signals["codec"][:length] = task.earlier.flow[0], task.earlier.codec[0]
    record = _record(config, model, task, sample, drawn, front)
    record |= {"candidate": kept, "best_of": n, "uncertainty": _rounded(unsure[kept])}
    return GeneratedClip(
        frames=np.concatenate(parts),
        drawn=drawn,
        fps=model.info.fps,
        record=record,
        uncertainty=signals,
    )


def mean_uncertainty(made: Made) -> NDArray[np.float64]:
    """(B,) mean over the drawn frames: of "flow", or of "codec" where frames were drawn in one step."""
    signal = made.codec if np.isnan(made.flow[:, made.drawn]).any() else made.flow
    drawn = signal[:, made.drawn].astype(np.float64)
    return drawn.mean(axis=1) if drawn.shape[1] else np.zeros(len(drawn))


def _record(
    config: GenerateConfig, model: ClipGenerator, task: Task, sample: int, drawn: NDArray[np.bool_], front: int
) -> dict[str, Any]:
    shot = task.shot
    moves = trees.map_leaves(lambda leaf: leaf[0], shot.actions)
    if task.hidden:  # the loop's own beginning is not shown again; the last action leads back to it
        moves = trees.index(moves, slice(0, shot.frames - task.hidden))
    edges = np.flatnonzero(np.diff(np.pad(drawn.astype(np.int8), 1)))
    return provenance(
        model=model.info.name,
        model_hash=model.digest,
        prompt=task.prompt,
        seed=config.seed,
        extra={
            "mode": config.mode,
            "sample": sample,
            "prompt_given": config.prompt,
            "clauses_dropped": model.dropped(task.prompt),
            "size": list(shot.size),
            "frames": len(drawn),
            "drawn": [[int(a), int(b)] for a, b in zip(edges[::2], edges[1::2], strict=True)],
            "steps": model.sampler.steps,
            "guidance": config.guidance,
            "actions": format_script(moves, model.action_space),
            "actions_since": front,
            **task.facts,
        },
    )


def _rounded(value: Any) -> float:
    return round(float(value), 6)
