"""What a clip is asked for: which frames are known, which see which, and how noisy each is. Numpy, by seed.

Modes, drawn for each clip:

- "play": frames see those before them, as in a rollout;
- "ahead": the last few frames are known to all the others, as when two clips are joined or a loop is closed;
- "backward": the clip runs backwards, as when a beginning is put before a clip.

In all of them the first frame has nothing before it: it is drawn from text alone, or from nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, kw_only=True)
class MaskConfig:
    """How clips are asked.

    Attributes:
        ahead: Share of clips whose end is known.
        ahead_frames: Most frames of such an end.
        backward: Share of clips that run backwards.
        clean_history: Share of clips with a nearly clean past and a noisy rest, as at play; in the others each frame
            draws its own level (diffusion forcing, arXiv:2407.01392).
        clean_from: Lowest signal of such a past.
        previous_noise: Largest noise on the latent before.
        shortcut: Share of clips that learn to take larger steps.
    """

    ahead: float = 0.1
    ahead_frames: int = 4
    backward: float = 0.1
    clean_history: float = 0.5
    clean_from: float = 0.8
    previous_noise: float = 0.3
    shortcut: float = 0.25


@dataclass(frozen=True, kw_only=True)
class Masks:
    """The questions to B clips of F frames.

    Attributes:
        visible: (B, F, F) bool, frame i sees frame j.
        known: (B, F) bool, frames that are given and not asked for.
        signal: (B, F) float32 tau.
        level: (B, F) int64, log2 of the sampler's steps.
        has_previous: (B, F) bool.
        previous_noise: (B, F) float32.
        backward: (B,) bool.
        shortcut: How many clips, the first ones, learn a shortcut.
    """

    visible: NDArray[np.bool_]
    known: NDArray[np.bool_]
    signal: NDArray[np.float32]
    level: NDArray[np.int64]
    has_previous: NDArray[np.bool_]
    previous_noise: NDArray[np.float32]
    backward: NDArray[np.bool_]
    shortcut: int


def draw_masks(
    rng: np.random.Generator, batch: int, frames: int, window: int, config: MaskConfig, *, shortcut: bool
) -> Masks:
    """Draws the questions.

    With `shortcut` False no clip learns a shortcut yet. Each then draws the step size that it is told, which does not
    matter for flow matching: so that all of them mean something when shortcuts begin.
    """
    i = np.arange(frames)
    past = (i[None, :] <= i[:, None]) & (i[:, None] - i[None, :] <= window)
    visible = np.broadcast_to(past, (batch, frames, frames)).copy()
    known = np.zeros((batch, frames), bool)
    has_previous = np.broadcast_to(i > 0, (batch, frames)).copy()
    backward = np.zeros(batch, bool)
    signal = rng.random((batch, frames), dtype=np.float32)
    few = round(config.shortcut * batch) if shortcut else 0
    level = np.full((batch, frames), 3, np.int64)
    if not shortcut:
        level[:] = rng.integers(0, 4, size=(batch, 1))
    for b in range(batch):
        if b < few:
            level[b] = rng.integers(0, 3)
            steps = 2 ** level[b]
            signal[b] = np.floor(signal[b] * steps) / steps
        elif rng.random() < config.clean_history:
            start = int(rng.integers(1, frames))
            signal[b, :start] = config.clean_from + (1 - config.clean_from) * signal[b, :start]
        mode = rng.random()
        if mode < config.ahead and frames > 2:
            count = int(rng.integers(1, min(config.ahead_frames, frames - 2) + 1))
            end = frames - count
            known[b, end:] = True
            visible[b, :end, end:] = True
            visible[b, end:, :end] = False
            has_previous[b, end] = False
            signal[b, end:] = config.clean_from + (1 - config.clean_from) * rng.random(count, dtype=np.float32)
            level[b, end:] = 3
        elif mode < config.ahead + config.backward:
            backward[b] = True
    noise = config.previous_noise * rng.random((batch, frames), dtype=np.float32)
    return Masks(
        visible=visible,
        known=known,
        signal=signal,
        level=level,
        has_previous=has_previous,
        previous_noise=np.where(has_previous, noise, 0).astype(np.float32),
        backward=backward,
        shortcut=few,
    )
