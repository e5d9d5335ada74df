"""One truth in lockstep: an environment, the controller that acts in it, and what must be kept on the way.

A lane knows nothing of models or files. It turns actions into `TruthFrame`s, keeps snapshots where branches start, and
runs the same actions a second time under other dynamics where the truth's future is open.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from worldsim import seeding, trees
from worldsim.errors import ConfigError, WorldFailure, WorldsimError
from worldsim.protocols import Controller, TruthEnv
from worldsim.recipes import edits_of, resolve_alternative
from worldsim.truth import State, TruthState
from worldsim.types import EndReason, Frames, Mark, Scenario

START = "@start"  # no mark can have this name


@dataclass(frozen=True, kw_only=True)
class PlannedEpisode:
    """One line of a run's plan. `group` numbers the batch it is rolled out in."""

    episode: str
    scenario: str
    index: int
    variant: str
    pair_id: str
    group: int
    world_seed: int
    dynamics_seed: int
    controller_seed: int
    model_seed: int
    label: str = ""  # the alternative that is made the truth, where the scenario balances them


@dataclass(frozen=True, kw_only=True)
class TruthFrame:
    """What one step of the truth gave. `action` led here (None at the reset); `masked`: the truth had ended before."""

    frame: Frames
    state: TruthState
    action: Any = None
    reward: float = 0.0
    rerun: Frames | None = None
    masked: bool = False


