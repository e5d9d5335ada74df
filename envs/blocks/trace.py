"""The first half of drawing: what the ray of every pixel meets in the grid and among the cuboids. Compiled by numba.

A plain walk from cell to cell (Amanatides & Woo 1987), because every structure that skips empty space was slower in a
world this shallow. Rays are not normalised: their camera-z is 1, so the ray parameter t *is* the planar depth in
metres. No fastmath: it gained nothing and endangers equal bytes.

Each of `trace.py` and `shade.py` holds all the compiled code that it calls and takes its tables as arguments: numba's
cache on disk looks at the age of that one file only, and freezes globals. Helpers are inlined, for a call with arrays
costs more than what it does.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from worldsim.envs.blocks.jit import njit

# A 16x16 texture and its four mip levels, flattened one after the other: level l starts at _LEVEL[l].
_LEVEL = (0, 256, 320, 336, 340)
_CROSS, _LOW, _CUTOUT, _GLOWS, _FLUID = 1, 2, 4, 8, 16  # bits of `flags`, as in kinds.py


@njit(inline="always")
def _hole(atlas: Any, kind: int, face: int, tu: float, tv: float, lod: float) -> bool:
    """Whether the texel at (tu, tv), 0..1, is a hole, at the mip level nearest to `lod`."""
    level = int(min(max(lod + 0.5, 0.0), 4.0))
    n = 16 >> level
    iu = min(max(int(tu * n), 0), n - 1)
    iv = min(max(int(tv * n), 0), n - 1)
    return bool(atlas[kind, face, _LEVEL[level] + iv * n + iu, 3] < 128)


@njit(inline="always")
def _place(axis: int, dx: float, dz: float, px: float, py: float, pz: float) -> Any:
    """(tu, tv) 0..1 on a face: u to the viewer's right, v down, so that nothing is mirrored. px, py, pz in the cell."""
    if axis == 0:
        return (pz if dx > 0 else 1.0 - pz), 1.0 - py
    if axis == 1:
        return 1.0 - px, 1.0 - pz
    if axis == 2:
        return (px if dz < 0 else 1.0 - px), 1.0 - py
    return px, 1.0 - py


@njit(inline="always")
def _rectangles(boxes: Any, camera: Any, focal: float, height: int, width: int) -> Any:
    """(N, 4) int64 u0 u1 v0 v1, inclusive: pixels outside cannot see the box."""
    rects = np.empty((boxes.shape[0], 4), np.int64)
    for b in range(boxes.shape[0]):
        u0 = v0 = 1e9
        u1 = v1 = -1e9
        behind = 0
        for corner in range(8):
            px = boxes[b, 3 * (corner & 1)] - camera[0, 3]
            py = boxes[b, 1 + 3 * (corner >> 1 & 1)] - camera[1, 3]
            pz = boxes[b, 2 + 3 * (corner >> 2)] - camera[2, 3]
            z = camera[0, 2] * px + camera[1, 2] * py + camera[2, 2] * pz
            if z < 1e-3:
                behind += 1
                continue
            u = (camera[0, 0] * px + camera[1, 0] * py + camera[2, 0] * pz) / z * focal + width * 0.5
            v = (camera[0, 1] * px + camera[1, 1] * py + camera[2, 1] * pz) / z * focal + height * 0.5
            u0, u1, v0, v1 = min(u0, u), max(u1, u), min(v0, v), max(v1, v)
        if boxes[b, 8] == 0 or behind == 8:
            rects[b, 0], rects[b, 1], rects[b, 2], rects[b, 3] = 1, 0, 1, 0
        elif behind:  # crosses the eye's plane: no rectangle holds it
            rects[b, 0], rects[b, 1], rects[b, 2], rects[b, 3] = 0, width, 0, height
        else:  # a pixel to spare on each side
            rects[b, 0], rects[b, 1] = int(max(u0, 0.0)) - 1, int(min(u1, width * 1.0)) + 1
            rects[b, 2], rects[b, 3] = int(max(v0, 0.0)) - 1, int(min(v1, height * 1.0)) + 1
    return rects


