"""Scripted probes as a controller: one canonical intent in degrees, metres and steps, closed-loop on the true state."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from worldsim import seeding
from worldsim.envs.controllers import deeds, probes
from worldsim.envs.controllers.keyboard import Keyboard
from worldsim.envs.controllers.scene import Aborted, Press, Scene
from worldsim.errors import ConfigError, UnknownNameError, nearest
from worldsim.truth import TruthState
from worldsim.types import Frames, Mark

#: Name -> generator function (scene, **options). Your own joins by `PROBES["name"] = function`.
PROBES: dict[str, Callable[..., Iterator[Press]]] = {
    probe.__name__: probe
    for probe in (
        probes.look_away_return,
        probes.watch,
        probes.full_turn,
        probes.a_b_a,
        probes.a_b_c_a,
        probes.orbit,
        probes.strafe_back,
        probes.dolly,
        probes.occlude_reveal,
        probes.noop_hold,
        deeds.place_leave_return,
        deeds.break_leave_return,
        deeds.use_leave_return,
        deeds.pick_up_put_down,
        deeds.evolve_unseen,
        deeds.process_unseen,
        deeds.reveal,
        deeds.counterfactual,
    )
}


class Script:
    """Carries out one probe; when it is over, or cannot go on, does nothing.

    Every choice is made from the truth's state and the seed, never from a frame: all models get the same actions.
    """

    def __init__(
        self,
        probe: str,
        *,
        context: int = 8,
        horizon: int | None = None,
        min_px: int = 24,
        **options: Any,
    ) -> None:
        """Compiles the probe.

        Args:
            probe: A name in `PROBES`.
            context: C, the frames before prediction; the survey ends with them. Scenario files fill it in.
            horizon: Predicted frames; a probe that does not fit is aborted with that reason. Scenario files fill it in.
            min_px: Pixels from which an instance counts as visible.
            options: Of the probe: angles in degrees, distances in metres, times in steps.

        Raises:
            UnknownNameError: If there is no such probe.
            ConfigError: If it has no such option.
        """
        if probe not in PROBES:
            raise UnknownNameError(f"no probe is called {probe!r}.{nearest(probe, PROBES)} Known: {', '.join(PROBES)}")
        known = [name for name in inspect.signature(PROBES[probe]).parameters if name != "scene"]
        for name in options:
            if name not in known:
                raise ConfigError(
                    f"the probe {probe!r} has no option {name!r}.{nearest(name, known)} It has {', '.join(known)}"
                )
        self.probe, self.options = probe, options
        self._context, self._horizon, self._min_px = context, horizon, min_px
        self._scene: Scene | None = None
        self._motion: Iterator[Press] = iter(())
        self._aborted: str | None = None
        self._finished = False

    def reset(self, *, seed: int, action_space: Any, truth: TruthState, sham: bool = False) -> None:
        """Starts a new episode."""
        self._scene = Scene(
            truth=truth,
            keyboard=Keyboard(action_space),
            context=self._context,
            horizon=self._horizon,
            rng=seeding.generator("probe", self.probe, seed),
            sham=sham,
            min_px=self._min_px,
        )
        self._motion = PROBES[self.probe](self._scene, **self.options)
        self._aborted, self._finished = None, False

    def act(self, frame: Frames, truth: TruthState, t: int) -> Any:
        """The action after frame t; `frame` is not looked at."""
        scene = self._require_scene()
        scene.renew(truth, t)
        press = Press()
        if not self._finished and self._aborted is None:
            try:
                press = next(self._motion)
            except StopIteration:
                self._finished = True
            except Aborted as reason:
                self._aborted = str(reason)
            if not self._finished and self._aborted is None and scene.steps_left <= 0:
                self._aborted = f"the probe needs more than {self._horizon} steps in this world"
        return scene.keyboard({} if press.acting and scene.sham else press.keys)

    @property
    def marks(self) -> tuple[Mark, ...]:
        """The named moments so far."""
        return tuple(self._scene.marks) if self._scene is not None else ()

    @property
    def focus(self) -> Mapping[str, Any]:
        """What the probe is about: `object_id`, `cell`, `neighbour`, `block`, `moved_to`, `actions`, ..."""
        return dict(self._scene.focus) if self._scene is not None else {}

    @property
    def aborted(self) -> str | None:
        """Why the probe cannot be carried out in this world, or None."""
        return self._aborted

    @property
    def finished(self) -> bool:
        """Whether the probe is over."""
        return self._finished

    def _require_scene(self) -> Scene:
        if self._scene is None:
            raise ConfigError("a controller is reset before it acts: call reset(seed=..., action_space=..., truth=...)")
        return self._scene
