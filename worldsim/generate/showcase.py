"""One clip of every mode, from worlds that no training has met: what the gallery of a checkpoint shows."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from worldsim import trees
from worldsim.collect import CollectConfig, Player
from worldsim.errors import ConfigError
from worldsim.generate.config import GenerateConfig
from worldsim.generate.making import GeneratedClip, generate
from worldsim.generate.scripts import format_script
from worldsim.media import write_clip
from worldsim.model.clip_generator import ClipGenerator
from worldsim.trees import ArrayTree
from worldsim.types import Frames

CONTEXT = 16  # frames of a starting clip
_TRIES = 64  # worlds that are looked at for one whose walk moves
_MOVES = 0.004  # mean square difference, 0..1, of frames 4 steps apart: that of 24 dB


@dataclass(frozen=True, kw_only=True)
class HeldOut:
    """A walk through a test world.

    Attributes:
        frames: (T + 1, H, W, 3) uint8.
        actions: Leaves (T, ...).
        world: Its seed.
    """

    frames: Frames
    actions: ArrayTree
    world: int


@dataclass(frozen=True, kw_only=True)
class Exhibit:
    """A clip to be shown, and what really happened where that is known."""

    clip: GeneratedClip
    title: str
    truth: Frames | None = None


def held_out(
    env: str, env_args: dict[str, object], size: tuple[int, int], steps: int, *, seed: int, moving_at: int = 8
) -> Iterator[HeldOut]:
    """Walks through test worlds, rendered anew, in which the camera moves after frame `moving_at`; without end.

    Raises:
        ConfigError: If the walks of many worlds in a row do not move there.
    """
    config = CollectConfig(
        env=env, env_args=env_args, scenarios=(), walks=1.0, steps=steps, size=size, seed=seed, split="test"
    )
    still = 0
    with closing(Player()) as player:
        for index in range(1_000_000):
            walk = player.record(config, index, ())
            frames = walk.frames[0]
            last = min(moving_at + 4, steps)
            change = np.square(frames[last].astype(np.float32) - frames[min(moving_at, steps)]).mean() / 255**2
            if int(walk.lengths[0]) < steps or change < _MOVES:
                still += 1
                if still > _TRIES:
                    raise ConfigError(
                        f"no walk of {_TRIES} test worlds of {env} moves: collect with another controller"
                    )
                continue
            still = 0
            yield HeldOut(frames=frames, actions=trees.index(walk.actions, 0), world=int(walk.world_seeds[0]))


def showcase(config: GenerateConfig, model: ClipGenerator, folder: Path) -> Iterator[Exhibit]:
    """Clips of every mode; what they start from is written into `folder`.

    Args:
        config: Frames, gap, seed, guidance and prompt; everything else is chosen here.
        model: What is shown.
        folder: For starting clips.
    """
    folder.mkdir(parents=True, exist_ok=True)
    size, frames, gap = config.size or model.info.sizes[0], config.frames, config.gap
    steps = max(CONTEXT + frames, 2 * CONTEXT + gap)
    walks = held_out(model.info.env, dict(model.info.env_args), size, steps, seed=config.seed)
    plain = replace(config, samples=1, image=None, clip=None, clip2=None, storyboard=None, actions="", prompt="")
    space = model.action_space

    def stretch(walk: HeldOut, start: int, stop: int, name: str) -> Path:
        moves = trees.index(walk.actions, slice(start, stop - 1))
        record = {"source": f"recorded in {model.info.env}, test world {walk.world}", "actions_since": 0}
        record |= {"actions": format_script(moves, space)}
        return write_clip(folder / f"{name}.npz", walk.frames[start:stop], model.info.fps, record)

    def script(walk: HeldOut, start: int, stop: int) -> str:
        return format_script(trees.index(walk.actions, slice(start, stop)), space) or ""

    def one(title: str, truth: Frames | None = None, **changes: object) -> Exhibit:
        clip = generate(replace(plain, **changes), model)[0]  # type: ignore[arg-type]
        return Exhibit(clip=clip, title=title, truth=truth)

    if model.reads_text:
        walk = next(walks)
        prompt = config.prompt or "a red chest close by straight ahead"
        yield one("Walking from nothing but words", mode="text", prompt=prompt, actions=script(walk, 0, frames - 1))
    walk = next(walks)
    image = write_clip(folder / "first.png", walk.frames[:1], model.info.fps, {})
    truth = walk.frames[: frames + 1]
    yield one("From one picture", truth, mode="image", image=image, actions=script(walk, 0, frames))
    walk = next(walks)
    clip = stretch(walk, 0, CONTEXT, "beginning")
    moves = script(walk, CONTEXT - 1, CONTEXT + frames - 1)
    yield one("On from a clip", walk.frames[: CONTEXT + frames], mode="extend", clip=clip, actions=moves)
    walk = next(walks)
    clip = stretch(walk, frames, frames + CONTEXT, "end")
    moves = script(walk, 0, frames)
    yield one("What came before", walk.frames[: frames + CONTEXT], mode="backward", clip=clip, actions=moves)
    walk = next(walks)
    yield one("Back to where it began", mode="loop", clip=stretch(walk, 0, CONTEXT, "open"))
    walk = next(walks)
    first, second = stretch(walk, 0, CONTEXT, "left"), stretch(walk, CONTEXT + gap, 2 * CONTEXT + gap, "right")
    yield one("Between two clips", walk.frames[: 2 * CONTEXT + gap], mode="join", clip=first, clip2=second)
    if model.reads_text:
        prompt = "A red chest ahead for 1 second. Then a blue chest to the left for 1 second; then a green gem ahead"
        yield one("A story in three scenes", mode="storyboard", prompt=prompt)


__all__ = ["CONTEXT", "Exhibit", "HeldOut", "held_out", "showcase"]
