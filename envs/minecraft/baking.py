"""From the picture and the block models of a viewer package to one small atlas: a tile for top, side and bottom.

Pure: arrays and plain values in, arrays out. Nothing of the game lies in here; the tints are this project's own values.

What is simplified: of a block only its first variant's model is read, and of that only three faces; rotations are left
out; what is drawn is the whole tile that a face is cut from, for the bridge cuts by where in the block a texel lies.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from worldsim.errors import WorldsimError

Picture: TypeAlias = NDArray[np.uint8]  # (H, W, 4) RGBA

TILE: Final = 16  # texels
COLUMNS: Final = 32  # tiles in a row of the baked atlas: 512 texels, which every graphics driver takes
#: The directions of a model's faces for each of the bridge's surfaces; of several the largest is taken, then the first.
SURFACES: Final = {"top": ("up",), "side": ("north", "south", "west", "east"), "bottom": ("down",)}
GRASS: Final = (152, 206, 98)
FOLIAGE: Final = (118, 184, 66)
WATER: Final = (72, 132, 240)
STEM: Final = (134, 184, 52)
#: Grey tiles that are multiplied with a colour, RGB. In the game it depends on biome, age or power; here it is fixed.
TINTS: Final[Mapping[str, tuple[int, int, int]]] = {
    **dict.fromkeys(("grass_block", "grass", "tall_grass", "fern", "large_fern", "potted_fern", "sugar_cane"), GRASS),
    **dict.fromkeys(("oak_leaves", "jungle_leaves", "acacia_leaves", "dark_oak_leaves", "vine"), FOLIAGE),
    "birch_leaves": (140, 174, 94),
    "spruce_leaves": (100, 150, 104),
    "lily_pad": (52, 142, 58),
    **dict.fromkeys(("melon_stem", "pumpkin_stem", "attached_melon_stem", "attached_pumpkin_stem"), STEM),
    "redstone_wire": (206, 26, 18),
    **dict.fromkeys(("water", "bubble_column"), WATER),
}
#: Drawn in the game as creatures are; of the block there is only the tile of its splinters, and the own look says more.
SPLINTERS: Final = ("_bed", "_banner", "chest", "_head", "_skull")
OPAQUE: Final = 128  # alpha from which a texel is drawn, as in the bridge's shader
GLASS_OPAQUE: Final = 150  # stained glass has 128 in its middle, and one shall see through it
HOLE: Final = 0.6  # of a tile's mean colour: what fills the holes of a block that nothing is drawn behind


@dataclass(frozen=True, kw_only=True)
class Atlas:
    """Tiles in rows of `COLUMNS`, and which of them a block shows."""

    pixels: Picture
    """(H, W, 4) uint8 RGBA, alpha 0 or 255; H and W are multiples of `TILE`."""
    blocks: Mapping[str, tuple[int, int, int]]
    """Name of a block -> its tiles: top, side, bottom."""
    means: NDArray[np.uint8]
    """(N, 3) RGB: each tile's mean colour over the texels that are drawn."""


def bake(picture: Picture, models: Mapping[str, Any]) -> Atlas:
    """Cuts, composes, tints and packs the tiles of all blocks that have any.

    Args:
        picture: (H, W, 4) uint8 RGBA, tiles of 16 x 16 in a grid.
        models: Block name -> {"variants": {...}} or {"multipart": [...]}, with resolved models whose faces hold the
            place of their texture in units of the picture: {"u", "v", "su", "sv"}.

    Raises:
        WorldsimError: If the picture is no grid of tiles, or a model is not of that form.
    """
    height, width, channels = picture.shape
    if channels != 4 or height % TILE or width % TILE or not picture.size:
        raise WorldsimError(f"expected an RGBA picture of {TILE} x {TILE} tiles, got one of shape {picture.shape}")
    blocks: dict[str, tuple[int, int, int]] = {}
    places: dict[bytes, int] = {}
    for name, entry in models.items():
        try:
            tiles = block_tiles(name, entry, picture)
        except (KeyError, TypeError, ValueError, IndexError, AttributeError, OverflowError) as error:
            raise WorldsimError(
                f"the model of block {name!r} is not as expected ({error!r}); fetch it again"
            ) from error
        if tiles is not None:
            top, side, bottom = (places.setdefault(tile.tobytes(), len(places)) for tile in tiles)
            blocks[name] = (top, side, bottom)
    if not blocks:
        raise WorldsimError("expected models of blocks with textures, got none; fetch the file again")
    shape = (TILE, TILE, 4)
    tiles_in_order = [np.frombuffer(data, np.uint8).reshape(shape) for data in places]
    means = np.array([mean_colour(tile) for tile in tiles_in_order], np.uint8)
    return Atlas(pixels=_arrange(tiles_in_order), blocks=blocks, means=means)


def block_tiles(name: str, entry: Mapping[str, Any], picture: Picture) -> tuple[Picture, Picture, Picture] | None:
    """The tiles (16, 16, 4) of top, side and bottom, or None if a block has none of its own."""
    model = first_model(entry)
    elements, particle = model["elements"], model["textures"].get("particle")
    if not elements and name.endswith(SPLINTERS):
        return None
    found: dict[str, Picture | None] = {}
    for surface, directions in SURFACES.items():
        found[surface] = _face_tile(name, elements, directions, picture)
        if found[surface] is None and particle is not None:
            tile = tinted(cut(picture, particle), TINTS.get(name))
            found[surface] = cleared(tile, OPAQUE) if elements else filled(tile)
    top, side, bottom = found["top"], found["side"], found["bottom"]
    if top is None or side is None or bottom is None:
        return None
    return top, side, bottom


