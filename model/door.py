"""What comes in at the door: frames, actions and prompts in numpy become latents, features and words as tensors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from worldsim import trees
from worldsim.errors import ShapeError
from worldsim.model import actions as action_features
from worldsim.model.codec.config import SPACE
from worldsim.model.codec.network import VideoCodec, to_float
from worldsim.model.dit.config import DiTConfig
from worldsim.model.dit.patches import patchify
from worldsim.model.text.words import Vocabulary
from worldsim.trees import ArrayTree
from worldsim.types import Context, Frames


@dataclass(frozen=True, kw_only=True)
class Canvas:
    """Frames of any size on latent cells, which come in whole patches: what is missing is painted on, then cut off.

    Attributes:
        height, width: Of the frames, in pixels.
        patch: Latent cells in a token.
    """

    height: int
    width: int
    patch: int

    def __post_init__(self) -> None:
        if min(self.height, self.width) < self.unit:
            raise ShapeError(
                f"frames must be at least {self.unit}x{self.unit} pixels, one token, got {self.height}x{self.width}: "
                "choose a larger size"
            )

    @property
    def unit(self) -> int:
        """Pixels of a token, in each direction."""
        return SPACE * self.patch

    @property
    def cells(self) -> tuple[int, int]:
        """(h, w) latent cells of the canvas."""
        up, left, down, right = self._margins()
        return (self.height + up + down) // SPACE, (self.width + left + right) // SPACE

    def put(self, frames: Frames) -> Frames:
        """(..., H, W, 3) -> (..., 8h, 8w, 3): in the middle, with its edges repeated round it."""
        up, left, down, right = self._margins()
        if not up + left + down + right:
            return np.ascontiguousarray(frames)
        around = [(0, 0)] * (frames.ndim - 3) + [(up, down), (left, right), (0, 0)]
        return np.pad(frames, around, mode="edge")

    def cut(self, frames: Frames) -> Frames:
        """(..., 8h, 8w, 3) -> (..., H, W, 3)."""
        up, left, _, _ = self._margins()
        return np.ascontiguousarray(frames[..., up : up + self.height, left : left + self.width, :])

    def _margins(self) -> tuple[int, int, int, int]:
        down, right = -self.height % self.unit, -self.width % self.unit
        return down // 2, right // 2, down - down // 2, right - right // 2


class Door:
    """Encodes contexts, actions and prompts for one checkpoint."""

    def __init__(self, codec: VideoCodec, config: DiTConfig, device: torch.device) -> None:
        """`config` is that of the transformer, which says what actions and words there are."""
        self._codec, self._config, self._device = codec, config, device
        self._space = dict(config.action_space)
        self._scale = np.asarray(config.action_scale, np.float32)
        self.words = Vocabulary(config.vocabulary) if config.text_length else None

    def context(self, context: Context, canvas: Canvas) -> tuple[Tensor, Tensor]:
        """Latents (B, L, N, P) and scaled action features (B, L - 1, A) of the end of a context.

        No more is encoded than a world remembers: the window, the latent before it, and, where a latent is several
        frames, one more, which makes that one whole.

        Raises:
            ShapeError: For actions that are not of the checkpoint's space.
        """
        config, (b, c) = self._config, context.frames.shape[:2]
        n, width = config.temporal, action_features.count(self._space)
        if c == 0:
            h, w = canvas.cells
            tokens = (h // config.patch) * (w // config.patch)
            none = torch.zeros(b, 0, tokens, config.token, device=self._device)
            return none, torch.zeros(b, 0, width, device=self._device)
        latents_before = min((c - 1) // n, config.window + (n > 1))
        used = 1 + latents_before * n
        features = np.zeros((b, 0, width), np.float32)
        if used > 1:
            steps = trees.map_leaves(lambda x: np.asarray(x)[:, c - used :], context.actions)
            features = self.features(steps).reshape(b, -1, n, width).mean(axis=2)
        # World by world: what a world is does not depend on the others of its batch, not by a bit.
        latents = torch.cat([self.encode(canvas.put(frames[None, c - used :])) for frames in context.frames])
        return patchify(latents, config.patch), torch.from_numpy(features).to(self._device)

    def encode(self, frames: Frames) -> Tensor:
        """(B, T, 8h, 8w, 3) uint8 -> (B, L, Z, h, w)."""
        return self._codec.encode(to_float(torch.from_numpy(frames).to(self._device)))

    def actions(self, actions: ArrayTree, batch: int) -> Tensor:
        """(B, n, ...) leaves -> (B, A), the mean over the n frames of a step.

        Raises:
            ShapeError: If they are not of the checkpoint's space, or not so many.
        """
        n = self._config.temporal
        for leaf in trees.leaves(actions):
            if np.shape(leaf)[:2] != (batch, n):
                raise ShapeError(f"actions must have leaves (B, n, ...) = ({batch}, {n}, ...), got {np.shape(leaf)}")
        return torch.from_numpy(self.features(actions).mean(axis=1)).to(self._device)

    def features(self, actions: ArrayTree) -> NDArray[np.float32]:
        """Scaled features (..., A) of actions."""
        scaled: NDArray[Any] = action_features.features(actions, self._space) / self._scale
        return scaled

    def read(self, prompts: Sequence[str]) -> Tensor | None:
        """(B, L) word numbers; None if nobody says anything, or the checkpoint reads no text.

        Raises:
            ConfigError: For a word that it does not know.
        """
        if self.words is None or not any(prompts):
            return None
        return torch.from_numpy(self.words.encode_batch(list(prompts), self._config.text_length)).to(self._device)
