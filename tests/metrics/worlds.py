"""Episodes of the toy hall, and models made of arrays, for the tests of metrics and scoring."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from tests.toys import ToyEnv
from worldsim.seeding import generator
from worldsim.types import Episode, Frames, Rollout, Trajectory

Blur = Callable[[Frames], Frames]


def toy_episode(
    seed: int,
    *,
    context: int = 4,
    horizon: int = 12,
    size: tuple[int, int] = (24, 32),
    scenario: str = "hall",
    fault: Blur | None = None,
    states: bool = True,
) -> Episode:
    """An episode of the hall whose model shows the truth, or `fault` of it after the context."""
    env = ToyEnv(size=size)
    rng = generator("toy-episode", seed)
    steps = max(context, 1) - 1 + horizon
    actions = rng.choice([1, 2, 3, 3], steps)
    frame, _ = env.reset(seed=seed)
    frames, truths = [frame], [env.truth()]
    for action in actions:
        frame = env.step(int(action))[0]
        frames.append(frame)
        truths.append(env.truth())
    env.close()
    video = np.stack(frames)
    truth = Trajectory(frames=video, actions=actions, states=truths if states else None)
    shown = video.copy()
    if fault is not None:
        shown[context:] = fault(video[context:])
    rollout = Rollout(trajectory=Trajectory(frames=shown, actions=actions))
    return Episode(
        id=f"{scenario}-{seed:04d}",
        scenario=scenario,
        world_seed=seed,
        context_length=context,
        truth=truth,
        generated=(rollout,),
    )


def others_of(episodes: Sequence[Episode]) -> Callable[[Episode], Frames]:
    """The truth of the next episode, as the null "other-episode"."""
    index = {e.id: i for i, e in enumerate(episodes)}

    def other(episode: Episode) -> Frames:
        return np.asarray(episodes[(index[episode.id] + 1) % len(episodes)].truth.frames)

    return other


def with_frames(episode: Episode, frames: Frames) -> Episode:
    """The same episode with another prediction."""
    trajectory = replace(episode.generated[0].trajectory, frames=frames)
    return replace(episode, generated=(replace(episode.generated[0], trajectory=trajectory),))
