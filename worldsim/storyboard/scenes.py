"""What a storyboard is: scenes in order, each with a prompt, a length, and who acts."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any, Final

from worldsim.envs.actions import KEYS
from worldsim.errors import ConfigError, nearest
from worldsim.registry import CONTROLLERS

FPS: Final = 20.0  # frames a second of simulated time where a storyboard does not say it: those of the Blocks world


class FieldError(ConfigError):
    """A field with a wrong value; whoever knows the file and the line adds them."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(f"{field}: {message}")
        self.field = field


@dataclass(frozen=True, kw_only=True)
class Scene:
    """One prompt, for some time.

    Attributes:
        prompt: What is there: loose words, a caption, or "" (the scene before goes on).
        seconds: How long, in simulated time; None if `steps` says it.
        steps: How long; None if `seconds` says it.
        actions: MineRL keys held in each step, 0 or 1; `camera` is (pitch, yaw) in degrees a step. Empty = none.
        controller: Who plays instead: {"name": a registered controller, and its arguments}. Empty = `actions`.
        cut: The scene starts anew instead of going on from the one before.
    """

    prompt: str = ""
    seconds: float | None = None
    steps: int | None = None
    actions: Mapping[str, Any] = field(default_factory=dict)
    controller: Mapping[str, Any] = field(default_factory=dict)
    cut: bool = False

    def __post_init__(self) -> None:
        _require(
            isinstance(self.prompt, str),
            "prompt",
            "must be text (in quotes where YAML reads it as something else)",
            self.prompt,
        )
        _require(isinstance(self.cut, bool), "cut", "must be true or false", self.cut)
        if (self.seconds is None) == (self.steps is None):
            raise FieldError("seconds", f"a scene says either seconds or steps, got {self.seconds} and {self.steps}")
        _require(self.seconds is None or is_positive(self.seconds), "seconds", "must be a number above 0", self.seconds)
        _require(
            self.steps is None or (is_whole(self.steps) and self.steps >= 1),
            "steps",
            "must be a whole number from 1",
            self.steps,
        )
        _check_actions(self.actions)
        _check_controller(self.controller)
        if self.actions and self.controller:
            raise FieldError("controller", "a scene has either actions or a controller, got both")
        held = {key: tuple(map(float, v)) if key == "camera" else int(v) for key, v in self.actions.items()}
        object.__setattr__(self, "actions", held)  # one form, so that equal scenes are equal
        object.__setattr__(self, "seconds", None if self.seconds is None else float(self.seconds))

    def length(self, fps: float = FPS) -> int:
        """Steps, at least 1."""
        return self.steps if self.steps is not None else max(1, round((self.seconds or 0.0) * fps))


@dataclass(frozen=True, kw_only=True)
class Storyboard:
    """Scenes in order.

    Attributes:
        name: For reports and file names.
        scenes: At least one.
        fps: Frames a second of simulated time.
        size: (H, W) to generate, or None: the model's own.
    """

    name: str
    scenes: tuple[Scene, ...]
    fps: float = FPS
    size: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        _require(isinstance(self.name, str) and bool(self.name.strip()), "name", "must be text", self.name)
        _require(bool(self.scenes), "scenes", "must be a list of at least one scene", self.scenes)
        _require(is_positive(self.fps), "fps", "must be a number above 0", self.fps)
        sides = self.size if isinstance(self.size, tuple) else ()
        fine = self.size is None or (len(sides) == 2 and all(is_whole(side) and side >= 1 for side in sides))
        _require(fine, "size", "must be [height, width] in pixels", self.size)
        object.__setattr__(self, "fps", float(self.fps))

    @property
    def starts(self) -> tuple[int, ...]:
        """The first step of each scene."""
        return (0, *accumulate(scene.length(self.fps) for scene in self.scenes[:-1]))

    @property
    def steps(self) -> int:
        """T, steps of all scenes."""
        return sum(scene.length(self.fps) for scene in self.scenes)

    @property
    def cuts(self) -> tuple[int, ...]:
        """The steps at which generation starts anew; the first step is not among them."""
        return tuple(t for t, scene in zip(self.starts, self.scenes, strict=True) if scene.cut and t)


def timeline(storyboard: Storyboard) -> tuple[tuple[int, str], ...]:
    """(step, prompt) of each scene: the prompt in force from that step on, as in `Scenario.prompts`."""
    return tuple(zip(storyboard.starts, (scene.prompt for scene in storyboard.scenes), strict=True))


def is_whole(value: Any) -> bool:
    """Whether it is an int (True is none)."""
    return isinstance(value, int) and not isinstance(value, bool)


def is_number(value: Any) -> bool:
    """Whether it is a finite int or float."""
    return (is_whole(value) or isinstance(value, float)) and math.isfinite(value)


def is_positive(value: Any) -> bool:
    """Whether it is a finite number above 0."""
    return is_number(value) and value > 0


def _check_actions(actions: Any) -> None:
    _require(isinstance(actions, Mapping), "actions", "must be a mapping such as {forward: 1, camera: [0, 5]}", actions)
    for key, value in actions.items():
        known = (*KEYS, "camera")
        if key not in known:
            raise FieldError(
                "actions", f"no key is called {key!r}.{nearest(str(key), known)} Known: {', '.join(known)}"
            )
        if key == "camera":
            fine = isinstance(value, list | tuple) and len(value) == 2 and all(map(is_number, value))
            _require(fine, "actions", "camera must be [pitch, yaw] in degrees a step", value)
        else:
            _require(value in (0, 1) and isinstance(value, int), "actions", f"{key} must be 0 or 1", value)


def _check_controller(controller: Any) -> None:
    _require(isinstance(controller, Mapping), "controller", "must be a mapping such as {name: explore}", controller)
    if controller:
        name = str(controller.get("name", ""))
        if name not in CONTROLLERS and ".py:" not in name:
            known = CONTROLLERS.names()
            raise FieldError(
                "controller", f"no controller is called {name!r}.{nearest(name, known)} Known: {', '.join(known)}"
            )


def _require(fine: bool, field: str, message: str, value: Any) -> None:
    if not fine:
        raise FieldError(field, f"{message}, got {value!r}")
