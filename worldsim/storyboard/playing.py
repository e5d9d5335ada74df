"""From a storyboard to the actions of each step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from worldsim import seeding, trees
from worldsim.envs.controllers.keyboard import Keyboard
from worldsim.errors import ConfigError, WorldsimError
from worldsim.protocols import Controller, TruthEnv
from worldsim.registry import CONTROLLERS
from worldsim.storyboard.scenes import Scene, Storyboard
from worldsim.trees import ArrayTree


def actions(storyboard: Storyboard, action_space: Any, *, truth: TruthEnv | None = None, seed: int = 0) -> ArrayTree:
    """The actions of all steps.

    Args:
        storyboard: T steps.
        action_space: Any Gymnasium space that MineRL's keys can be mapped to.
        truth: Where controllers play, for they look at the true state: it is reset to the world `seed` and stepped
            through the whole storyboard. Not needed, and left alone, if no scene has a controller.
        seed: Of the world and the controllers.

    Returns:
        Tree with leaves (T, ...) in the structure of the space.

    Raises:
        ConfigError: If the space cannot express a scene's keys, a controller cannot play, or `truth` is missing; with
            the number of the scene.
    """
    if any(scene.controller for scene in storyboard.scenes):
        return _played(storyboard, action_space, truth, seed)
    keyboard = Keyboard(action_space)
    held = []
    for k, scene in enumerate(storyboard.scenes):
        action, count = _press(keyboard, scene, k), scene.length(storyboard.fps)
        held.append(trees.map_leaves(lambda leaf, n=count: np.repeat(np.asarray(leaf)[None], n, axis=0), action))
    return trees.concatenate(held)


def _press(keyboard: Keyboard, scene: Scene, k: int) -> Any:
    try:
        return keyboard(scene.actions)
    except WorldsimError as error:
        raise ConfigError(f"scene {k + 1}: actions: {error}") from error


def _played(storyboard: Storyboard, action_space: Any, truth: TruthEnv | None, seed: int) -> ArrayTree:
    """Every step is played in the truth, so that each controller finds the world as the scenes before left it."""
    first = next(k for k, scene in enumerate(storyboard.scenes) if scene.controller)
    if truth is None:
        raise ConfigError(
            f"scene {first + 1} is played by the controller {storyboard.scenes[first].controller['name']!r}, which "
            "looks at a true world: give `truth`, an environment, or hold keys with `actions`"
        )
    if truth.action_space != action_space:
        raise ConfigError(f"controllers play with the actions of the truth, {truth.action_space}, got {action_space}")
    keyboard = Keyboard(action_space)
    frame, _ = truth.reset(seed=seed)
    state = truth.truth()
    out: list[Any] = []
    ended = False
    for k, scene in enumerate(storyboard.scenes):
        count = scene.length(storyboard.fps)
        controller = _controller(scene, count, k) if scene.controller else None
        held = _press(keyboard, scene, k)
        if controller is not None:
            start = seeding.hash_seed("storyboard", seed, k)
            controller.reset(seed=start, action_space=action_space, truth=state)
        for t in range(count):
            if ended:
                raise ConfigError(f"scene {k + 1}: the world ended after {len(out)} steps; shorten the storyboard")
            out.append(trees.copy(held) if controller is None else controller.act(frame, state, t))
            if controller is not None and controller.aborted is not None:
                raise ConfigError(
                    f"scene {k + 1}: the controller {scene.controller['name']!r} cannot go on: {controller.aborted}; "
                    "choose another seed, controller or length"
                )
            frame, _, terminated, truncated, _ = truth.step(out[-1])
            state, ended = truth.truth(), terminated or truncated
    return trees.stack(out)


def _controller(scene: Scene, count: int, k: int) -> Controller:
    arguments: Mapping[str, Any] = {key: value for key, value in scene.controller.items() if key != "name"}
    name = str(scene.controller["name"])
    if name == "script":  # it is told how long the scene is, so that it says so if it does not fit
        arguments = {"context": 0, "horizon": count, **arguments}
    try:
        controller: Controller = CONTROLLERS.get(name)(**arguments)
    except (TypeError, WorldsimError) as error:
        raise ConfigError(f"scene {k + 1}: the controller {name!r} with {dict(arguments)!r}: {error}") from error
    return controller