@njit(cache=True, nogil=True, error_model="numpy")
def trace(
    cells: NDArray[np.uint8],
    atlas: NDArray[np.uint8],
    flags: NDArray[np.uint8],
    boxes: NDArray[np.float64],
    camera: NDArray[np.float64],
    focal: float,
    view: float,
    horizon_y: float,
    horizon_kind: int,
    depth: NDArray[np.float64],
    kind: NDArray[np.uint8],
    hits: NDArray[np.int32],
) -> None:
    """What the ray of every pixel meets first.

    Args:
        cells: (X, Z, Y) kinds.
        atlas: (128, 4, 341, 4) textures; their alpha decides where rays pass through holes.
        flags: (128,) bits by kind.
        boxes: (N, 9) rows as in `render.py`.
        camera: (4, 4) world_from_camera.
        focal: Focal length in pixels.
        view: View distance in metres along camera z.
        horizon_y: Height of the plane outside the grid, metres.
        horizon_kind: Its kind; 0 = none.
        depth: Out, (H, W) metres along camera z; 1e30 = nothing.
        kind: Out, (H, W); 0 = nothing.
        hits: Out, (H, W, 5): axis, box or -1, and the cell x, y, z. Axis 0, 1, 2 = a face across x, y, z; 3, 4 = one of
            the crossed planes of a plant.
    """
    height, width = depth.shape
    nx, nz, ny = cells.shape
    ox, oy, oz = camera[0, 3], camera[1, 3], camera[2, 3]
    ix, iy, iz = math.floor(ox), math.floor(oy), math.floor(oz)
    drowned = 0 <= ix < nx and 0 <= iz < nz and 0 <= iy < ny and (flags[cells[ix, iz, iy]] & _FLUID) != 0
    outside = ix < 0 or ix >= nx or iz < 0 or iz >= nz
    texel = 16.0 / focal  # texels a pixel at 1 m
    rects = _rectangles(boxes, camera, focal, height, width)
    row = np.empty(boxes.shape[0], np.int64)  # the boxes that this row of pixels can see
    for v in range(height):
        count = 0
        for b in range(boxes.shape[0]):
            if rects[b, 2] <= v <= rects[b, 3]:
                row[count] = b
                count += 1
        cy = (v + 0.5 - height * 0.5) / focal
        for u in range(width):
            cx = (u + 0.5 - width * 0.5) / focal
            dx = camera[0, 0] * cx + camera[0, 1] * cy + camera[0, 2]
            dy = camera[1, 0] * cx + camera[1, 1] * cy + camera[1, 2]
            dz = camera[2, 0] * cx + camera[2, 1] * cy + camera[2, 2]
            dx, dy, dz = dx if dx != 0 else 1e-12, dy if dy != 0 else 1e-12, dz if dz != 0 else 1e-12
            gx, gy, gz = 1.0 / dx, 1.0 / dy, 1.0 / dz
            sx, sy, sz = 1 if dx > 0 else -1, 1 if dy > 0 else -1, 1 if dz > 0 else -1
            ax, ay, az = abs(gx), abs(gy), abs(gz)
            x, y, z = ix, iy, iz
            tx, ty, tz = (x + (sx > 0) - ox) * gx, (y + (sy > 0) - oy) * gy, (z + (sz > 0) - oz) * gz
            t, axis, k = 0.0, 1, 0
            while True:
                if tx < ty and tx < tz:
                    t, x, axis, tx = tx, x + sx, 0, tx + ax
                elif ty < tz:
                    t, y, axis, ty = ty, y + sy, 1, ty + ay
                else:
                    t, z, axis, tz = tz, z + sz, 2, tz + az
                if t > view:
                    break
                if x < 0 or x >= nx or z < 0 or z >= nz or y < 0 or y >= ny:
                    leaving = (x < 0 and sx < 0) or (x >= nx and sx > 0) or (z < 0 and sz < 0) or (z >= nz and sz > 0)
                    if leaving or (y < 0 and sy < 0) or (y >= ny and sy > 0):
                        break
                    continue
                k = cells[x, z, y]
                if k == 0:
                    continue
                flag = flags[k]
                if flag == 0 or flag == _GLOWS:
                    break
                if flag & _LOW:
                    if flag & _FLUID:
                        if drowned:
                            k = 0
                            continue
                        if y + 1 < ny and flags[cells[x, z, y + 1]] & _FLUID:
                            break
                        brim = 0.875
                    else:
                        brim = 0.9375
                    if axis != 1 and oy + t * dy - y <= brim:
                        break
                    if axis == 1 and sy > 0:
                        break
                    q = (y + brim - oy) * gy
                    if sy < 0 and q < min(tx, ty, tz):
                        t, axis = q, 1
                        break
                    k = 0
                    continue
                if flag & _CROSS:
                    # planes px = pz and px + pz = 1 inside the cell; the nearer one whose texel is no hole
                    leave = min(tx, ty, tz)
                    det0, det1 = dx - dz, dx + dz
                    q0 = ((x - ox) - (z - oz)) / det0 if det0 != 0.0 else -1.0
                    q1 = ((x - ox) + (z - oz) + 1.0) / det1 if det1 != 0.0 else -1.0
                    first = 3 if q0 <= q1 else 4
                    found = False
                    for turn in range(2):
                        plane = first if turn == 0 else 7 - first
                        q = q0 if plane == 3 else q1
                        if q < t or q > leave or q <= 1e-6:
                            continue
                        lod = math.log2(max(texel * q, 1e-6))
                        if not _hole(atlas, k, 0, ox + q * dx - x, 1.0 - (oy + q * dy - y), lod):
                            t, axis, found = q, plane, True
                            break
                    if found:
                        break
                    k = 0
                    continue
                # a cube with holes
                tu, tv = _place(axis, dx, dz, ox + t * dx - x, oy + t * dy - y, oz + t * dz - z)
                if not _hole(atlas, k, 0, tu, tv, math.log2(max(texel * t, 1e-6))):
                    break
                k = 0
            box = -1
            if k == 0:
                t = 1e30
            if (k == 0 or outside) and dy < 0 and horizon_kind > 0:  # flat land or sea goes on outside the grid
                q = (horizon_y - oy) * gy
                px, pz = ox + q * dx, oz + q * dz
                if 0 < q < view and q < t and (px < 0 or px >= nx or pz < 0 or pz >= nz):
                    t, k, axis = q, horizon_kind, 1
                    x, y, z = math.floor(px), math.ceil(horizon_y) - 1, math.floor(pz)
            for i in range(count):
                b = row[i]
                if u < rects[b, 0] or u > rects[b, 1]:
                    continue
                a0, a1 = (boxes[b, 0] - ox) * gx, (boxes[b, 3] - ox) * gx
                b0, b1 = (boxes[b, 1] - oy) * gy, (boxes[b, 4] - oy) * gy
                c0, c1 = (boxes[b, 2] - oz) * gz, (boxes[b, 5] - oz) * gz
                a0, a1 = min(a0, a1), max(a0, a1)
                b0, b1 = min(b0, b1), max(b0, b1)
                c0, c1 = min(c0, c1), max(c0, c1)
                q = max(a0, b0, c0)
                if 1e-6 < q <= min(a1, b1, c1) and q < t and q < view:
                    t, box, k = q, b, int(boxes[b, 6]) & 127
                    axis = 0 if q == a0 else 1 if q == b0 else 2
            depth[v, u] = t
            kind[v, u] = k
            hits[v, u, 0], hits[v, u, 1] = axis, box
            hits[v, u, 2], hits[v, u, 3], hits[v, u, 4] = x, y, z
