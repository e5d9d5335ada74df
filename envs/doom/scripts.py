"""The scripts of a map: doors, switches and gates, and what an edit or a camera asks of the engine by the console.

`puke -N a b c` runs script N in the next tic. Each does its work within that tic, so that a change made in the last
tic of a step costs no time. Whether a door is to be open is kept in the global variable of its tag, which ViZDoom shows
as USER<tag>; a gate's variable says whether it is moving, a switch's whether it is on.
"""

from __future__ import annotations

from typing import Final

from worldsim.envs.doom import layout as plan
from worldsim.envs.doom.kinds import KINDS
from worldsim.envs.doom.layout import HEIGHT, Layout
from worldsim.envs.doom.units import FIXED, UNITS
from worldsim.envs.doom.wad import ENTER, Program, Script

EXECUTE: Final = 80  # the special of a line that runs a script
PLAYER_TID: Final = 30000
_LOWER, _RAISE = 40, 41  # Ceiling_LowerByValue, Ceiling_RaiseByValue: tag, speed in eighths of a unit a tic, units
_REMOVE, _SET_TID = 132, 176
_TOP: Final = round(HEIGHT * UNITS)
_DOOR_STEP: Final = 25  # units a tic: a door is open after three tics
_GATE_STEP: Final = 1  # a gate after 75, about two seconds
_AT_ONCE: Final = 8 * 1000  # speed

# Numbers of the scripts.
POSE, TURN, TILT, MOVE, REMOVE = 1, 2, 3, 4, 5
_SPAWN, _DOOR, _SET_DOOR, _GATE, _STOP, _SWITCH, _SET_SWITCH = 100, 200, 300, 400, 450, 500, 600


def door_script(tag: int) -> int:
    """The script that a hand on the door runs."""
    return _DOOR + tag


def set_door(tag: int) -> int:
    """The script that opens (1) or shuts (0) a door or gate at once."""
    return _SET_DOOR + tag


def gate_script(tag: int) -> int:
    """The script that starts a gate."""
    return _GATE + tag


def stop_gate(tag: int) -> int:
    """The script that stops a gate where it is."""
    return _STOP + tag


def switch_script(index: int) -> int:
    """The script that a hand on the switch runs."""
    return _SWITCH + index


def set_switch(index: int) -> int:
    """The script that sets a switch on (1) or off (0); its door stays as it is."""
    return _SET_SWITCH + index


def spawn_script(kind: str) -> int:
    """The script that makes a thing: x, y in the engine's numbers, id."""
    return _SPAWN + list(KINDS).index(kind)


def line_of(index: int) -> int:
    """The id of the line that bears a switch."""
    return 700 + index


def variable_of(layout: Layout, index: int) -> int:
    """The global variable of a switch; those of the doors come first."""
    return len(layout.doors) + 1 + index


def program(layout: Layout) -> Program:
    """All scripts of a map."""
    out = Program()
    tid = PLAYER_TID
    enter: list[str | int] = ["push", 0, "push", tid, "special2", _SET_TID]
    for variable in range(1, len(layout.doors) + len(layout.switches) + 1):
        enter += ["push", 0, "set", variable]  # these outlive an episode
    pose: list[str | int] = ["push", tid, "arg", 0, "arg", 1, "arg", 2, "push", 0, "actor_position", "drop"]
    out.scripts += [
        Script(number=ENTER + 1, words=enter),
        Script(number=POSE, args=3, words=pose),
        Script(number=TURN, args=1, words=["push", tid, "arg", 0, "actor_angle"]),
        Script(number=TILT, args=1, words=["push", tid, "arg", 0, "actor_pitch"]),
        Script(
            number=MOVE, args=3, words=["arg", 0, "arg", 1, "arg", 2, "push", 0, "push", 0, "actor_position", "drop"]
        ),
        Script(number=REMOVE, args=1, words=["arg", 0, "special1", _REMOVE]),
    ]
    for name, kind in KINDS.items():
        spawn: list[str | int] = [
            "push",
            out.text(kind.actor),
            "arg",
            0,
            "arg",
            1,
            "push",
            0,
            "arg",
            2,
            "push",
            0,
            "spawn",
            "drop",
        ]
        out.scripts.append(Script(number=spawn_script(name), args=3, words=spawn))
    for tag, door in enumerate(layout.doors, 1):
        out.scripts += _door(tag, gate=door.kind == "gate")
        if door.kind == "gate":
            out.scripts += _gate(tag)
    for index, switch in enumerate(layout.switches):
        out.scripts += _switch(out, index, variable_of(layout, index), switch.door)
    return out


