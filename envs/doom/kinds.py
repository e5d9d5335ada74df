"""What can stand in a Doom world: props drawn by our own code, in six colours, and things of the game itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from worldsim.envs.doom.units import UNITS
from worldsim.envs.doom.wad import picture
from worldsim.errors import ConfigError, nearest

COLOURS: Final[Mapping[str, tuple[int, int, int]]] = {
    "red": (214, 42, 36),
    "yellow": (236, 206, 46),
    "green": (52, 178, 62),
    "blue": (46, 84, 222),
    "purple": (158, 62, 198),
    "white": (232, 232, 226),
}
SHAPES: Final = ("barrel", "column", "chest")
_FRAME: Final = "ABCDEF"  # of a sprite: one a colour
_SPRITE: Final = {"barrel": "WSBA", "column": "WSCO", "chest": "WSCH"}
_BOX: Final = {"barrel": (20, 27), "column": (16, 46), "chest": (24, 19)}  # width, height of the sprite in map units


@dataclass(frozen=True, kw_only=True)
class Kind:
    """A class of things.

    Attributes:
        name: As in `ObjectState.kind`: "red_barrel", "clip", ...
        actor: The engine's class.
        size: (width, height) of its picture in metres.
        solid: The body cannot walk through it.
        colour: One of `COLOURS`, or "".
        pickup: It vanishes where the player walks.
        living: It can be shot; then it is a corpse.
    """

    name: str
    actor: str
    size: tuple[float, float]
    solid: bool = False
    colour: str = ""
    pickup: bool = False
    living: bool = False


def _props() -> dict[str, Kind]:
    return {
        f"{colour}_{shape}": Kind(
            name=f"{colour}_{shape}",
            actor=f"Ws{colour.title()}{shape.title()}",
            size=(_BOX[shape][0] / UNITS, _BOX[shape][1] / UNITS),
            solid=True,
            colour=colour,
        )
        for shape in SHAPES
        for colour in COLOURS
    }


def _game() -> dict[str, Kind]:
    """Things of Freedoom whose picture stands still: an animated one would make every moment another."""
    rows = (
        Kind(name="clip", actor="WsClip", size=(0.36, 0.44), pickup=True),
        Kind(name="shells", actor="WsShells", size=(0.6, 0.28), pickup=True),
        Kind(name="stimpack", actor="WsStimpack", size=(0.56, 0.6), pickup=True),
        Kind(name="corpse", actor="WsCorpse", size=(1.6, 0.6)),
        Kind(name="zombie", actor="WsZombie", size=(1.6, 2.2), solid=True, living=True),
    )
    return {kind.name: kind for kind in rows}


KINDS: Final[Mapping[str, Kind]] = _props() | _game()
BY_ACTOR: Final[Mapping[str, Kind]] = {kind.actor: kind for kind in KINDS.values()}
PLAYER: Final = "WsPlayer"
_NUMBER: Final = 20000  # the first editor number of our classes


def kind_of(name: str) -> Kind:
    """The kind with this name, or a ConfigError with the nearest one."""
    if name not in KINDS:
        raise ConfigError(f"Doom has no kind {name!r}.{nearest(name, KINDS)} Known: {', '.join(KINDS)}")
    return KINDS[name]


def editor_number(kind: Kind) -> int:
    """The number by which a map names the class."""
    return _NUMBER + list(KINDS).index(kind.name)


def decorate() -> bytes:
    """The lump DECORATE: our classes and a player without momentum.

    Doom's player slides for 50 tics after a key is let go, so that hardly a moment is at rest. This one stops at once:
    `A_ChangeVelocity` after the move of each tic. `See` is entered by the first push, before the move, so its first
    state leaves the velocity alone.
    """
    parts = [_prop(kind) if kind.colour else "" for kind in KINDS.values()]
    number = {name: editor_number(kind) for name, kind in KINDS.items()}
    stop = "PLAY A 1 A_ChangeVelocity(0, 0, velz, CVF_REPLACE)"
    parts.append(
        f"""