def first_model(entry: Mapping[str, Any]) -> Mapping[str, Any]:
    """The model of the first variant, or of the first part of a block that is put together."""
    variants = entry.get("variants")
    chosen = next(iter(variants.values())) if variants else entry["multipart"][0]["apply"]
    if isinstance(chosen, list):
        chosen = chosen[0]
    model: Mapping[str, Any] = chosen["model"]
    return model


def _face_tile(
    name: str, elements: Sequence[Mapping[str, Any]], directions: Sequence[str], picture: Picture
) -> Picture | None:
    """The tile of the largest face that looks that way, with what lies on it: later elements of the same box."""
    there = [(element, way) for element in elements for way in directions if way in element["faces"]]
    if not there:
        return None
    element, way = max(there, key=lambda each: _area(each[0]["faces"][each[1]]["texture"]))
    box = (element["from"], element["to"])
    layers = [e["faces"][way] for e in elements if way in e["faces"] and (e["from"], e["to"]) == box]
    tints = [TINTS.get(name) if "tintindex" in face else None for face in layers]
    tile = tinted(cut(picture, layers[0]["texture"]), tints[0])
    for face, tint in zip(layers[1:], tints[1:], strict=True):
        tile = over(tinted(cut(picture, face["texture"]), tint), tile)
    glass = "glass" in name
    # The bridge draws nothing behind a full cube, and no more than its box where a face is a part of a tile: a hole
    # would show the sky through the ground.
    whole = _area(layers[0]["texture"]) * picture.shape[0] * picture.shape[1] > 0.99 * TILE * TILE
    if (box == ([0, 0, 0], [16, 16, 16]) and not glass) or not whole:
        return filled(tile)
    return cleared(tile, GLASS_OPAQUE if glass else OPAQUE)


def _area(texture: Mapping[str, float]) -> float:
    return abs(texture["su"] * texture["sv"])


def cut(picture: Picture, texture: Mapping[str, float]) -> Picture:
    """The whole tile (16, 16, 4) in which the middle of a texture's rectangle lies.

    Raises:
        ValueError: If it lies outside of the picture.
    """
    rows, columns = picture.shape[0] // TILE, picture.shape[1] // TILE
    column = int(np.floor((texture["u"] + texture["su"] / 2) * columns))
    row = int(np.floor((texture["v"] + texture["sv"] / 2) * rows))
    if not (0 <= row < rows and 0 <= column < columns):
        raise ValueError(f"tile ({column}, {row}) lies outside of {columns} x {rows} tiles")
    return picture[row * TILE : (row + 1) * TILE, column * TILE : (column + 1) * TILE].copy()


def tinted(tile: Picture, colour: tuple[int, int, int] | None) -> Picture:
    """Multiplied with a colour, 255 being one; alpha stays."""
    if colour is None:
        return tile
    factors = np.array([*colour, 255], np.uint32)
    out: Picture = ((tile * factors + 127) // 255).astype(np.uint8)
    return out


def over(upper: Picture, lower: Picture) -> Picture:
    """The upper tile laid on the lower one: Porter and Duff's "over" for a lower tile that is drawn."""
    weight = upper[..., 3:].astype(np.uint32)
    rgb = (upper[..., :3] * weight + lower[..., :3] * (255 - weight) + 127) // 255
    alpha = np.maximum(upper[..., 3:], lower[..., 3:])
    return np.concatenate([rgb.astype(np.uint8), alpha], axis=2)


def cleared(tile: Picture, least: int) -> Picture:
    """Alpha 255 from `least` on, else 0: the bridge knows no half-transparent texel."""
    out = tile.copy()
    out[..., 3] = np.where(tile[..., 3] >= least, 255, 0)
    return out


def filled(tile: Picture) -> Picture:
    """Without holes: a texel that would not be drawn gets the mean colour, darkened."""
    drawn = tile[..., 3] >= OPAQUE
    dark = np.round(HOLE * mean_colour(cleared(tile, OPAQUE)).astype(np.float64)).astype(np.uint8)
    # A whole tile that is half-transparent (slime) is drawn as it is.
    rgb = np.where(drawn[..., None] | ~drawn.any(), tile[..., :3], dark)
    return np.concatenate([rgb, np.full((*tile.shape[:2], 1), 255, np.uint8)], axis=2)


def mean_colour(tile: Picture) -> NDArray[np.uint8]:
    """(3,) uint8: over the texels that are drawn; black if there is none."""
    drawn = tile[tile[..., 3] >= OPAQUE][:, :3]
    if not len(drawn):
        return np.zeros(3, np.uint8)
    mean: NDArray[np.uint8] = np.round(drawn.mean(0)).astype(np.uint8)
    return mean


def _arrange(tiles: Sequence[Picture]) -> Picture:
    rows = -(-len(tiles) // COLUMNS)
    pixels = np.zeros((rows * TILE, COLUMNS * TILE, 4), np.uint8)
    for index, tile in enumerate(tiles):
        y, x = index // COLUMNS * TILE, index % COLUMNS * TILE
        pixels[y : y + TILE, x : x + TILE] = tile
    return pixels