@dataclass(kw_only=True)
class TruthLane:
    """The truth side of one episode.

    Attributes:
        env: The truth, reset by `reset`.
        rerun_env: A second copy for the re-run under other dynamics, or None when the future is closed.
        controller: Chooses the actions.
        planned: Seeds and names.
        scenario: Context and branch points.
        keep_start: The snapshot at the end of the context is kept, too, as `START`.
    """

    env: TruthEnv
    rerun_env: TruthEnv | None
    controller: Controller
    planned: PlannedEpisode
    scenario: Scenario
    keep_start: bool = False
    t: int = 0
    ended: int | None = None
    end_reason: EndReason = ""
    last: TruthFrame | None = None
    info: dict[str, Any] = field(default_factory=dict)
    snapshots: dict[str, State] = field(default_factory=dict)
    impossible: str | None = None
    _rerun_on: bool = False

    def reset(self) -> TruthFrame:
        """Starts the world; frame 0."""
        p = self.planned
        frame, self.info = guard("truth", self.env.reset, seed=p.world_seed, options={"dynamics_seed": p.dynamics_seed})
        state = guard("truth", self.env.truth)
        self.t, self.ended, self.end_reason = 0, None, ""
        self.snapshots, self.impossible, self._rerun_on = {}, None, False
        guard(
            "controller",
            self.controller.reset,
            seed=p.controller_seed,
            action_space=self.env.action_space,
            truth=state,
            sham=p.variant == "sham",
        )
        self.last = TruthFrame(frame=np.array(frame), state=state)
        self._fork()
        return self.last

    def choose(self, frame: Frames | None = None) -> Any:
        """The controller's action at the current frame (`frame` replaces the truth's: drive_from generated)."""
        last = self._last()
        seen = last.frame if frame is None else frame
        action = guard("controller", self.controller.act, seen, last.state, self.t)
        self._keep_snapshots()
        return action

    def step(self, action: Any) -> TruthFrame:
        """Plays `action`. After the truth ended, its last frame is repeated, masked."""
        last = self._last()
        if self.ended is not None:
            self.last = TruthFrame(frame=last.frame, state=last.state, action=action, rerun=last.rerun, masked=True)
            self.t += 1
            return self.last
        frame, reward, terminated, truncated, _ = guard("truth", self.env.step, action)
        state = guard("truth", self.env.truth)
        rerun: Frames | None = None
        if self._rerun_on and self.rerun_env is not None:
            rerun = guard("truth", self.rerun_env.step, action)[0]
        if terminated or truncated:
            self.ended, self.end_reason = self.t, "terminated" if terminated else "truncated"
        self.last = TruthFrame(frame=np.array(frame), state=state, action=action, reward=float(reward), rerun=rerun)
        self.t += 1
        self._fork()
        return self.last

    def finish(self) -> None:
        """Lets the controller name marks of the last frame, and keeps the snapshots that fall on it."""
        if self.ended is None and self.aborted is None:
            last = self._last()
            guard("controller", self.controller.act, last.frame, last.state, self.t)
            self._keep_snapshots()

    @property
    def marks(self) -> tuple[Mark, ...]:
        """The controller's marks so far."""
        return tuple(self.controller.marks)

    @property
    def aborted(self) -> str | None:
        """Why the question cannot be put to this world, or None."""
        return self.controller.aborted or self.impossible

    @property
    def focus(self) -> Mapping[str, Any]:
        """What branch recipes may refer to."""
        return dict(self.controller.focus)

    def snapshot(self) -> State | None:
        """The truth's state now, or None when it has no snapshots."""
        return guard("truth", self.env.snapshot) if self.env.abilities.snapshot else None

    def _last(self) -> TruthFrame:
        if self.last is None:
            raise RuntimeError("a lane is reset before it is stepped")
        return self.last

    def _fork(self) -> None:
        """At the last frame of the context the re-run starts, with other dynamics."""
        if self.rerun_env is None or self._rerun_on or self.t != max(self.scenario.context - 1, 0):
            return
        seed = seeding.hash_seed("rerun", self.planned.dynamics_seed)
        guard("truth", self.rerun_env.restore, self.env.snapshot(), seed)
        self._rerun_on = True

    def _keep_snapshots(self) -> None:
        wanted = self.scenario.kept_marks
        if not self.env.abilities.snapshot:
            return
        if self.keep_start and self.t == max(self.scenario.context - 1, 0):
            self.snapshots[START] = trees.copy(self.env.snapshot())
        for mark in self.controller.marks:
            if mark.name in wanted and mark.frame == self.t and mark.name not in self.snapshots:
                self.snapshots[mark.name] = trees.copy(self.env.snapshot())
                self._balance(mark.name)

    def _balance(self, mark: str) -> None:
        """Makes the planned alternative the truth from this frame on; all of them start from the snapshot before it."""
        point = self.scenario.balanced
        if point is None or point.at != mark or not self.planned.label:
            return
        try:
            # The others must be possible, too: else the label would say in which worlds it can be asked at all.
            made = {
                name: resolve_alternative(recipe, self.focus, self._last().state)
                for name, recipe in point.alternatives.items()
            }
            if made[self.planned.label].later:
                raise ConfigError("an alternative with 'then' cannot be made the truth")
            for edit in edits_of(made[self.planned.label]):
                self.env.edit(edit)
        except WorldsimError as error:
            self.impossible = f"the truth cannot be made {self.planned.label!r} here: {error}"


def guard(who: str, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Calls foreign code; what it raises becomes a WorldFailure that says who raised, recorded with the episode."""
    try:
        return function(*args, **kwargs)
    except WorldsimError:
        raise
    except Exception as error:
        name = getattr(function, "__qualname__", repr(function))
        raise WorldFailure(f"{who} raised in {name}: {type(error).__name__}: {error}") from error


def check_truth_frame(frame: Any, size: tuple[int, int], episode: str) -> None:
    """Raises WorldFailure unless a truth's frame is (H, W, 3) uint8 of the run's size."""
    array = np.asarray(frame)
    if array.shape != (*size, 3) or array.dtype != np.uint8:
        raise WorldFailure(
            f"episode {episode}: the truth must give ({size[0]}, {size[1]}, 3) uint8 frames, got {array.shape} "
            f"{array.dtype.name}. An environment may not change its frame's size or type during an episode."
        )
