"""Hand-made episodes about events: a textured wall with a thing on it, looked away from, and rendered alternatives."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import cv2
import numpy as np

from worldsim.truth import Intervention, TruthState
from worldsim.types import Branch, Episode, Frames, Mark, Rollout, Trajectory

SIDE, MARGIN = 64, 8
CONTEXT, LENGTH = 4, 12  # frames; 0..3 are the context
DEPARTURE, HIDDEN, RETURN = 4, 6, 9  # frames 9, 10 and 11 are judged
STEPS = (9, 10, 11)
FACTS = ("present", "absent", "moved", "altered")
#: Shown frames of an episode: (truth's frames, alternatives by name, away) -> frames.
Show = Callable[[Frames, Mapping[str, Frames], Frames], Frames]


def wall(seed: int, side: int = SIDE + 2 * MARGIN) -> Frames:
    """A textured wall whose values stay in 60..190."""
    rng = np.random.default_rng(seed)
    coarse = rng.uniform(60, 190, (side // 4, side // 4, 3)).astype(np.float32)
    return np.asarray(cv2.resize(coarse, (side, side), interpolation=cv2.INTER_CUBIC).clip(60, 190), np.uint8)


def seen(scene: Frames, dx: int = 0) -> Frames:
    """What a camera sees whose picture lies dx px to the right."""
    x = MARGIN - dx
    return np.ascontiguousarray(scene[..., MARGIN : MARGIN + SIDE, x : x + SIDE, :])


def patch(scene: Frames, x: int, colour: tuple[int, int, int], y: int = 34, size: int = 10) -> Frames:
    """A patterned square thing at a place of the wall."""
    out = scene.copy()
    out[y : y + size, x : x + size] = colour
    out[y + 3 : y + 5, x + 3 : x + 7] = 150
    return out


RED, BLUE, GREEN, YELLOW = (200, 50, 60), (60, 70, 200), (50, 190, 60), (210, 200, 40)


def facts(seed: int) -> dict[str, Frames]:
    """The wide scene under each of `FACTS`."""
    plain = wall(seed)
    return {
        "present": patch(plain, 24, RED),
        "absent": plain,
        "moved": patch(plain, 46, RED),
        "altered": patch(plain, 24, BLUE),
    }


def colours(seed: int) -> dict[str, Frames]:
    """The wide scene with a thing of each colour."""
    plain = wall(seed)
    pairs = (("red", RED), ("blue", BLUE), ("green", GREEN), ("yellow", YELLOW))
    return {name: patch(plain, 30, colour) for name, colour in pairs}


def deeds(seed: int) -> dict[str, Frames]:
    """The wide scene with a block, without, with one beside it, and with another kind."""
    plain = wall(seed)
    return {
        "edited": patch(plain, 24, RED),
        "not_edited": plain,
        "neighbour": patch(plain, 36, RED),
        "wrong_kind": patch(plain, 24, GREEN),
    }


def true(frames: Frames, alternatives: Mapping[str, Frames], away: Frames) -> Frames:
    """The oracle."""
    return frames


def frozen(frames: Frames, alternatives: Mapping[str, Frames], away: Frames) -> Frames:
    """The last frame of the context, for ever."""
    return np.concatenate([frames[:CONTEXT], np.repeat(frames[CONTEXT - 1 : CONTEXT], LENGTH - CONTEXT, 0)])


def always(name: str) -> Show:
    """Looks away as the truth does, and comes back to one and the same alternative."""

    def shown(frames: Frames, alternatives: Mapping[str, Frames], away: Frames) -> Frames:
        out = frames.copy()
        out[RETURN:] = alternatives[name]
        return out

    return shown


def coming_back_to(picture: Callable[[Frames], Frames]) -> Show:
    """The truth, but for the judged frames, which are what `picture` makes of the true one."""

    def shown(frames: Frames, alternatives: Mapping[str, Frames], away: Frames) -> Frames:
        out = frames.copy()
        for t in STEPS:
            out[t] = picture(frames[t])
        return out

    return shown


def branch(
    name: str, event: str, frames: Frames, steps: Sequence[int] = STEPS, lattice: Frames | None = None
) -> Branch:
    """One alternative; `frames` is (n, H, W, 3), or (H, W, 3) that is shown at each step."""
    drawn = frames if frames.ndim == 4 else np.repeat(frames[None], len(steps), 0)
    return Branch(
        name=name,
        event=event,
        intervention=Intervention(description=name),
        at=2,
        steps=np.array(steps, np.int64),
        frames=drawn,
        lattice=lattice,
    )


def episode(
    world: int,
    label: str,
    *,
    event: str = "identity",
    scenes: Callable[[int], dict[str, Frames]] = facts,
    show: Show = true,
    hidden: bool = True,
    variant: str = "main",
    pair: str = "",
    ended: int | None = None,
    states: Sequence[TruthState] | None = None,
) -> Episode:
    """An episode in which `label` is the truth, with all of `scenes` as alternatives."""
    alternatives = {name: seen(scene) for name, scene in scenes(world).items()}
    away = seen(wall(10_000 + world))
    frames = np.repeat(alternatives[label][None], LENGTH, 0)
    if hidden:
        frames[HIDDEN:RETURN] = away
    actions = np.zeros(LENGTH - 1, np.int64)
    shown = np.asarray(show(frames, alternatives, away))
    marks = [Mark(name="changed", frame=2), Mark(name="departure", frame=DEPARTURE), Mark(name="return", frame=RETURN)]
    name = pair or f"{event}-{world:04d}"
    return Episode(
        id=name if variant == "main" else f"{name}-{variant}",
        scenario=event,
        world_seed=world,
        context_length=CONTEXT,
        truth=Trajectory(frames=frames, actions=actions, states=states),
        generated=(Rollout(trajectory=Trajectory(frames=shown, actions=actions, ended=ended)),),
        branches=tuple(branch(name, event, picture) for name, picture in alternatives.items()),
        marks=tuple([*marks, Mark(name="hidden", frame=HIDDEN)] if hidden else marks),
        pair_id=name,
        variant=variant,
        label=label,
    )


def with_frames(e: Episode, frames: Frames) -> Episode:
    """The same episode with another prediction."""
    trajectory = replace(e.generated[0].trajectory, frames=frames)
    return replace(e, generated=(replace(e.generated[0], trajectory=trajectory),))
