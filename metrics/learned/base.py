"""What learned metrics share: weights that are loaded when first needed, frames as tensors, cosines.

A metric can be made without weights. `load` then raises the error that says what is missing; `observe` gives rows that
are undefined for that reason, so that a missing file never loses a run.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from worldsim.errors import ConfigError
from worldsim.metrics.base import Cell, Float, FrameMetric
from worldsim.metrics.learned.weights import Checked, WeightFile, WeightsError, load_script, run_network
from worldsim.types import Episode, Frames

if TYPE_CHECKING:
    import torch

Net = TypeVar("Net")

IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # mean and spread of RGB in 0..1, by which backbones scale
NO_WEIGHTS = "no weights"


class Learned(Generic[Net]):
    """Base of all. Subclasses give `needs` and `build`."""

    needs: ClassVar[WeightFile]

    def __init__(self, weights: str | Path | None = None, sha256: str | None = None) -> None:
        """Remembers where the weights lie; nothing is read yet.

        Args:
            weights: Path of the file; None = by environment variable, see `WeightFile.locate`.
            sha256: Its SHA-256; None = by environment variable.
        """
        self._weights, self._sha256 = weights, sha256
        self._net: Net | None = None
        self._failure: str | None = None
        self.hashes: dict[str, str] = {}

    def build(self, checked: Checked) -> Net:
        """The network from the checked file. Raises WeightsError if it does not fit."""
        raise NotImplementedError(f"{type(self).__name__} needs a method build(checked)")

    def load(self) -> Net:
        """The network, read once.

        Raises:
            WeightsError: If the file is missing, has another hash, or does not fit.
        """
        if self._net is None:
            checked = self.needs.read(self._weights, self._sha256)
            self._net = self.build(checked)
            self.hashes[self.needs.file] = checked.sha256
            self._failure = None
        return self._net

    def why_not(self) -> str | None:
        """None if the network is there, else "no weights: ..."; a failure is remembered until `load` succeeds."""
        if self._net is None and self._failure is None:
            try:
                self.load()
            except WeightsError as error:
                self._failure = f"{NO_WEIGHTS}: {error.short}"
        return self._failure

    def mark(self) -> dict[str, Any]:
        """What every defined row says about its weights: the first 12 digits of each SHA-256."""
        return {"weights": "+".join(digest[:12] for _, digest in sorted(self.hashes.items()))}

    def __getstate__(self) -> dict[str, Any]:
        """Without the network, which another process reads from the file again."""
        return {**self.__dict__, "_net": None, "_failure": None}


class LearnedFrames(Learned[Net], FrameMetric):
    """A frame metric with weights."""

    def cells(self, episode: Episode, frames: Sequence[int], truth: Frames, shown: Frames) -> list[Cell]:
        """`judge` of the frames, or rows without outcome if there are no weights."""
        reason = self.why_not()
        if reason is None:
            try:
                values = self.judge(episode, truth, shown)
            except WeightsError as error:
                reason = f"{NO_WEIGHTS}: {error.short}"
        if reason is not None:
            return [(None, reason, 1.0, {})] * len(frames)
        known = np.isfinite(values)
        return [
            (float(value), None, 1.0, self.mark()) if ok else (None, self.why_undefined, 1.0, {})
            for value, ok in zip(values, known, strict=True)
        ]

    def judge(self, episode: Episode, truth: Frames, shown: Frames) -> Float:
        """One number a frame; override it to look at the episode."""
        return self.compare(truth, shown)


class Script:
    """A TorchScript archive and the file it came from."""

    def __init__(self, checked: Checked, methods: tuple[str, ...] = ("forward",)) -> None:
        """Loads it. Raises WeightsError."""
        self.checked, self.module = checked, load_script(checked, methods)

    def __call__(
        self, *inputs: torch.Tensor, method: str = "forward", options: Mapping[str, bool] | None = None
    ) -> torch.Tensor:
        """See `run_network`."""
        return run_network(self.checked, getattr(self.module, method), *inputs, **(options or {}))

    def takes(self, argument: str) -> bool:
        """Whether `forward` has an argument of this name."""
        return any(a.name == argument for a in self.module.forward.schema.arguments)


def check_size(size: int, least: int = 1) -> int:
    """Raises ConfigError unless `size`, in pixels, is a whole number of at least `least`."""
    if not isinstance(size, int) or isinstance(size, bool) or size < least:
        raise ConfigError(f"size must be a whole number of px, at least {least}, got {size!r}")
    return size


def to_tensor(frames: Frames) -> torch.Tensor:
    """(n, H, W, 3) uint8 -> (n, 3, H, W) float32 in 0..1."""
    import torch

    return torch.from_numpy(np.ascontiguousarray(np.moveaxis(frames, -1, 1))).to(torch.float32) / 255.0


def resized(images: torch.Tensor, size: int | tuple[int, int], mode: str = "bilinear") -> torch.Tensor:
    """(n, 3, H, W) to `size` with antialiasing, in 0..1; equal sizes are left as they are."""
    from torch.nn import functional

    wanted = (size, size) if isinstance(size, int) else size
    if tuple(images.shape[-2:]) == wanted:
        return images
    return functional.interpolate(images, wanted, mode=mode, align_corners=False, antialias=True).clamp(0.0, 1.0)


def standardised(images: torch.Tensor, scale: tuple[Sequence[float], Sequence[float]]) -> torch.Tensor:
    """(n, 3, H, W) in 0..1 -> (x - mean) / spread of each channel."""
    mean, spread = (images.new_tensor(list(values))[:, None, None] for values in scale)
    return (images - mean) / spread


def cosines(reference: NDArray[Any], shown: NDArray[Any]) -> Float:
    """Cosine of the vectors along the last axis, (..., d) twice -> (...), -1..1.

    NaN where the reference is the zero vector (nothing to compare with); 0 where only the other is (a failure).
    """
    x, y = np.asarray(reference, np.float64), np.asarray(shown, np.float64)
    length_x, length_y = np.linalg.norm(x, axis=-1), np.linalg.norm(y, axis=-1)
    product = length_x * length_y
    cosine = np.clip((x * y).sum(axis=-1) / np.where(product > 0, product, 1.0), -1.0, 1.0)
    return np.asarray(np.where(length_x > 0, np.where(length_y > 0, cosine, 0.0), np.nan))
