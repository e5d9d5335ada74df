"""What frame-by-frame metrics share: the grid of horizons, streaming, and the mean over worlds.

A frame metric compares the truth's frame with the shown one at each horizon of a grid that is dense early and thin
later, so that a rollout of thousands of steps costs two dozen comparisons.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from worldsim.errors import ShapeError
from worldsim.protocols import EpisodeGroup
from worldsim.types import Episode, Frames, FrameSource, MetricSpec, Observation, Rollout, Score

Float = NDArray[np.float64]

#: What one frame gave: (outcome or None, reason if None, weight in pixels, details).
Cell = tuple[float | None, str | None, float, dict[str, Any]]


def horizon_grid(horizon: int) -> tuple[int, ...]:
    """1, 2, 3, 4, 6, 8, 12, 16, 24, 32, ... up to `horizon`, which is always the last; () for 0."""
    if horizon < 1:
        return ()
    grid = {1, 2, 3, horizon}
    power = 4
    while power <= horizon:
        grid |= {power, power + power // 2}
        power *= 2
    return tuple(sorted(h for h in grid if h <= horizon))


def nan_mean(values: Float, axis: int) -> Float:
    """Mean of what is not NaN along an axis, NaN where nothing is."""
    known = np.isfinite(values)
    count = known.sum(axis=axis)
    total = np.where(known, values, 0.0).sum(axis=axis)
    return np.asarray(np.where(count > 0, total / np.maximum(count, 1), np.nan))


def row_of(metric: str, episode: Episode, rollout: Rollout, source: str, **fields: Any) -> Observation:
    """A row of evidence about one rollout of an episode; `fields` are what it found."""
    return Observation(
        metric=metric,
        episode=episode.id,
        scenario=episode.scenario,
        world=episode.world_seed,
        source=source,
        arm=rollout.arm,
        sample=rollout.sample,
        variant=episode.variant,
        pair_id=episode.pair_id,
        **fields,
    )


class FrameMetric:
    """Base of metrics that compare frame with frame. Subclasses give `spec` and `compare`."""

    spec: ClassVar[MetricSpec]
    columns: ClassVar[tuple[str, ...]] = ()
    chunk: int = 16  # frames compared in one call: bounds memory, changes no number

    def compare(self, truth: Frames, shown: Frames) -> Float:
        """One number a frame: (n, H, W, 3) twice -> (n,); NaN = undefined."""
        raise NotImplementedError(f"{type(self).__name__} needs a method compare(truth, shown) -> (n,) float64")

    def cells(self, episode: Episode, frames: Sequence[int], truth: Frames, shown: Frames) -> list[Cell]:
        """One cell for each of the n frame indices; override it to look at the truth's states."""
        values = self.compare(truth, shown)
        return [(float(v), None, 1.0, {}) if np.isfinite(v) else (None, self.why_undefined, 1.0, {}) for v in values]

    why_undefined: ClassVar[str] = "non-finite value"

    def transform(self, mean: Float) -> Float:
        """From the mean outcome to the score; the identity unless overridden."""
        return mean

    # ------------------------------------------------------------------------------------------ protocols.Metric

    def observe(self, group: EpisodeGroup, source: str = "model") -> list[Observation]:
        """One row for each episode, rollout and horizon of the grid. Steps after the truth's end have no row.

        Raises:
            ShapeError: If a rollout's frames differ in shape from the truth's.
        """
        return [
            row for episode in group for rollout in episode.generated for row in self._rows(episode, rollout, source)
        ]

    def _rows(self, episode: Episode, rollout: Rollout, source: str) -> Iterator[Observation]:
        def row(h: int | None, cell: Cell) -> Observation:
            outcome, reason, weight, details = cell
            return row_of(
                self.spec.name,
                episode,
                rollout,
                source,
                delay=h,
                outcome=outcome,
                reason=reason,
                weight=weight,
                details=details,
            )

        truth, shown = episode.truth.frames, rollout.trajectory.frames
        if tuple(truth.shape) != tuple(shown.shape):
            raise ShapeError(f"rollout frames must be {tuple(truth.shape)} like the truth's, got {tuple(shown.shape)}")
        first = max(episode.context_length, 1) - 1  # the frame of horizon 0
        grid = horizon_grid(episode.truth.last_valid_frame - first)
        if not grid:
            yield row(None, (None, "no predicted frame", 1.0, {}))
            return
        # The truth's end leaves no row; the model's own end is the model's doing, so its frames count as undefined.
        last = rollout.trajectory.last_valid_frame
        scored = [h for h in grid if first + h <= last]
        for start in range(0, len(scored), self.chunk):
            horizons = scored[start : start + self.chunk]
            frames = [first + h for h in horizons]
            cells = self.cells(episode, frames, _gather(truth, frames), _gather(shown, frames))
            yield from (row(h, cell) for h, cell in zip(horizons, cells, strict=True))
        yield from (row(h, (None, "the simulator ended the episode", 1.0, {})) for h in grid[len(scored) :])

    def reduce(self, rows: Sequence[Observation]) -> Score:
        """Means within worlds, then over worlds at each horizon, equal weight to horizons, then the transform."""
        sums: dict[int, dict[int, list[list[float]]]] = defaultdict(lambda: defaultdict(list))
        for r in sorted(rows, key=lambda r: (r.world, r.episode, r.arm, r.sample)):  # sums depend on their order
            if r.outcome is not None and r.delay is not None:
                sums[r.delay][r.world].append([r.outcome, *(float(r.details[c]) for c in self.columns)])
        if not sums:
            reasons = sorted({r.reason for r in rows if r.reason})
            return Score(value=None, unit=self.spec.unit, reason="; ".join(reasons) or "no observations")
        horizons = sorted(sums)
        means = np.array([np.mean([np.mean(v, axis=0) for v in sums[h].values()], axis=0) for h in horizons])
        value = float(self.finish(means, np.array(horizons, np.int64)))
        at = self.pointwise(means)
        curve = {h: float(v) if np.isfinite(v) else None for h, v in zip(horizons, at, strict=True)}
        if not np.isfinite(value):
            return Score(value=None, unit=self.spec.unit, reason="no horizon decides it", curve=curve)
        return Score(value=value, unit=self.spec.unit, curve=curve)

    # --------------------------------------------------------------------------------------- protocols.Averaging

    def pointwise(self, means: Float) -> Float:
        """The value at each horizon: (..., K) -> (...)."""
        return self.transform(means[..., 0])

    def finish(self, means: Float, horizons: NDArray[np.int64]) -> Float:
        """Equal weight to the horizons: (..., H, K) -> (...)."""
        return self.transform(nan_mean(means[..., 0], axis=-1))


def _gather(source: FrameSource, frames: Sequence[int]) -> Frames:
    return np.stack([np.asarray(source[t]) for t in frames])
