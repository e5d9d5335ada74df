"""FVD: Frechet distance between the clips of truth and simulator in the features of a video network.

Unterthiner et al. 2019 with I3D; the distance is `functional.frechet` (nuclear norm, no matrix root). Each world gives
one clip: its first 16 predicted frames. Both sides show the same worlds, as papers on prediction do, so that a perfect
simulator of a closed future has exactly 0.

Limits: needs 64 worlds at least, and is biased upwards like 1/n: only values at equal n can be compared, and the bias
is larger in the resamples of the bootstrap, which hold fewer different worlds. Other weights, another resizing or
another length of clip give another number, so the hash of the weights stands in every row.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np

from worldsim.errors import ConfigError, ShapeError, UnsupportedError
from worldsim.metrics.base import Float, row_of
from worldsim.metrics.functional.frechet import MIN_ITEMS, frechet
from worldsim.metrics.learned.base import NO_WEIGHTS, Learned, Script, check_size, resized, to_tensor
from worldsim.metrics.learned.weights import Checked, WeightFile, WeightsError
from worldsim.protocols import EpisodeGroup
from worldsim.types import Episode, Frames, MetricSpec, Observation, Rollout, Score

WEIGHTS = WeightFile(
    variable="WORLDSIM_I3D_WEIGHTS",
    file="i3d.pt",
    holds="a TorchScript archive: forward((B, 3, T, H, W) float32 in -1..1) -> (B, d) features",
    recipe="FVD",
)
#: Arguments that a widely used I3D archive has: it is told that pixels are scaled already and that features are wanted.
OPTIONS = {"rescale": False, "resize": False, "return_features": True}


def clip_features(clips: Frames, network: Script, size: int) -> Float:
    """(B, T, H, W, 3) uint8 -> (B, d) float64 holding float32 features; each clip alone, so that batches do not matter.

    Raises:
        WeightsError: If the network fails or gives no (B, d) features.
    """
    import torch

    options = {name: value for name, value in OPTIONS.items() if network.takes(name)}
    rows = []
    for clip in clips:
        video = 2.0 * resized(to_tensor(clip), size) - 1.0  # (T, 3, size, size)
        out = network(video.movedim(0, 1)[None], options=options)
        if out.ndim != 2:
            raise network.checked.error(f"gives {tuple(out.shape)} for one clip, not (1, d)")
        rows.append(out[0])
    return np.asarray(torch.stack(rows).double().numpy(), np.float64)


class FVD(Learned[Script]):
    """Frechet video distance."""

    needs = WEIGHTS
    spec: ClassVar[MetricSpec] = MetricSpec(
        name="learned.fvd",
        version=1,
        unit="1",
        range=(0.0, np.inf),
        higher_is_better=False,
        floor="frozen",
        undefined=(
            "no weights",
            "fewer predicted frames than a clip has",
            "the simulator ended the episode",
            f"fewer than {MIN_ITEMS} worlds",
        ),
        sensitive=frozenset({"blur", "noise", "lag", "drop"}),
        source="Unterthiner et al. 2019: |m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2)) of I3D features of 16 frames",
        summary="Do the clips, as a set, look and move like the truth's?",
        headline=False,
        power=1.0,
    )

    def __init__(
        self,
        weights: str | Path | None = None,
        sha256: str | None = None,
        *,
        size: int = 224,
        frames: int = 16,
        least: int = MIN_ITEMS,
    ) -> None:
        """See `Learned`.

        Args:
            weights: As in `Learned`.
            sha256: As in `Learned`.
            size: Height and width, px, to which frames are resized.
            frames: Length of a clip.
            least: Worlds below which the distance is undefined; below 64 it is a number for tests only.

        Raises:
            ConfigError: If a number is out of range.
        """
        super().__init__(weights, sha256)
        if frames < 1 or least < 2:
            raise ConfigError(f"FVD needs frames >= 1 and least >= 2, got {frames} and {least}")
        self.size, self.frames, self.least = check_size(size), frames, least

    def build(self, checked: Checked) -> Script:
        """The archive, tried on one grey clip."""
        network = Script(checked)
        clip_features(np.full((1, self.frames, self.size, self.size, 3), 128, np.uint8), network, self.size)
        return network

    def observe(self, group: EpisodeGroup, source: str = "model") -> list[Observation]:
        """One row for each episode and rollout: details hold the features of both clips, the outcome their distance.

        Raises:
            ShapeError: If a rollout's frames differ in shape from the truth's.
        """
        return [self._row(episode, rollout, source) for episode in group for rollout in episode.generated]

    def _row(self, episode: Episode, rollout: Rollout, source: str) -> Observation:
        outcome, reason, details = None, None, {}
        found = self._pair(episode, rollout)
        if isinstance(found, str):
            reason = found
        else:
            outcome = float(np.linalg.norm(found[0] - found[1]))
            details = self.mark() | {"truth": _plain(found[0]), "shown": _plain(found[1])}
        return row_of(
            self.spec.name,
            episode,
            rollout,
            source,
            outcome=outcome,
            reason=reason,
            details=details,
        )

    def _pair(self, episode: Episode, rollout: Rollout) -> Float | str:
        """(2, d) features of the true and the shown clip, or why there are none."""
        truth, shown = episode.truth.frames, rollout.trajectory.frames
        if tuple(truth.shape) != tuple(shown.shape):
            raise ShapeError(f"rollout frames must be {tuple(truth.shape)} like the truth's, got {tuple(shown.shape)}")
        first = max(episode.context_length, 1)
        if episode.truth.last_valid_frame - first + 1 < self.frames:
            return f"fewer than {self.frames} predicted frames"
        if rollout.trajectory.last_valid_frame - first + 1 < self.frames:
            return "the simulator ended the episode"
        reason = self.why_not()
        if reason is not None:
            return reason
        clips = np.stack([np.asarray(side[first : first + self.frames]) for side in (truth, shown)])
        try:
            return clip_features(clips, self.load(), self.size)
        except WeightsError as error:
            return f"{NO_WEIGHTS}: {error.short}"

    def reduce(self, rows: Sequence[Observation]) -> Score:
        """The distance over one clip a world: the first episode and sample of each, for others are not independent."""
        unit = self.spec.unit
        items: dict[int, Observation] = {}
        for r in sorted((r for r in rows if r.outcome is not None), key=lambda r: (r.episode, r.arm, r.sample)):
            items.setdefault(r.world, r)
        if not items:
            reasons = sorted({r.reason for r in rows if r.reason})
            return Score(value=None, unit=unit, reason="; ".join(reasons) or "no observations")
        chosen = [items[world] for world in sorted(items)]
        if len(marks := {str(r.details["weights"]) for r in chosen}) > 1:
            return Score(value=None, unit=unit, reason=f"rows of different weights: {', '.join(sorted(marks))}")
        try:
            truth, shown = (np.array([r.details[side] for r in chosen]) for side in ("truth", "shown"))
            value = frechet(truth, shown, self.least)
        except UnsupportedError:
            return Score(value=None, unit=unit, reason=f"fewer than {self.least} worlds: {len(chosen)}")
        return Score(value=value, unit=unit, details={"worlds": len(chosen)})


def _plain(features: Float) -> list[float]:
    """Floats with the 9 digits that identify a float32: shorter on disk, and equal stays equal."""
    return [float(f"{x:.9g}") for x in features]
