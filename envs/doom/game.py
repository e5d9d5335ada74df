"""A world that is played: the engine, led through a history, and which of its things is which of ours."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from worldsim.envs.doom import scripts
from worldsim.envs.doom.camera import tilt
from worldsim.envs.doom.engine import QUANTUM, Engine, Reading
from worldsim.envs.doom.history import Head, History, Row
from worldsim.envs.doom.kinds import KINDS
from worldsim.envs.doom.layout import Layout, generate
from worldsim.envs.doom.udmf import write_map
from worldsim.envs.doom.units import FULL_TURN, angle_of, fixed, to_doom
from worldsim.errors import ConfigError

TICS_PER_STEP: Final = 2
FPS: Final = 17.5  # steps a second
_NEAR: Final = 2.0  # map units within which a new thing is taken for the one that was made


@dataclass(frozen=True, kw_only=True)
class Item:
    """A thing that is or was there: its kind, and where it stood when it was made, (x, z) metres."""

    id: int
    kind: str
    place: tuple[float, float]
    removed: bool = False


@dataclass(frozen=True, kw_only=True)
class View:
    """Another place for the engine's camera: (x, z) metres, yaw in degrees, and its tilt in the engine's quanta."""

    x: float
    z: float
    yaw: float
    tilt: int


class Game:
    """The engine at some moment of a history.

    Attributes:
        layout: Of the world.
        items: Things by id, as far as edits go.
        numbers: The engine's number of a thing -> its id.
        head: Where the camera looks.
        reading: The engine after the last tic.
    """

    def __init__(self, preset: str, seed: int, *, size: tuple[int, int], depth: bool = False) -> None:
        """Starts an engine with the world of a seed; `replay` starts the game."""
        self.preset, self.seed = preset, seed
        self.layout: Layout = generate(preset, seed)
        self._engine = Engine(write_map(self.layout), seed=seed, size=size, depth=depth)
        self.items: dict[int, Item] = {}
        self.numbers: dict[int, int] = {}
        self.head = Head(yaw=self.layout.yaw)
        self.reading: Reading
        self._angle = self._tilt = 0  # of the engine, in its quanta

    def replay(self, history: History, view: View | None = None) -> None:
        """Plays a whole history; at its last tic the camera may be put elsewhere.

        Raises:
            WorldFailure: If the engine stops.
            ConfigError: If a change has no effect, or the camera cannot stand where it is to be.
        """
        self.items = {t.id: Item(id=t.id, kind=t.kind, place=t.place) for t in self.layout.things}
        self.numbers, self.head = {}, Head(yaw=self.layout.yaw)
        last = len(history.rows)
        commands = self._change(history.at(0)) + (self._look(view) if view is not None and not last else [])
        self.reading = self._engine.begin(self.seed, commands)
        self._angle, self._tilt = round(self.reading.angle / QUANTUM), round(self.reading.pitch / QUANTUM)
        self._recognise()
        for step, row in enumerate(history.rows, 1):
            self._step(row, history.at(step), view if step == last else None, draw=step == last)
        if view is not None:
            x, y = to_doom(view.x, view.z)
            if math.hypot(self.reading.eye[0] - x, self.reading.eye[1] - y) > 0.01:
                raise ConfigError(f"the camera cannot stand at x {view.x:.2f}, z {view.z:.2f}: something is in its way")

    def step(self, row: Row) -> None:
        """One step more."""
        self._step(row, [], None, draw=True)

    def close(self) -> None:
        """Ends the engine."""
        self._engine.close()

    # --------------------------------------------------------------------------------------------------- private

    def _step(self, row: Row, changes: Sequence[dict[str, Any]], view: View | None, *, draw: bool) -> None:
        self.head = self.head.turned(row)
        ahead, aside, use, attack = (float(v) for v in row[:4])
        angle, down = round(angle_of(self.head.yaw) / QUANTUM), tilt(self.head.pitch)
        turn, dip = _short(angle - self._angle), down - self._tilt
        self._angle, self._tilt = angle % FULL_TURN, down
        # Angles of the engine grow to the left, its pitch grows downwards, and the keys are the other way round.
        self._engine.tic([ahead, aside, _degrees(-turn), _degrees(-dip), use, attack], draw=False)
        commands = self._change(changes) + (self._look(view) if view is not None else [])
        read = draw or bool(changes)
        self._engine.tic([ahead, aside, 0.0, 0.0, use, attack], commands, draw=read)
        if read:
            self.reading = self._engine.read()
            self._recognise()

    def _change(self, changes: Sequence[dict[str, Any]]) -> list[str]:
        """Notes changes and returns the commands that make them.

        The engine runs the scripts of one tic in the reverse of the order in which they were asked for.
        """
        return [command for change in changes for command in self._commands(change)][::-1]

    def _commands(self, change: dict[str, Any]) -> list[str]:
        do = change["do"]
        if do == "remove":
            self.items[change["id"]] = replace(self.items[change["id"]], removed=True)
            return [f"puke -{scripts.REMOVE} {change['id']}"]
        if do in ("spawn", "move"):
            place = float(change["x"]), float(change["z"])
            x, y = (fixed(v) for v in to_doom(*place))
            if do == "move":
                self.items[change["id"]] = replace(self.items[change["id"]], place=place)
                return [f"puke -{scripts.MOVE} {change['id']} {x} {y}"]
            kind = str(change["kind"])
            self.numbers = {n: i for n, i in self.numbers.items() if i != change["id"]}
            self.items[change["id"]] = Item(id=change["id"], kind=kind, place=place)
            return [f"puke -{scripts.spawn_script(kind)} {x} {y} {change['id']}"]
        if do == "pose":
            head = Head(yaw=float(change["yaw"]), pitch=float(change["pitch"]))
            self.head = head
            return self._place(View(x=float(change["x"]), z=float(change["z"]), yaw=head.yaw, tilt=tilt(head.pitch)))
        script = {
            "door": lambda: f"{scripts.set_door(change['tag'])} {int(change['value'])}",
            "gate": lambda: f"{(scripts.gate_script if change['value'] else scripts.stop_gate)(change['tag'])}",
            "switch": lambda: f"{scripts.set_switch(change['index'])} {int(change['value'])}",
        }[do]()
        return [f"puke -{script}"]

    def _look(self, view: View) -> list[str]:
        """Puts the camera elsewhere, through things if need be: only for a look, the history knows nothing of it."""
        return ["noclip", *self._place(view)]

    def _place(self, view: View) -> list[str]:
        x, y = (fixed(v) for v in to_doom(view.x, view.z))
        self._angle, self._tilt = round(angle_of(view.yaw) / QUANTUM) % FULL_TURN, view.tilt
        return [
            f"puke -{scripts.POSE} {x} {y} 0",
            f"puke -{scripts.TURN} {self._angle}",
            f"puke -{scripts.TILT} {self._tilt}",
        ]

    def _recognise(self) -> None:
        """Finds the numbers of things that were made: by class and place."""
        known = set(self.numbers.values())
        for item in self.items.values():
            if item.id in known or item.removed:
                continue
            x, y = to_doom(*item.place)
            for thing in self.reading.things:
                near = math.hypot(thing.place[0] - x, thing.place[1] - y) < _NEAR
                if near and thing.actor == KINDS[item.kind].actor and thing.number not in self.numbers:
                    self.numbers[thing.number] = item.id
                    break


def _short(quanta: int) -> int:
    """The short way round."""
    return (quanta + FULL_TURN // 2) % FULL_TURN - FULL_TURN // 2


def _degrees(quanta: int) -> float:
    """What makes the engine turn by a number of its quanta: it cuts off what is between them."""
    return math.copysign((abs(quanta) + 0.25) * QUANTUM, quanta) if quanta else 0.0