def _height(tag: int) -> list[str | int]:
    """Pushes the height of a door's ceiling, in the engine's numbers."""
    return ["push", tag, "push", 0, "push", 0, "ceiling"]


def _move(special: int, tag: int, speed: int, units: int) -> list[str | int]:
    return ["push", tag, "push", speed, "push", units, "special3", special]


def _door(tag: int, *, gate: bool) -> list[Script]:
    """Toggle and go there in steps; set at once, which stops a gate."""
    run: list[str | int] = [
        *("loop:", "get", tag, "unless", "down"),
        *(*_height(tag), "push", _TOP * FIXED, "less", "unless", "end"),
        *(*_move(_RAISE, tag, 8 * _DOOR_STEP, _DOOR_STEP), "delay", 1, "goto", "loop"),
        *("down:", *_height(tag), "push", 0, "greater", "unless", "end"),
        *(*_move(_LOWER, tag, 8 * _DOOR_STEP, _DOOR_STEP), "delay", 1, "goto", "loop"),
        "end:",
    ]
    toggle: list[str | int] = ["get", tag, "not", "set", tag, *run]
    at_once: list[str | int] = [
        *(("push", 0) if gate else ("arg", 0)),
        *("set", tag, "arg", 0, "unless", "down"),
        *_fill(tag, _RAISE),
        *("goto", "end", "down:"),
        *_fill(tag, _LOWER),
        "end:",
    ]
    return [Script(number=door_script(tag), words=toggle), Script(number=set_door(tag), args=1, words=at_once)]


def _fill(tag: int, special: int) -> list[str | int]:
    """Moves a ceiling all the way in one tic."""
    height = [*_height(tag), "push", 16, "shift"]
    units = ["push", _TOP, *height, "subtract"] if special == _RAISE else height
    return ["push", tag, "push", _AT_ONCE, *units, "special3", special]


def _gate(tag: int) -> list[Script]:
    """Goes up by itself while its variable is 1."""
    words: list[str | int] = [
        *("push", 1, "set", tag, "loop:", "get", tag, "unless", "end"),
        *(*_height(tag), "push", _TOP * FIXED, "less", "unless", "top"),
        *(*_move(_RAISE, tag, 8 * _GATE_STEP, _GATE_STEP), "delay", 1, "goto", "loop"),
        *("top:", "push", 0, "set", tag, "end:"),
    ]
    return [
        Script(number=gate_script(tag), words=words),
        Script(number=stop_gate(tag), words=["push", 0, "set", tag]),
    ]


def _switch(out: Program, index: int, variable: int, tag: int) -> list[Script]:
    line: list[str | int] = ["push", line_of(index), "push", 0, "push", 1]  # its front, the middle
    texture: list[str | int] = [
        *("get", variable, "unless", "off"),
        *(*line, "push", out.text(plan.SWITCH_ON), "line_texture", "goto", "end"),
        *("off:", *line, "push", out.text(plan.SWITCH_OFF), "line_texture", "end:"),
    ]
    execute: list[str | int] = ["push", door_script(tag), "push", 0, "special2", EXECUTE]
    toggle: list[str | int] = ["get", variable, "not", "set", variable, *texture, *execute]
    return [
        Script(number=switch_script(index), words=toggle),
        Script(number=set_switch(index), args=1, words=["arg", 0, "set", variable, *texture]),
    ]
