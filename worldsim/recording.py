"""Recorded episodes as arrays: what a model is trained on, and the clips that are cut from them.

Frame t is what was seen before action t, so T actions lie between T + 1 frames, as in a `Trajectory`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from worldsim import trees
from worldsim.errors import ShapeError
from worldsim.trees import ArrayTree
from worldsim.types import Frames


@dataclass(frozen=True, kw_only=True)
class Recording:
    """Episodes of one length, ready to train on.

    Attributes:
        frames: (E, T+1, H, W, 3) uint8; `frames[e, t]` is what was seen before `actions[e, t]`.
        actions: Tree with leaves (E, T, ...).
        rewards: (E, T) float32.
        terminated: (E, T) bool: the step ended the episode.
        lengths: (E,) int32, valid steps, 0..T; what follows is padding.
        world_seeds: (E,) int64; -1 = no world of which a seed is known.
        captions: (E, T+1) int32 into `caption_table`: what is true at each frame.
        caption_table: The texts; entry 0 is "".
    """

    frames: Frames
    actions: ArrayTree
    rewards: NDArray[np.float32]
    terminated: NDArray[np.bool_]
    lengths: NDArray[np.int32]
    world_seeds: NDArray[np.int64]
    captions: NDArray[np.int32]
    caption_table: tuple[str, ...] = ("",)

    def __post_init__(self) -> None:
        if self.frames.dtype != np.uint8 or self.frames.ndim != 5 or self.frames.shape[-1] != 3:
            raise ShapeError(
                f"Recording.frames must be (E, T+1, H, W, 3) uint8, got {self.frames.shape} {self.frames.dtype.name}"
            )
        e, t = self.frames.shape[0], self.frames.shape[1] - 1
        if t < 0:
            raise ShapeError(f"Recording.frames must hold T+1 >= 1 frames an episode, got {self.frames.shape}")
        for name, leaf in trees.flatten(self.actions).items():
            where = "actions" if name == "." else f"actions/{name}"
            if np.shape(leaf)[:2] != (e, t):
                raise ShapeError(f"Recording.{where} must start with (E, T) = {(e, t)}, got {np.shape(leaf)}")
        for name, shape, words in (
            ("rewards", (e, t), "(E, T)"),
            ("terminated", (e, t), "(E, T)"),
            ("lengths", (e,), "(E,)"),
            ("world_seeds", (e,), "(E,)"),
            ("captions", (e, t + 1), "(E, T+1)"),
        ):
            if np.shape(getattr(self, name)) != shape:
                raise ShapeError(f"Recording.{name} must be {words} = {shape}, got {np.shape(getattr(self, name))}")
        _within("lengths", self.lengths, t)
        if self.caption_table[:1] != ("",):
            raise ShapeError(f'Recording.caption_table must begin with "", got {self.caption_table[:2]}')
        _within("captions", self.captions, len(self.caption_table) - 1)

    def __len__(self) -> int:
        """E, the number of episodes."""
        return int(self.frames.shape[0])

    @property
    def steps(self) -> int:
        """T, steps of each episode, padding included."""
        return int(self.frames.shape[1]) - 1

    def clip(self, episodes: ArrayLike, starts: ArrayLike, steps: int) -> Recording:
        """Cuts clips: clip i is episode `episodes[i]` from frame `starts[i]` on.

        Args:
            episodes: (B,) int, 0..E-1; an episode may come again.
            starts: (B,) int, the first frame of each clip.
            steps: Of every clip; 0 gives single frames.

        Returns:
            B episodes of `steps` steps without padding. The caption table holds the texts that are used, and "".

        Raises:
            ShapeError: If a clip would leave its episode, padding not counted.
        """
        e, s = np.asarray(episodes), np.asarray(starts)
        if e.ndim != 1 or e.shape != s.shape or e.dtype.kind not in "iu" or s.dtype.kind not in "iu" or steps < 0:
            raise ShapeError(
                "clip takes integers (B,) and (B,), and steps >= 0; "
                f"got {e.shape} {e.dtype}, {s.shape} {s.dtype}, {steps}"
            )
        if e.size and not (e.min() >= 0 and e.max() < len(self)):
            raise ShapeError(f"episodes must be in 0..{len(self) - 1}, got {e.min()}..{e.max()}")
        outside = np.flatnonzero((s < 0) | (s + steps > self.lengths[e]))
        if outside.size:
            i = int(outside[0])
            raise ShapeError(
                f"a clip of {steps} steps from frame {s[i]} on leaves episode {e[i]}, "
                f"which has {self.lengths[e[i]]} steps"
            )
        seen = e[:, None], s[:, None] + np.arange(steps + 1)
        done = e[:, None], s[:, None] + np.arange(steps)
        captions = self.captions[seen]
        used = np.union1d([0], captions)
        return Recording(
            frames=self.frames[seen],
            actions=trees.index(self.actions, done),
            rewards=self.rewards[done],
            terminated=self.terminated[done],
            lengths=np.full(len(e), steps, np.int32),
            world_seeds=self.world_seeds[e],
            captions=np.searchsorted(used, captions).astype(np.int32),
            caption_table=tuple(self.caption_table[i] for i in used),
        )


def join(recordings: Sequence[Recording]) -> Recording:
    """Several recordings as one, in order; equal captions are written once.

    Raises:
        ShapeError: If there are none, or they differ in their steps, frame size or actions.
    """
    if not recordings:
        raise ShapeError("cannot join no recordings: expected at least one")
    if len(shapes := {r.frames.shape[1:] for r in recordings}) > 1:
        raise ShapeError(f"recordings that are joined must have one (T+1, H, W, 3), got {sorted(shapes)}")
    table: dict[str, int] = {"": 0}
    captions = []
    for r in recordings:
        index = np.array([table.setdefault(text, len(table)) for text in r.caption_table], np.int32)
        captions.append(index[r.captions])
    return Recording(
        frames=np.concatenate([r.frames for r in recordings]),
        actions=trees.concatenate([r.actions for r in recordings]),
        rewards=np.concatenate([r.rewards for r in recordings]),
        terminated=np.concatenate([r.terminated for r in recordings]),
        lengths=np.concatenate([r.lengths for r in recordings]),
        world_seeds=np.concatenate([r.world_seeds for r in recordings]),
        captions=np.concatenate(captions),
        caption_table=tuple(table),
    )


def _within(name: str, values: NDArray[np.int32], high: int) -> None:
    if values.size and not (values.min() >= 0 and values.max() <= high):
        raise ShapeError(f"Recording.{name} must be in 0..{high}, got {values.min()}..{values.max()}")
