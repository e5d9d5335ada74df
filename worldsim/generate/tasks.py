"""Modes as questions: what is known of each clip, which actions lead through it, and what is put around the answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np

from worldsim import seeding, trees
from worldsim.captions import TIMES
from worldsim.errors import ConfigError, ShapeError
from worldsim.generate.config import GenerateConfig, Mode
from worldsim.generate.given import Given, read_image, read_moving
from worldsim.generate.scripts import filled, load_actions, moves, parse_script
from worldsim.lexicon import PLACES
from worldsim.model.clip_generator import ClipGenerator, Made, Shot
from worldsim.model.engine.director import AHEAD
from worldsim.prompts import expand, expander
from worldsim.registry import ENVS
from worldsim.storyboard import Storyboard, expanded, load, split
from worldsim.storyboard import actions as board_actions
from worldsim.trees import ArrayTree
from worldsim.types import Frames


@dataclass(frozen=True, kw_only=True)
class Task:
    """What the model is asked, for one sample.

    Attributes:
        shot: Of B = 1 clip.
        front, back: Frames that are put before and after those of the shot; None = none.
        hidden: Frames at the end of the shot that are not shown: those with which a loop begins.
        prompt: What the record says of the first frame.
        facts: More for the record.
        search: Whether the actions in the gap are still to be found.
        earlier: What the model made of the frames up to the gap, where they were not given.
    """

    shot: Shot
    front: Frames | None = None
    back: Frames | None = None
    hidden: int = 0
    prompt: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)
    search: bool = False
    earlier: Made | None = None


def make_task(config: GenerateConfig, model: ClipGenerator, sample: int) -> Task:
    """The question of one sample. Raises as `worldsim.generate.generate` does."""
    makers: dict[Mode, Callable[[GenerateConfig, ClipGenerator, int], Task]] = {
        "text": _text,
        "image": _image,
        "extend": _extend,
        "backward": _backward,
        "loop": _loop,
        "join": _join,
        "storyboard": _storyboard,
    }
    return makers[config.mode](config, model, sample)


def closing(config: GenerateConfig, model: ClipGenerator, first: Given, second: Given, prompt: str) -> Task:
    """The gap from the end of one clip to the beginning of another."""
    if first.size != second.size:
        raise ShapeError(
            f"the clips have frames of {first.size[0]}x{first.size[1]} and {second.size[0]}x{second.size[1]}: give two "
            "of one size"
        )
    # The first `AHEAD` are pinned; what is drawn back from the end looks at more of it.
    ends = min(len(second.frames), max(AHEAD, model.window - config.gap))
    known = min(len(first.frames), model.fitting(config.gap, ends))
    start = len(first.frames) - known
    inside = _given_actions(config, model, config.gap + 1)
    led = trees.concatenate(
        [
            _known_actions(config, model, first, start, len(first.frames)),
            filled(inside, config.gap + 1, model.action_space),
            _known_actions(config, model, second, 0, ends),
        ]
    )
    shot = Shot(
        size=first.size,
        actions=_one(led),
        before=first.frames[start:],
        after=second.frames[:ends],
        prompts={0: [prompt]} if prompt else {},
    )
    return Task(
        shot=shot,
        front=first.frames[:start],
        back=second.frames[ends:],
        prompt=prompt,
        search=inside is None,
        facts={"given": [first.source, second.source], "gap": config.gap},
    )


# --------------------------------------------------------------------------------------------------------------- modes


def _text(config: GenerateConfig, model: ClipGenerator, sample: int) -> Task:
    prompt = _prompt(config, model, sample, always=model.reads_text)
    shot = Shot(
        size=config.size or model.info.sizes[0],
        actions=_one(filled(_given_actions(config, model, config.frames - 1), config.frames - 1, model.action_space)),
        prompts={0: [prompt]} if prompt else {},
    )
    return Task(shot=shot, prompt=prompt)


def _image(config: GenerateConfig, model: ClipGenerator, sample: int) -> Task:
    given = read_image(_path(config.image), config.size, model.unit)
    return _on(config, model, given, _prompt(config, model, sample))


def _extend(config: GenerateConfig, model: ClipGenerator, sample: int) -> Task:
    given = read_moving(_path(config.clip), model.action_space, config.size, model.unit)
    return _on(config, model, given, _prompt(config, model, sample))


def _on(config: GenerateConfig, model: ClipGenerator, given: Given, prompt: str) -> Task:
    start = max(0, len(given.frames) - model.window)
    led = trees.concatenate(
        [
            _known_actions(config, model, given, start, len(given.frames)),
            filled(_given_actions(config, model, config.frames), config.frames, model.action_space),
        ]
    )
    shot = Shot(
        size=given.size,
        actions=_one(led),
        before=given.frames[start:],
        prompts={0: [prompt]} if prompt else {},
    )
    return Task(shot=shot, front=given.frames[:start], prompt=prompt, facts={"given": [given.source]})


def _backward(config: GenerateConfig, model: ClipGenerator, sample: int) -> Task:
    given = read_moving(_path(config.clip), model.action_space, config.size, model.unit)
    stop = min(len(given.frames), model.window)
    prompt = _prompt(config, model, sample)
    led = trees.concatenate(
        [
            filled(_given_actions(config, model, config.frames), config.frames, model.action_space),
            _known_actions(config, model, given, 0, stop),
        ]
    )
    shot = Shot(size=given.size, actions=_one(led), after=given.frames[:stop], prompts={0: [prompt]} if prompt else {})
    return Task(shot=shot, back=given.frames[stop:], prompt=prompt, facts={"given": [given.source]})


def _loop(config: GenerateConfig, model: ClipGenerator, sample: int) -> Task:
    if config.clip is not None:
        given = read_moving(config.clip, model.action_space, config.size, model.unit)
        task = closing(config, model, given, given, _prompt(config, model, sample))
        return replace(task, back=None, hidden=_ends(task), facts={"given": [given.source], "gap": config.gap})
    if config.frames <= config.gap:
        raise ConfigError(
            f"a loop of {config.frames} frames has no room for a gap of {config.gap}: ask for more frames"
        )
    begin = replace(config, frames=config.frames - config.gap)
    first = (_image if config.image is not None else _text)(begin, model, sample)
    made = model.make(first.shot, [seeding.hash_seed("loop", config.seed, sample)])
    actions = trees.index(first.shot.actions, 0)
    whole = Given(frames=made.frames[0], actions=actions, since=0, source={})
    task = closing(replace(config, actions=""), model, whole, whole, first.prompt)
    return replace(task, back=None, hidden=_ends(task), facts={**first.facts, "gap": config.gap}, earlier=made)


def _ends(task: Task) -> int:
    return 0 if task.shot.after is None else len(task.shot.after)


def _join(config: GenerateConfig, model: ClipGenerator, sample: int) -> Task:
    first = read_moving(_path(config.clip), model.action_space, config.size, model.unit)
    second = read_moving(_path(config.clip2), model.action_space, config.size, model.unit)
    return closing(config, model, first, second, _prompt(config, model, sample))


def _storyboard(config: GenerateConfig, model: ClipGenerator, sample: int) -> Task:
    board = _board(config, model, sample)
    size = config.size or board.size
    given = None if config.image is None else read_image(config.image, size, model.unit)
    size = given.size if given is not None else size or model.info.sizes[0]
    starts = [0, *accumulate(scene.length(board.fps) for scene in board.scenes)]
    led = _played(config, model, board, size)
    # With a picture the first step makes frame 1; without, it makes frame 0, which no action leads to.
    shift = 0 if given is None else 1
    prompts = {start + shift: [scene.prompt] for start, scene in zip(starts, board.scenes, strict=False)}
    shot = Shot(
        size=size,
        actions=_one(trees.index(led, slice(1 - shift, None))),
        before=None if given is None else given.frames,
        prompts=prompts if given is None else {0: [board.scenes[0].prompt], **prompts},
        cuts=frozenset(s + shift for s, scene in zip(starts, board.scenes, strict=False) if scene.cut and s),
    )
    scenes = [[start + shift, scene.prompt] for start, scene in zip(starts, board.scenes, strict=False)]
    facts: dict[str, Any] = {"storyboard": board.name, "scenes": scenes}
    return Task(
        shot=shot,
        prompt=board.scenes[0].prompt,
        facts=facts | ({} if given is None else {"given": [given.source]}),
    )


# --------------------------------------------------------------------------------------------------------- what is said


def _board(config: GenerateConfig, model: ClipGenerator, sample: int) -> Storyboard:
    fps = model.info.fps
    how: dict[str, Any] = {"seed": seeding.hash_seed("prompt", config.seed, sample), **_setting(model)}
    with_ = None if config.expand == "none" else expander(config.expand)
    if config.storyboard is None:
        return split(config.prompt, fps=fps, name="split from a prompt", with_=with_, **how)
    board = load(config.storyboard)
    if board.fps != fps:
        raise ConfigError(
            f"{config.storyboard.name} counts {board.fps:g} frames a second, {model.info.name} makes {fps:g}: write "
            f"fps: {fps:g}"
        )
    return board if config.expand == "none" else expanded(board, with_=with_, **how)


def _prompt(config: GenerateConfig, model: ClipGenerator, sample: int, *, always: bool = False) -> str:
    """The caption of a sample; with `always` an empty prompt is expanded, too."""
    if config.expand == "none" or not (config.prompt or always):
        return config.prompt
    seed = seeding.hash_seed("prompt", config.seed, sample)
    return expand(config.prompt, seed=seed, with_=expander(config.expand), **_setting(model))


def _setting(model: ClipGenerator) -> dict[str, Any]:
    """What prompts are filled up with: the words of the captions that the checkpoint was trained on.

    A checkpoint that does not say which these are gets no time: `worldsim collect` writes none.
    """
    preset = str(model.info.env_args.get("preset", ""))
    place = preset if preset in PLACES else "arena"
    words = model.info.card.get("words")
    if words is None:
        return {"place": place}
    return {"place": place, "times": TIMES, "words": frozenset(map(str, words))}


# ------------------------------------------------------------------------------------------------------------- actions


def _given_actions(config: GenerateConfig, model: ClipGenerator, steps: int) -> ArrayTree | None:
    """What the user wants to be done; None = nothing was said."""
    if not config.actions.strip():
        return None
    if config.actions.strip().endswith(".npz"):
        found = load_actions(Path(config.actions.strip()), model.action_space)
    else:
        found = parse_script(config.actions, model.action_space)
    return filled(found, steps, model.action_space)


def _known_actions(config: GenerateConfig, model: ClipGenerator, given: Given, start: int, stop: int) -> ArrayTree:
    """The actions between known frames: from the record, else as the model guesses them."""
    known = given.between(start, stop)
    if known is not None:
        return known
    single = moves(model.action_space, seed=config.seed)
    if stop - start < 2:
        return trees.index(single, slice(0, 0))
    return model.guess_actions(given.frames[start:stop], single, seed=config.seed)


def _played(config: GenerateConfig, model: ClipGenerator, board: Storyboard, size: tuple[int, int]) -> ArrayTree:
    """The actions of a storyboard; controllers play in the truth that the checkpoint learnt."""
    if config.actions:
        raise ConfigError("the scenes of a storyboard say what is done: leave out --actions")
    if not any(scene.controller for scene in board.scenes):
        return board_actions(board, model.action_space)
    env = ENVS.get(model.info.env)(**{**model.info.env_args, "size": size})
    try:
        world = seeding.world_seed(config.seed, model.info.env, "storyboard", 0)
        return board_actions(board, model.action_space, truth=env, seed=world)
    finally:
        env.close()


def _one(actions: ArrayTree) -> ArrayTree:
    """Leaves (n, ...) as those of a batch of one."""
    return trees.map_leaves(lambda leaf: np.asarray(leaf)[None], actions)


def _path(path: Path | None) -> Path:
    if path is None:  # `GenerateConfig` has checked it
        raise ConfigError("a file is missing")
    return path
