"""What each kind looks like: a recipe a name, seeded by the name, so that a new kind changes no other."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from worldsim.envs.blocks.textures import (
    BOTTOM,
    FRONT,
    SIZE,
    TOP,
    Texture,
    blank,
    bricks,
    frame,
    noise,
    paint,
    planks,
    rings,
)
from worldsim.errors import UnknownNameError
from worldsim.seeding import generator

_RGB = tuple[float, float, float]
_Recipe = Callable[[np.random.Generator, str], Texture | Mapping[int, Texture]]

#: Colours of wool, chests, crates and gems: far apart, none clipped.
PIGMENTS: Mapping[str, _RGB] = {
    "red": (196, 46, 42),
    "yellow": (232, 194, 44),
    "green": (62, 148, 52),
    "blue": (52, 78, 196),
    "purple": (136, 58, 178),
    "white": (216, 216, 212),
    "orange": (230, 126, 40),
    "cyan": (36, 150, 160),
    "black": (40, 40, 46),
}
_DIRT: _RGB = (130, 94, 64)
_GRASS: _RGB = (100, 164, 66)
_DARK: _RGB = (58, 44, 34)


def faces(name: str) -> NDArray[np.float64]:
    """(4, 16, 16, 4) RGBA 0..255 of a kind: side, top, bottom, front.

    Raises:
        UnknownNameError: If there is no recipe.
    """
    rng = generator("blocks/texture", name)
    for suffix, recipe in _RECIPES.items():
        if name == suffix or (suffix.startswith("_") and name.endswith(suffix)):
            made = recipe(rng, name)
            break
    else:
        raise UnknownNameError(f"kind {name!r} has no texture: add a recipe to worldsim/envs/blocks/materials.py")
    if not isinstance(made, Mapping):
        return np.stack([made] * 4)
    return np.stack([made[0], made.get(TOP, made[0]), made.get(BOTTOM, made[0]), made.get(FRONT, made[0])])


def _pigment(name: str) -> _RGB:
    return PIGMENTS[name.split("_")[0]]


def _tone(rgb: _RGB, factor: float) -> _RGB:
    return (rgb[0] * factor, rgb[1] * factor, rgb[2] * factor)


def _plain(rgb: _RGB, *amplitudes: float) -> _Recipe:
    a = amplitudes or (6, 12, 8, 4)
    return lambda rng, _: paint(rng, rgb, (a[0], a[1], a[2], a[3]))


def _grass(rng: np.random.Generator, _: str) -> Mapping[int, Texture]:
    top, side = paint(rng, _GRASS, (8, 16, 10, 5)), paint(rng, _DIRT)
    fringe = 3 + (np.kron(rng.random(8), [1, 1]) * 3).astype(int)
    for u in range(SIZE):
        side[: fringe[u], u] = top[: fringe[u], u]
    return {0: side, TOP: top, BOTTOM: paint(rng, _DIRT)}


def _path(rng: np.random.Generator, _: str) -> Mapping[int, Texture]:
    return {0: paint(rng, _DIRT), TOP: frame(paint(rng, (172, 140, 92), (6, 12, 8, 4)), (142, 114, 74))}


def _snow(rng: np.random.Generator, _: str) -> Texture:
    return paint(rng, (212, 220, 230), (5, 9, 5, 3))


def _tile(rng: np.random.Generator, _: str) -> Texture:
    out = paint(rng, (158, 158, 162), (4, 8, 4, 3))
    out[:8, :8, :3] += 9
    out[8:, 8:, :3] += 9
    return frame(out, (104, 104, 110))


def _strata(rng: np.random.Generator, _: str) -> Mapping[int, Texture]:
    side = paint(rng, (214, 194, 142), (0, 5, 5, 3))
    side[4:6, :, :3] -= 26
    side[11:12, :, :3] -= 34
    return {0: side, TOP: paint(rng, (218, 200, 150), (4, 8, 5, 3))}


def _log(rng: np.random.Generator, name: str) -> Mapping[int, Texture]:
    bark: _RGB = {"oak": (110, 84, 52), "birch": (208, 204, 192), "spruce": (76, 56, 38)}[name.split("_")[0]]
    side = paint(rng, bark, (0, 5, 5, 4))
    if name.startswith("birch"):
        for row in (1, 5, 6, 10, 13):
            start = int(rng.integers(0, 12))
            side[row, start : start + 4, :3] = (62, 58, 54)
    else:
        side[:, 1::4, :3] -= 32
        side[:, 2::8, :3] += 12
    return {0: side, TOP: rings(paint(rng, (188, 152, 98), (0, 3, 3, 2)), (138, 106, 62)), BOTTOM: side}


def _leaves(rng: np.random.Generator, name: str) -> Texture:
    green: _RGB = {"oak": (66, 130, 48), "birch": (112, 150, 62), "spruce": (44, 92, 60)}[name.split("_")[0]]
    out = paint(rng, green, (6, 16, 16, 9))
    gaps = (noise(rng, 2) + 0.5 * noise(rng, 1)) < -0.75
    out[gaps, :3] *= 0.55
    return out


def _shelf(rng: np.random.Generator, _: str) -> Mapping[int, Texture]:
    wood = planks(rng, (176, 138, 86))
    side = wood.copy()
    for row in (1, 9):
        u = 1
        while u < 15:
            width = int(rng.integers(1, 4))
            book = list(PIGMENTS.values())[int(rng.integers(0, 6))]
            side[row : row + 6, u : min(u + width, 15), :3] = _tone(book, float(rng.uniform(0.6, 0.95)))
            u += width
    return {0: side, TOP: wood}


def _hay(rng: np.random.Generator, _: str) -> Mapping[int, Texture]:
    side = paint(rng, (206, 170, 50), (4, 8, 6, 5))
    side[:, ::3, :3] -= 22
    side[[4, 5, 10, 11], :, :3] = (150, 72, 44)
    return {0: side, TOP: rings(paint(rng, (210, 176, 60), (4, 8, 6, 4)), (170, 136, 36))}


def _cactus(rng: np.random.Generator, _: str) -> Mapping[int, Texture]:
    side = paint(rng, (78, 138, 56), (4, 8, 5, 3))
    side[:, ::4, :3] -= 30
    side[1::4, 2::4, :3] = (214, 214, 160)
    return {0: side, TOP: frame(paint(rng, (104, 164, 72)), (64, 116, 46), 2)}


def _glass(rng: np.random.Generator, _: str) -> Texture:
    out = frame(blank(), (206, 226, 232))
    out[[0, SIZE - 1], :, 3] = 255
    out[:, [0, SIZE - 1], 3] = 255
    for u, v in ((3, 5), (4, 4), (5, 3), (10, 12), (11, 11), (12, 10)):
        out[v, u] = (226, 240, 244, 255)
    return out


def _glow(rng: np.random.Generator, name: str) -> Texture:
    out = paint(rng, (244, 208, 120), (8, 18, 14, 6))
    return frame(out, (142, 100, 50)) if name.startswith("lamp") else out


def _water(rng: np.random.Generator, _: str) -> Texture:
    out = paint(rng, (50, 104, 190), (8, 12, 8, 3))
    for _i in range(5):
        v, u = (int(q) for q in rng.integers(0, 16, 2))
        out[v, (np.arange(5) + u) % SIZE, :3] += 30
    return out


def _wool(rng: np.random.Generator, name: str) -> Texture:
    out = paint(rng, _pigment(name), (5, 9, 6, 4))
    out[7::8, :, :3] *= 0.86
    out[:, 7::8, :3] *= 0.9
    return frame(out, _tone(_pigment(name), 0.8))


def _soil(rng: np.random.Generator, _: str) -> Mapping[int, Texture]:
    top = paint(rng, (100, 66, 42), (4, 8, 5, 3))
    top[:, ::4, :3] *= 0.66
    top[:, 1::4, :3] *= 1.14
    return {0: paint(rng, _DIRT), TOP: top}


def _wheat(rng: np.random.Generator, name: str) -> Texture:
    stage = int(name[-1])
    out = blank()
    height = (4, 8, 12, 15)[stage]
    colour = np.array([(70, 150, 50), (92, 164, 52), (148, 172, 56), (214, 178, 66)][stage], float)
    for u in range(0, SIZE, 2):
        tall = height - int(rng.integers(0, 3))
        lean = int(rng.integers(0, 2))
        for i in range(tall):
            out[15 - i, min(u + (lean if i > tall // 2 else 0), 15)] = (*(colour * rng.uniform(0.75, 1.1)), 255)
        if stage == 3:
            out[15 - tall : 20 - tall, u : u + 2] = (226, 190, 84, 255)
    return out


def _plant(rng: np.random.Generator, name: str) -> Texture:
    petals: Mapping[str, _RGB] = {"poppy": (214, 40, 36), "dandelion": (246, 212, 52), "cornflower": (82, 112, 226)}
    out = blank()
    if name in petals:
        out[8:, 7:9] = (60, 134, 44, 255)
        out[11:13, 9:11] = out[12:14, 5:7] = (74, 150, 52, 255)
        out[3:8, 5:11] = (*petals[name], 255)
        out[3:8:4, 5:11:5] = 0
        out[5:6, 7:9] = (*_tone(petals[name], 0.6), 255)
        return out
    dry = name == "dead_bush"
    for _i in range(9):
        u, tall = int(rng.integers(1, 15)), int(rng.integers(6, 13))
        for i in range(tall):
            shade = rng.uniform(0.75, 1.1)
            rgb = _tone((132, 98, 50) if dry else (98, 164, 62), float(shade))
            out[15 - i, int(np.clip(round(u + (i * i / 40 if u > 7 else -i * i / 40)), 0, 15))] = (*rgb, 255)
    return out


def _chest(rng: np.random.Generator, name: str) -> Mapping[int, Texture]:
    rgb = _pigment(name)
    band = _tone(rgb, 0.36)
    side = frame(paint(rng, rgb, (4, 8, 5, 3)), band)
    side[5:7, :, :3] = band
    front = side.copy()
    front[4:9, 6:10, :3] = (238, 222, 140)
    front[6:8, 7:9, :3] = (120, 96, 40)
    top = frame(paint(rng, rgb, (4, 8, 5, 3)), band, 2)
    if name.endswith("_open"):
        top = frame(paint(rng, (46, 34, 26), (3, 4, 3, 2)), rgb, 2)
    return {0: side, TOP: top, FRONT: front}


def _crate(rng: np.random.Generator, name: str) -> Texture:
    rgb = _pigment(name)
    out = planks(rng, _tone(rgb, 0.95), 30)
    for i in range(SIZE):  # a cross of boards
        for j in (i, 15 - i):
            out[i, max(j - 1, 0) : j + 2, :3] = _tone(rgb, 0.62)
    return frame(out, _tone(rgb, 0.5), 2)


def _gem(rng: np.random.Generator, name: str) -> Texture:
    rgb = np.array(_pigment(name))
    out = paint(rng, _pigment(name), (0, 4, 3, 2))
    down = np.add.outer(np.arange(SIZE), np.arange(SIZE)) / 30.0
    out[..., :3] += ((1 - down) * 60 - 30)[..., None]
    out[4:12, 4:12, :3] = np.minimum(rgb * 0.7 + 70, 250)
    out[4:7, 4:7, :3] = 248
    return out


def _door(rng: np.random.Generator, _: str) -> Mapping[int, Texture]:
    out = frame(planks(rng, (150, 104, 58)), (98, 64, 34))
    out[2:6, 3:7, :3] = out[2:6, 9:13, :3] = (186, 208, 214)
    out[8:10, 12:14, :3] = (40, 38, 38)
    return {0: out, TOP: paint(rng, (98, 64, 34)), FRONT: out}


def _lever(rng: np.random.Generator, name: str) -> Texture:
    return paint(rng, {"lever_base": (112, 112, 114), "lever_off": (96, 74, 46), "lever_on": (214, 60, 40)}[name])


def _lamp_off(rng: np.random.Generator, _: str) -> Texture:
    return frame(paint(rng, (96, 74, 52), (8, 14, 10, 5)), (60, 44, 30))


def _sheep(rng: np.random.Generator, name: str) -> Mapping[int, Texture]:
    wool = paint(rng, (214, 210, 202), (8, 10, 8, 5))
    if name.endswith("body"):
        return {0: wool}
    skin = paint(rng, (202, 172, 152), (3, 6, 4, 3))
    face = skin.copy()
    face[:5] = wool[:5]
    face[6:8, [1, 2, 13, 14], :3] = (24, 20, 24)
    face[11:14, 6:10, :3] = (226, 150, 150)
    return {0: skin if name.endswith("leg") else wool, FRONT: face, TOP: wool}


def _pig(rng: np.random.Generator, name: str) -> Mapping[int, Texture]:
    skin = paint(rng, (232, 152, 160), (6, 10, 6, 3))
    face = skin.copy()
    face[5:7, [1, 2, 13, 14], :3] = (30, 20, 30)
    face[8:13, 5:11, :3] = (204, 98, 116)
    face[10, [6, 9], :3] = (110, 40, 56)
    return {0: skin, FRONT: face if name.endswith("head") else skin}


def _zombie(rng: np.random.Generator, name: str) -> Mapping[int, Texture]:
    skin = paint(rng, (84, 132, 76), (6, 10, 6, 4))
    if name.endswith("body"):
        return {0: paint(rng, (42, 128, 140), (5, 10, 6, 4))}
    if name.endswith("leg"):
        return {0: paint(rng, (62, 58, 140), (4, 8, 5, 3))}
    face = skin.copy()
    face[6:9, [2, 3, 4, 11, 12, 13], :3] = (20, 24, 20)
    face[11:13, 6:10, :3] = (48, 76, 46)
    return {0: skin, FRONT: face}


#: Suffix or whole name -> recipe; the first that fits is taken.
_RECIPES: Mapping[str, _Recipe] = {
    "bedrock": _plain((66, 66, 68), 8, 18, 14, 6),
    "stone": _plain((132, 132, 136), 6, 12, 6, 3),
    "cobblestone": lambda r, _: bricks(r, (122, 122, 120), (76, 76, 78), height=8, width=8, jitter=24),
    "mossy_cobblestone": lambda r, _: bricks(r, (100, 126, 84), (62, 78, 56), height=8, width=8, jitter=22),
    "stone_bricks": lambda r, _: bricks(r, (136, 136, 138), (92, 92, 96), height=8, width=16, jitter=14),
    "smooth_stone": _tile,
    "bricks": lambda r, _: bricks(r, (168, 80, 64), (196, 184, 172), height=4, width=8, jitter=18),
    "sandstone": _strata,
    "dirt": _plain(_DIRT),
    "grass_block": _grass,
    "dirt_path": _path,
    "snow_block": _snow,
    "ice": _plain((150, 188, 232), 6, 10, 4, 2),
    "terracotta": _plain((164, 96, 68), 4, 8, 4, 2),
    "sand": _plain((212, 198, 148), 5, 10, 6, 4),
    "gravel": _plain((126, 120, 116), 4, 14, 16, 8),
    "_log": _log,
    "_leaves": _leaves,
    "oak_planks": lambda r, _: planks(r, (182, 144, 90)),
    "spruce_planks": lambda r, _: planks(r, (120, 88, 54), 34),
    "bookshelf": _shelf,
    "hay_block": _hay,
    "cactus": _cactus,
    "glass": _glass,
    "glowstone": _glow,
    "water": _water,
    "_wool": _wool,
    "farmland": _soil,
    **{f"wheat_{stage}": _wheat for stage in range(4)},
    **dict.fromkeys(("short_grass", "poppy", "dandelion", "cornflower", "dead_bush"), _plant),
    "_chest": _chest,
    "_chest_open": _chest,
    "_crate": _crate,
    "_gem": _gem,
    "door": _door,
    **{f"lever_{part}": _lever for part in ("base", "off", "on")},
    "lamp_off": _lamp_off,
    "lamp_on": _glow,
    **{f"sheep_{part}": _sheep for part in ("body", "head", "leg")},
    **{f"pig_{part}": _pig for part in ("body", "head", "leg")},
    **{f"zombie_{part}": _zombie for part in ("body", "head", "leg")},
}
