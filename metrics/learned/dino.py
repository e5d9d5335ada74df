"""Consistency in the features of a self-supervised backbone (DINO, DINOv2 or another): with the truth, and with depth.

`learned.dino` compares the whole frame with the truth's. `learned.met3r` asks whether a surface has the same features
in two shown frames, where the truth's depth and motion say that it is the same surface. It is *like* MEt3R (Asim et
al. 2025) and not MEt3R: there a network guesses the point maps from the shown frames themselves, so that noise and
repeated frames get plausible geometry; features are sharpened by another network; and everything covered counts. Here
the geometry is the truth's, features are interpolated, instances and depth edges are left out, and what the true
frames themselves get is subtracted.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from worldsim.errors import UnsupportedError
from worldsim.metrics.base import Float
from worldsim.metrics.functional.geometry import MAX_ROTATION, MIN_OVERLAP, pair_view
from worldsim.metrics.geometry import Cell, PairMetric, by_world
from worldsim.metrics.learned.base import (
    IMAGENET,
    NO_WEIGHTS,
    Learned,
    LearnedFrames,
    Script,
    check_size,
    cosines,
    resized,
    standardised,
    to_tensor,
)
from worldsim.metrics.learned.dense import feature_error
from worldsim.metrics.learned.weights import Checked, WeightFile, WeightsError
from worldsim.types import Episode, Frames, MetricSpec, Observation, Score

GLOBAL = WeightFile(
    variable="WORLDSIM_DINO_WEIGHTS",
    file="dino.pt",
    holds="a TorchScript archive: forward((n, 3, 224, 224) float32, scaled as ImageNet) -> (n, d) features",
    recipe="DINO",
)
DENSE = WeightFile(
    variable="WORLDSIM_DENSE_WEIGHTS",
    file="dino_dense.pt",
    holds="a TorchScript archive: forward((n, 3, 224, 224) float32, scaled as ImageNet) -> (n, d, h, w) features",
    recipe="MEt3R-like",
)
MIN_PIXELS = 24  # static px seen in both frames


def image_features(frames: Frames, network: Script, size: int, ndim: int) -> NDArray[np.float32]:
    """(n, H, W, 3) uint8, stretched to size x size -> (n, d) for ndim 2, (n, d, h, w) for 4.

    Raises:
        WeightsError: If the network fails or its output has another number of axes.
    """
    out = network(standardised(resized(to_tensor(frames), size, "bicubic"), IMAGENET))
    if out.ndim != ndim:
        wanted = "(n, d)" if ndim == 2 else "(n, d, h, w)"
        raise network.checked.error(f"gives {tuple(out.shape)} for {len(frames)} frames, not {wanted}")
    return np.asarray(out.numpy(), np.float32)


class _Backbone(Learned[Script]):
    """What both share."""

    ndim: ClassVar[int]

    def __init__(self, weights: str | Path | None = None, sha256: str | None = None, *, size: int = 224) -> None:
        """See `Learned`; `size` is the height and width, px, that the backbone takes. Raises ConfigError."""
        super().__init__(weights, sha256)
        self.size = check_size(size)

    def build(self, checked: Checked) -> Script:
        """The archive, tried on three grey frames, for one that was traced for a single frame fails on more."""
        network = Script(checked)
        image_features(np.full((3, self.size, self.size, 3), 128, np.uint8), network, self.size, self.ndim)
        return network

    def features(self, frames: Frames) -> NDArray[np.float32]:
        """See `image_features`."""
        return image_features(frames, self.load(), self.size, self.ndim)


class Dino(_Backbone, LearnedFrames[Script]):
    """Cosine of the features of the true and the shown frame."""

    needs = GLOBAL
    ndim = 2
    why_undefined = "the truth's features are zero"
    spec: ClassVar[MetricSpec] = MetricSpec(
        name="learned.dino",
        version=1,
        unit="1",
        range=(-1.0, 1.0),
        higher_is_better=True,
        floor="frozen",
        undefined=("no weights", "no predicted frame", "the simulator ended the episode", why_undefined),
        sensitive=frozenset({"blur", "noise", "lag"}),
        source="cosine of backbone features, truth against shown frame",
        summary="Does a self-supervised network see the truth's scene?",
        headline=False,
        power=0.01,
    )

    def compare(self, truth: Frames, shown: Frames) -> Float:
        """See `cosines`."""
        return cosines(self.features(truth), self.features(shown))


class Met3rLike(_Backbone, PairMetric):
    """Feature inconsistency under the true warp, above that of the true frames."""

    needs = DENSE
    ndim = 4
    spec: ClassVar[MetricSpec] = MetricSpec(
        name="learned.met3r",
        version=1,
        unit="1",
        range=(0.0, 2.0),
        higher_is_better=False,
        floor="frozen",
        requires=frozenset({"depth", "segmentation", "world_from_camera", "intrinsics"}),
        undefined=(
            "no weights",
            "no pair of predicted frames",
            "the simulator ended the episode",
            "no states",
            "no depth",
            "no segmentation",
            "no camera pose or intrinsics",
            f"more than {MAX_ROTATION:g} degrees between the frames",
            f"less than {MIN_OVERLAP:.0%} overlap",
            f"fewer than {MIN_PIXELS} static px seen in both frames",
            "no power: a frozen frame would fit as well",
        ),
        sensitive=frozenset({"pose-jitter"}),
        invariant=frozenset({"vanish", "teleport", "swap"}),
        source="after Asim et al. 2025: mean of 1 - cosine under the true warp, shown frames minus true frames",
        summary="Does a surface keep its features where the true depth and motion find it again?",
        headline=False,
        power=0.01,
    )

    def pair(self, episode: Episode, at: tuple[int, int], truth: Frames, shown: Frames) -> Cell:
        """The error of the shown frames; details hold that of the true ones, and that of the true one standing still.

        Raises:
            UnsupportedError: If the truth or the weights are missing.
        """
        if episode.truth.states is None:
            raise UnsupportedError("no states")
        view = pair_view(episode.truth.states[at[0]], episode.truth.states[at[1]])
        kept, where = view.kept, view.maps[1.0, 1.0]
        if view.rotation > MAX_ROTATION:
            return None, f"more than {MAX_ROTATION:g} degrees between the frames", {}
        if view.overlap < MIN_OVERLAP:
            return None, f"less than {MIN_OVERLAP:.0%} overlap", {}
        if int(kept.sum()) < MIN_PIXELS:
            return None, f"fewer than {MIN_PIXELS} static px seen in both frames", {}
        reason = self.why_not()
        if reason is not None:
            raise UnsupportedError(reason)
        try:
            true, own = self.features(truth), self.features(shown)
        except WeightsError as error:
            raise UnsupportedError(f"{NO_WEIGHTS}: {error.short}") from error
        e_gt = feature_error(true[0], true[1], where, kept)
        e_null = feature_error(true[0], true[0], where, kept)
        if e_null - e_gt < self.spec.power:
            return None, "no power: a frozen frame would fit as well", {}
        e_gen = feature_error(own[0], own[1], where, kept)
        details: dict[str, Any] = {"e_gt": e_gt, "e_null": e_null, "parallax": view.parallax} | self.mark()
        return e_gen, None, details

    def combine(self, rows: Sequence[Observation]) -> Score:
        """max(0, mean error of the shown minus that of the true frames), means within worlds, then over worlds.

        The true frames' own error is what interpolation and the backbone cost. Subtracting it shifts floor and ceiling
        alike, so skill is what it would be without.
        """
        means = np.mean(
            [np.mean([[r.outcome, r.details["e_gt"]] for r in own], axis=0) for own in by_world(rows)], axis=0
        )
        shown, true = (float(m) for m in means)
        value = max(0.0, shown - true)
        return Score(value=value, unit=self.spec.unit, details={"shown": shown, "truth": true})