actor WsClip : Clip {number["clip"]} {{ }}
actor WsShells : Shell {number["shells"]} {{ }}
actor WsStimpack : Stimpack {number["stimpack"]} {{ +INVENTORY.ALWAYSPICKUP }}
actor WsCorpse {number["corpse"]} {{
  Radius 16
  Height 14
  States {{
  Spawn:
    POSS L -1
    Stop
  }}
}}
actor WsZombie {number["zombie"]} {{
  Radius 14
  Height 50
  Health 20
  Mass 100000
  +SOLID
  +SHOOTABLE
  +NOBLOOD
  States {{
  Spawn:
    POSS A -1
    Stop
  Death:
    POSS H 5
    POSS I 5 A_NoBlocking
    POSS J 5
    POSS K 5
    POSS L -1
    Stop
  }}
}}
actor {PLAYER} : DoomPlayer {{
  Radius 8
  Height 45
  Mass 100000
  Player.ViewHeight 40.5
  Player.ForwardMove 3.2
  Player.SideMove 3.2
  Player.MaxHealth 1000
  Player.UseRange 112
  Player.StartItem "Pistol"
  Player.StartItem "Fist"
  Player.StartItem "Clip", 100
  States {{
  Spawn:
    {stop}
    Loop
  See:
    PLAY A 1
  Run:
    {stop}
    Loop
  Melee:
  Missile:
    {stop}
    Goto Spawn
  }}
}}
"""
    )
    return "".join(parts).encode("ascii")


def _prop(kind: Kind) -> str:
    shape = kind.name.split("_")[1]
    frame = _FRAME[list(COLOURS).index(kind.colour)]
    return f"""
actor {kind.actor} {editor_number(kind)} {{
  Radius {_BOX[shape][0] // 2}
  Height {_BOX[shape][1]}
  +SOLID
  States {{
  Spawn:
    {_SPRITE[shape]} {frame} -1
    Stop
  }}
}}
"""


@cache
def sprites() -> tuple[tuple[str, bytes], ...]:
    """The pictures of the props, as lumps between S_START and S_END."""
    out = []
    for shape in SHAPES:
        for frame, colour in zip(_FRAME, COLOURS.values(), strict=True):
            image = _draw(shape, np.array(colour, np.float64))
            height, width = image.shape[:2]
            # Clear pixels around it, up to powers of two: the engine now and then reads one beyond the end.
            padded = np.pad(image, ((0, (32 if height < 32 else 64) - height), (0, 32 - width), (0, 0)))
            out.append((f"{_SPRITE[shape]}{frame}0", picture(padded, (width // 2, height))))
    return tuple(out)


def _draw(shape: str, colour: NDArray[np.float64]) -> NDArray[np.uint8]:
    """(H, W, 4) uint8: a shaded prop that looks the same from all sides."""
    width, height = _BOX[shape]
    y, x = np.mgrid[:height, :width] + 0.5
    across = (x - width / 2) / (width / 2)  # -1..1
    solid = np.ones((height, width), bool)
    light = np.full((height, width), 0.8)
    if shape == "barrel":
        solid &= np.abs(across) < 0.9 + 0.1 * np.sin(np.pi * y / height)
        light = 1.05 - 0.55 * across**2 - 0.35 * np.isin((y // 1) % 9, (1, 2))
    elif shape == "column":
        solid &= (np.abs(across) < 0.65) | (y < 5) | (y > height - 6)
        light = 1.0 - 0.5 * np.abs(across + 0.2) - 0.3 * (((x // 2) % 3 == 0) & (y >= 5))
    else:
        lid = y < height * 0.42
        light = np.where(lid, 1.0, 0.72) - 0.25 * (np.abs(across) > 0.86) - 0.3 * (np.abs(y - height * 0.42) < 1)
    rgba = np.zeros((height, width, 4), np.uint8)
    rgba[..., :3] = np.clip(colour * light[..., None], 0, 255)
    if shape == "chest":
        lock = (np.abs(across) < 0.14) & (np.abs(y - height * 0.45) < 3)
        rgba[lock, :3] = (40, 34, 20)
    rgba[..., 3] = np.where(solid, 255, 0)
    return rgba
