"""Single episodes without padding: what lies between our shards and everybody else's files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from worldsim import trees
from worldsim.errors import ShapeError
from worldsim.recording import Recording
from worldsim.trees import ArrayTree
from worldsim.types import Frames


@dataclass(frozen=True, kw_only=True)
class Episode:
    """n steps of play, n >= 1.

    Attributes:
        frames: (n+1, H, W, 3) uint8 RGB; frame t was seen before action t.
        actions: Tree with leaves (n, ...).
        rewards: (n,) float32.
        terminated: Whether the last step ended the episode in its world.
        captions: n + 1 texts; "" = none.
        world_seed: -1 = no world of which a seed is known.
    """

    frames: Frames
    actions: ArrayTree
    rewards: NDArray[np.float32]
    terminated: bool = False
    captions: tuple[str, ...]
    world_seed: int = -1

    def __post_init__(self) -> None:
        n = len(self.frames) - 1
        sizes = {"rewards": len(self.rewards), **{k: len(v) for k, v in trees.flatten(self.actions).items()}}
        if n < 1 or len(self.captions) != n + 1 or any(size != n for size in sizes.values()):
            raise ShapeError(
                f"an episode of {n + 1} frames needs {n} >= 1 actions and rewards and {n + 1} captions, got {sizes} "
                f"and {len(self.captions)} captions"
            )

    def __len__(self) -> int:
        """n, the steps."""
        return len(self.rewards)


def split(recording: Recording) -> Iterator[Episode]:
    """The episodes of a recording, without their padding; views, not copies."""
    table = recording.caption_table
    for e, n in enumerate(recording.lengths.tolist()):
        yield Episode(
            frames=recording.frames[e, : n + 1],
            actions=trees.index(recording.actions, (e, slice(0, n))),
            rewards=recording.rewards[e, :n],
            terminated=bool(recording.terminated[e, n - 1]),
            captions=tuple(table[i] for i in recording.captions[e, : n + 1].tolist()),
            world_seed=int(recording.world_seeds[e]),
        )


def pack(episodes: Sequence[Episode], steps: int) -> Recording:
    """Episodes as one recording of T = `steps`, padded as `worldsim collect` does it.

    What follows the last frame repeats it, its caption and the last action; rewards are 0 and nothing terminates. The
    caption table holds the texts in the order in which they come up, so that split and pack give the same bytes.
    """
    if not episodes:
        raise ShapeError("cannot pack no episodes: expected at least one")
    if len(shapes := {e.frames.shape[1:] for e in episodes}) > 1:
        raise ShapeError(f"episodes of one dataset must have frames of one size, got {sorted(shapes)}")
    if (longest := max(map(len, episodes))) > steps:
        raise ShapeError(f"an episode of {longest} steps does not fit into {steps}")
    count = len(episodes)
    frames = np.empty((count, steps + 1, *episodes[0].frames.shape[1:]), np.uint8)
    rewards, terminated = np.zeros((count, steps), np.float32), np.zeros((count, steps), np.bool_)
    captions = np.empty((count, steps + 1), np.int32)
    table: dict[str, int] = {"": 0}
    for i, episode in enumerate(episodes):
        n = len(episode)
        frames[i, : n + 1], frames[i, n + 1 :] = episode.frames, episode.frames[-1]
        rewards[i, :n] = episode.rewards
        terminated[i, n - 1] = episode.terminated
        captions[i, : n + 1] = [table.setdefault(text, len(table)) for text in episode.captions]
        captions[i, n + 1 :] = captions[i, n]
    return Recording(
        frames=frames,
        actions=trees.stack([trees.map_leaves(lambda x: _pad(x, steps), episode.actions) for episode in episodes]),
        rewards=rewards,
        terminated=terminated,
        lengths=np.array([len(e) for e in episodes], np.int32),
        world_seeds=np.array([e.world_seed for e in episodes], np.int64),
        captions=captions,
        caption_table=tuple(table),
    )


def _pad(leaf: NDArray[np.generic], steps: int) -> NDArray[np.generic]:
    values = np.asarray(leaf)
    return np.concatenate([values, np.repeat(values[-1:], steps - len(values), axis=0)])
