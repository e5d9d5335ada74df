"""The gates of a released checkpoint: what it must do on worlds that its training never saw (docs/model.md).

Everything goes through the `WorldModel` door: contexts in, frames out. Starts move: the last context frame is a guess
of less than 24 dB four frames later, else copying it would look like skill. The unit is the world, and intervals are of
paired differences.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from worldsim import seeding, trees
from worldsim.collect import CollectConfig, Player
from worldsim.errors import ConfigError, StoreError
from worldsim.moving import moving_start, psnr
from worldsim.progress import Progress
from worldsim.protocols import Codec, WorldModel
from worldsim.stats import cluster_bootstrap
from worldsim.trees import ArrayTree
from worldsim.types import Context, Frames

CODEC_DB = 33.0  # required of the codec's round trip
CONTEXT = 8
HORIZON = 40
#: Horizons at which copying the last frame must be beaten, and those that are aimed at.
COPY_REQUIRED, COPY_TARGET = (4, 16), (1, 40)
SHUFFLED = (1, 2, 4, 8)
#: Metrics whose skill must lie above 0 in an evaluation of the scenario set "gates", whose horizon is 16.
METRICS = ("control.branch", "control.motion", "fidelity.l1", "fidelity.ssim", "fidelity.psnr")


@dataclass(frozen=True, kw_only=True)
class Gate:
    """One gate.

    Attributes:
        name: What is asked.
        value: The figure, in `unit`.
        low, high: 95 % interval, worlds resampled; None where there is none.
        goal: The value, or the low end of the interval, must lie above it.
        unit: "dB", "skill", ...
        required: Else it is published only.
        passed: Whether it is reached.
        n: Worlds.
    """

    name: str
    value: float
    low: float | None
    high: float | None
    goal: float
    unit: str
    required: bool
    passed: bool
    n: int


@dataclass(frozen=True, kw_only=True)
class MovingStarts:
    """Clips of different held-out worlds.

    Attributes:
        frames: (B, C + H, height, width, 3) uint8.
        actions: Tree with leaves (B, C + H - 1, ...).
        seeds: (B,) world seeds.
        captions: B texts, what is true at the last context frame.
    """

    frames: Frames
    actions: ArrayTree
    seeds: NDArray[np.int64]
    captions: tuple[str, ...]


def moving_starts(
    *,
    env: str = "blocks",
    env_args: dict[str, Any] | None = None,
    controller: str = "explore",
    size: tuple[int, int] = (64, 64),
    worlds: int = 48,
    horizon: int = HORIZON,
    seed: int = 0,
    split: seeding.Split = "test",
    quiet: bool = False,
) -> MovingStarts:
    """Plays held-out worlds until `worlds` of them have a moving stretch of C + H frames; one a world.

    Raises:
        ConfigError: If nothing moves.
    """
    config = CollectConfig(
        env=env,
        env_args={"preset": "arena"} if env_args is None else env_args,
        scenarios=(),
        walks=1.0,
        interact=0.0,
        controller=controller,
        episodes=4 * worlds,
        steps=CONTEXT + horizon + 24,
        size=size,
        seed=seeding.hash_seed("gates", seed),
        split=split,
    )
    frames, actions, seeds, captions = [], [], [], []
    with closing(Player()) as player, Progress("starts", worlds, quiet=quiet, unit="worlds") as progress:
        for index in range(config.episodes):
            episode = player.record(config, index, ())
            rng = seeding.generator("gates-start", seed, index)
            clip, order = episode.frames[0], rng.permutation(config.steps + 1 - CONTEXT - horizon)
            start = moving_start(clip, order, context=CONTEXT, horizon=horizon)
            if start is not None:
                frames.append(clip[start : start + CONTEXT + horizon])
                steps = slice(start, start + CONTEXT + horizon - 1)
                actions.append(trees.map_leaves(lambda x, s=steps: x[0, s], episode.actions))
                seeds.append(int(episode.world_seeds[0]))
                captions.append(episode.caption_table[episode.captions[0, start + CONTEXT - 1]])
                progress.advance()
            if len(frames) == worlds:
                break
    if not frames:
        raise ConfigError(f"nothing moves in {config.episodes} worlds of {env}: gates need starts that move")
    return MovingStarts(
        frames=np.stack(frames),
        actions=trees.stack(actions),
        seeds=np.array(seeds, np.int64),
        captions=tuple(captions),
    )


def roll(
    model: WorldModel,
    starts: MovingStarts,
    actions: ArrayTree,
    *,
    seed: int,
    batch: int = 16,
    prompts: Sequence[str] | None = None,
) -> Frames:
    """Rollouts from all starts under `actions`, which replace those after the context: (B, H, height, width, 3).

    `prompts` holds one text a start; None = none is given.
    """
    out = []
    texts = ("",) * len(starts.frames) if prompts is None else tuple(prompts)
    count, total = len(starts.frames), starts.frames.shape[1]
    for first in range(0, count, batch):
        rows = slice(first, min(first + batch, count))
        past = trees.map_leaves(lambda x, r=rows: x[r, : CONTEXT - 1], starts.actions)
        context = Context(frames=starts.frames[rows, :CONTEXT], actions=past, prompts=texts[rows])
        model.reset(context, seeds=[seeding.hash_seed("gates-model", seed, i) for i in range(rows.start, rows.stop)])
        frames = [
            model.step(trees.map_leaves(lambda x, r=rows, k=t: x[r, k : k + 1], actions)).frames[:, 0]
            for t in range(CONTEXT - 1, total - 1)
        ]
        out.append(np.stack(frames, axis=1))
    return np.concatenate(out)


def measure(model: WorldModel, starts: MovingStarts, *, seed: int = 0) -> list[Gate]:
    """The gates that need rollouts only: codec, copy-last, shuffled actions, shuffled prompts where it reads any."""
    truth = starts.frames[:, CONTEXT:]
    horizon = truth.shape[1]
    gates = []
    if isinstance(model, Codec):
        coded = np.stack([model.round_trip(clip) for clip in starts.frames])
        gates.append(
            _gate("codec round trip", psnr(coded, starts.frames).mean(axis=1), CODEC_DB, "dB", True, ends=False)
        )
    own = psnr(roll(model, starts, starts.actions, seed=seed), truth)
    other = trees.map_leaves(lambda x: np.roll(x, 1, axis=0), starts.actions)
    shuffled = psnr(roll(model, starts, other, seed=seed), truth)
    copied = psnr(np.broadcast_to(starts.frames[:, CONTEXT - 1, None], truth.shape), truth)
    for h in sorted((*COPY_REQUIRED, *COPY_TARGET)):
        if h <= horizon:
            differs = own[:, h - 1] - copied[:, h - 1]
            gates.append(_gate(f"over copy-last at {h}", differs, 0.0, "dB", h in COPY_REQUIRED))
    for h in SHUFFLED:
        gates.append(_gate(f"true over shuffled actions at {h}", own[:, h - 1] - shuffled[:, h - 1], 0.0, "dB", True))
    if model.spec.accepts_text and any(starts.captions):
        told = psnr(roll(model, starts, starts.actions, seed=seed, prompts=starts.captions), truth)
        swapped = (*starts.captions[1:], starts.captions[0])
        misled = psnr(roll(model, starts, starts.actions, seed=seed, prompts=swapped), truth)
        for h in sorted(set(SHUFFLED) | set(COPY_REQUIRED)):
            if h <= horizon:
                differs = told[:, h - 1] - misled[:, h - 1]
                gates.append(_gate(f"true over another world's prompt at {h}", differs, 0.0, "dB", False))
    return gates


def from_run(run: Path) -> list[Gate]:
    """The gates that are metrics, from a scored run of the scenario set "gates".

    Raises:
        StoreError: If the run has no summary.
    """
    path = run / "summary.json"
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))["rows"]
    except (OSError, ValueError, KeyError) as error:
        raise StoreError(
            f"{path} cannot be read ({error}); run `worldsim eval --scenarios gates --out {run}`"
        ) from error
    gates = []
    for metric in METRICS:
        for row in rows:
            if row["metric"] == metric and row["scenario"] == "*":
                low = row["skill_low"]
                gates.append(
                    Gate(
                        name=f"skill of {metric}",
                        value=float("nan") if row["skill"] is None else row["skill"],
                        low=low,
                        high=row["skill_high"],
                        goal=0.0,
                        unit="skill",
                        required=True,
                        passed=low is not None and low > 0,
                        n=row["n_worlds"],
                    )
                )
    return gates


def _gate(name: str, values: Any, goal: float, unit: str, required: bool, *, ends: bool = True) -> Gate:
    """A gate from one value a world; `ends`: the low end of the interval decides, else the mean."""
    values = np.asarray(values, np.float64)
    interval = cluster_bootstrap(lambda counts: counts @ values / counts.sum(axis=1), len(values), seed=0)
    value, low, high = float(values.mean()), float(interval.low), float(interval.high)
    return Gate(
        name=name,
        value=value,
        low=low,
        high=high,
        goal=goal,
        unit=unit,
        required=required,
        passed=(low if ends else value) > goal,
        n=len(values),
    )


def table(gates: Sequence[Gate]) -> str:
    """The gates as lines for a terminal."""
    lines = [f"{'gate':<36}{'value':>9}  {'95 % interval':<18}{'goal':>6}  n   verdict"]
    for g in gates:
        ends = "" if g.low is None or g.high is None else f"[{g.low:.2f}, {g.high:.2f}]"
        verdict = "passed" if g.passed else "NOT PASSED" if g.required else "not reached (a target)"
        lines.append(f"{g.name:<36}{g.value:>9.2f}  {ends:<18}{g.goal:>6.1f}  {g.n:<3} {verdict}")
    return "\n".join(lines)


def to_plain(gates: Sequence[Gate]) -> list[dict[str, Any]]:
    """For JSON."""
    return [asdict(g) for g in gates]
