"""The second half of drawing: the colour of what `trace.py` found. Compiled by numba; why two files is said there."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from worldsim.envs.blocks.jit import njit

# A 16x16 texture and its four mip levels, flattened one after the other: level l starts at _LEVEL[l].
_LEVEL = (0, 256, 320, 336, 340)
_CROSS, _CUTOUT, _GLOWS, _FLUID = 1, 4, 8, 16  # bits of `flags`, as in kinds.py
_LAMP_REACH = 9.0  # metres that the light of a lamp carries


@njit(inline="always")
def _hash(x: int, y: int, z: int) -> float:
    """0..1, the same for a cell for ever."""
    h = (x * 73856093) ^ (y * 19349663) ^ (z * 83492791)
    h = (h ^ (h >> 13)) * 1274126177
    return ((h ^ (h >> 16)) & 255) / 255.0


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
def _lit(cells: Any, flags: Any, px: float, py: float, pz: float, qx: float, qy: float, qz: float) -> bool:
    """Whether no opaque cell lies between the point p and the lamp q (the cell of q itself does not count)."""
    nx, nz, ny = cells.shape
    dx, dy, dz = qx - px, qy - py, qz - pz
    dx, dy, dz = dx if dx != 0 else 1e-12, dy if dy != 0 else 1e-12, dz if dz != 0 else 1e-12
    gx, gy, gz = 1.0 / dx, 1.0 / dy, 1.0 / dz
    sx, sy, sz = 1 if dx > 0 else -1, 1 if dy > 0 else -1, 1 if dz > 0 else -1
    x, y, z = math.floor(px), math.floor(py), math.floor(pz)
    tx, ty, tz = (x + (sx > 0) - px) * gx, (y + (sy > 0) - py) * gy, (z + (sz > 0) - pz) * gz
    ex, ey, ez = math.floor(qx), math.floor(qy), math.floor(qz)
    for _ in range(48):
        if tx < ty and tx < tz:
            t, x, tx = tx, x + sx, tx + abs(gx)
        elif ty < tz:
            t, y, ty = ty, y + sy, ty + abs(gy)
        else:
            t, z, tz = tz, z + sz, tz + abs(gz)
        if t >= 1.0 or (x == ex and y == ey and z == ez):
            return True
        if 0 <= x < nx and 0 <= z < nz and 0 <= y < ny:
            k = cells[x, z, y]
            if k and not flags[k] & (_CROSS | _CUTOUT | _FLUID):
                return False
    return True


@njit(inline="always")
def _corner_shade(
    cells: Any, flags: Any, fx: int, fy: int, fz: int, axis: int, px: float, py: float, pz: float
) -> float:
    """Ambient occlusion 0..1 at a face point: the three cells at its nearest corner, weighted by nearness to the edge.

    (fx, fy, fz) is the cell in front of the face; px, py, pz in 0..1 the place within the cell that was hit.
    """
    nx, nz, ny = cells.shape
    best = 0.0
    pa = py if axis == 0 else pz if axis == 1 else px
    pb = pz if axis == 0 else px if axis == 1 else py
    i, j = (1 if pa > 0.5 else -1), (1 if pb > 0.5 else -1)
    wa, wb = (2 * pa - 1) ** 2, (2 * pb - 1) ** 2
    for n in range(1, 4):  # bit 0: a step along a, bit 1: a step along b
        a, b = i * (n & 1), j * (n >> 1)
        x = fx + (a if axis == 2 else b if axis == 1 else 0)
        y = fy + (a if axis == 0 else b if axis == 2 else 0)
        z = fz + (a if axis == 1 else b if axis == 0 else 0)
        if 0 <= x < nx and 0 <= z < nz and 0 <= y < ny:
            k = cells[x, z, y]
            if k and not flags[k] & (_CROSS | _CUTOUT | _FLUID | _GLOWS):
                best = max(best, (wa if n & 1 else 1.0) * (wb if n > 1 else 1.0))
    return best


@njit(inline="always")
def _sample(atlas: Any, kind: int, face: int, tu: float, tv: float, lod: float) -> Any:
    """RGB 0..255 of a texture at (tu, tv), 0..1: crisp when magnified, trilinear when minified."""
    if lod <= 0.0:
        p = min(int(tv * 16), 15) * 16 + min(int(tu * 16), 15)
        return float(atlas[kind, face, p, 0]), float(atlas[kind, face, p, 1]), float(atlas[kind, face, p, 2])
    r = g = b = 0.0
    li = int(lod)
    for level in range(li, li + 2):
        wl = 1.0 - (lod - li) if level == li else lod - li
        n = 16 >> level
        base = _LEVEL[level]
        fu, fv = tu * n - 0.5, tv * n - 0.5
        iu, iv = math.floor(fu), math.floor(fv)
        fu, fv = fu - iu, fv - iv
        u0, u1 = max(iu, 0), min(iu + 1, n - 1)
        v0, v1 = base + max(iv, 0) * n, base + min(iv + 1, n - 1) * n
        w00, w01 = wl * (1 - fu) * (1 - fv), wl * fu * (1 - fv)
        w10, w11 = wl * (1 - fu) * fv, wl * fu * fv
        # element by element: a view of a texel would count references, twice as slow
        p, q, m, n = v0 + u0, v0 + u1, v1 + u0, v1 + u1
        r += w00 * atlas[kind, face, p, 0] + w01 * atlas[kind, face, q, 0]
        r += w10 * atlas[kind, face, m, 0] + w11 * atlas[kind, face, n, 0]
        g += w00 * atlas[kind, face, p, 1] + w01 * atlas[kind, face, q, 1]
        g += w10 * atlas[kind, face, m, 1] + w11 * atlas[kind, face, n, 1]
        b += w00 * atlas[kind, face, p, 2] + w01 * atlas[kind, face, q, 2]
        b += w10 * atlas[kind, face, m, 2] + w11 * atlas[kind, face, n, 2]
    return r, g, b


@njit(inline="always")
def _sky(sky: Any, dx: float, dy: float, dz: float, norm: float, surface: bool) -> Any:
    """RGB of the sky along a ray. `surface`: only its gradient, for the haze in front of things far away."""
    e = dy / norm
    up = math.sqrt(min(max(e * 1.3, 0.0), 1.0))
    r = sky[3] + (sky[6] - sky[3]) * up
    g = sky[4] + (sky[7] - sky[4]) * up
    b = sky[5] + (sky[8] - sky[5]) * up
    if surface:
        return r, g, b
    side = 1.0 if dx * sky[9] + dy * sky[10] > 0 else -1.0  # towards the sun, or the moon opposite
    across = abs(dz) / norm
    along = abs(dx * sky[10] - dy * sky[9]) / norm
    if e > -0.05 and max(across, along) < (0.075 if side > 0 else 0.055):
        if side > 0:
            return 255.0, 244.0, 196.0
        m = 1.0 - sky[11]
        return r + (226.0 - r) * m, g + (232.0 - g) * m, b + (240.0 - b) * m
    if e > 0.05:
        c = _hash(math.floor(dx / dy * 2.2), 9, math.floor(dz / dy * 2.2))
        if c > 0.79:  # square clouds so far away that only turning moves them
            m = (0.16 + 0.42 * sky[11]) * min((e - 0.05) * 8, 1.0)
            white = 70.0 + 185.0 * sky[11]
            return r + (white - r) * m, g + (white - g) * m, b + (white - b) * m
        if sky[11] < 0.5 and _hash(int(dx / norm * 90 + 500), int(e * 90), int(dz / norm * 90 + 500)) > 0.992:
            m = 0.8 * (1.0 - 2.0 * sky[11])
            return r + (220.0 - r) * m, g + (225.0 - g) * m, b + (235.0 - b) * m
    return r, g, b


@njit(cache=True, nogil=True, error_model="numpy")
def shade(
    cells: NDArray[np.uint8],
    tops: NDArray[np.uint8],
    atlas: NDArray[np.uint8],
    flags: NDArray[np.uint8],
    boxes: NDArray[np.float64],
    lamps: NDArray[np.float64],
    sky: NDArray[np.float64],
    camera: NDArray[np.float64],
    focal: float,
    view: float,
    depth: NDArray[np.float64],
    kind: NDArray[np.uint8],
    hits: NDArray[np.int32],
    rgb: NDArray[np.uint8],
) -> None:
    """The colour of what `trace` found.

    Args:
        cells: As in `trace`, like all that is not named otherwise.
        tops: (X, Z), one above the highest opaque cell.
        atlas: As above.
        flags: As above.
        boxes: As above.
        lamps: (L, 3) lights, metres.
        sky: (12,) of `light.sky_at`.
        camera: As above.
        focal: As above.
        view: As above.
        depth: What `trace` wrote, as the next two.
        kind: As above.
        hits: As above.
        rgb: Out, (H, W, 3).
    """
    height, width = depth.shape
    nx, nz, ny = cells.shape
    ox, oy, oz = camera[0, 3], camera[1, 3], camera[2, 3]
    ix, iy, iz = math.floor(ox), math.floor(oy), math.floor(oz)
    drowned = 0 <= ix < nx and 0 <= iz < nz and 0 <= iy < ny and (flags[cells[ix, iz, iy]] & _FLUID) != 0
    texel = 16.0 / focal
    for v in range(height):
        cy = (v + 0.5 - height * 0.5) / focal
        for u in range(width):
            cx = (u + 0.5 - width * 0.5) / focal
            dx = camera[0, 0] * cx + camera[0, 1] * cy + camera[0, 2]
            dy = camera[1, 0] * cx + camera[1, 1] * cy + camera[1, 2]
            dz = camera[2, 0] * cx + camera[2, 1] * cy + camera[2, 2]
            dx, dy, dz = dx if dx != 0 else 1e-12, dy if dy != 0 else 1e-12, dz if dz != 0 else 1e-12
            t, k = depth[v, u], kind[v, u]
            axis, box = hits[v, u, 0], hits[v, u, 1]
            x, y, z = hits[v, u, 2], hits[v, u, 3], hits[v, u, 4]
            norm = math.sqrt(dx * dx + dy * dy + dz * dz)
            if k == 0:
                r, g, b = _sky(sky, dx, dy, dz, norm, False)
                rgb[v, u, 0], rgb[v, u, 1], rgb[v, u, 2] = int(r + 0.5), int(g + 0.5), int(b + 0.5)
                continue
            wx, wy, wz = ox + t * dx, oy + t * dy, oz + t * dz
            sx, sy, sz = 1 if dx > 0 else -1, 1 if dy > 0 else -1, 1 if dz > 0 else -1
            front = -1
            if box >= 0:
                px = (wx - boxes[box, 0]) / (boxes[box, 3] - boxes[box, 0])
                py = (wy - boxes[box, 1]) / (boxes[box, 4] - boxes[box, 1])
                pz = (wz - boxes[box, 2]) / (boxes[box, 5] - boxes[box, 2])
                front = int(boxes[box, 6]) >> 7  # quarter turns to the right from +z
                x, y, z = math.floor(wx), math.floor(wy), math.floor(wz)
            else:
                px, py, pz = wx - x, wy - y, wz - z
            px, py, pz = min(max(px, 1e-4), 0.9999), min(max(py, 1e-4), 0.9999), min(max(pz, 1e-4), 0.9999)
            tu, tv = _place(axis, dx, dz, px, py, pz)
            face = 0
            if axis == 0:
                light, cosine = 0.76 - 0.10 * sx * sky[9], abs(dx) / norm
                if front == (1 if sx > 0 else 3):
                    face = 3
            elif axis == 1:
                cosine = abs(dy) / norm
                face, light = (1, 1.0) if dy < 0 else (2, 0.5)
            elif axis == 2:
                light, cosine = 0.64 + 0.05 * sz, abs(dz) / norm
                if front == (2 if sz > 0 else 0):
                    face = 3
            else:
                light, cosine = 0.95, 1.0
            lod = math.log2(max(texel * t, 1e-6)) - 0.5 * math.log2(max(cosine, 0.05))
            r, g, b = _sample(atlas, k, face, tu, tv, min(max(lod, 0.0), 3.999))

            # the cell in front of the face: covered from above, corners
            fx = x - sx * (axis == 0 and box < 0)
            fy = y - sy * (axis == 1 and box < 0)
            fz = z - sz * (axis == 2 and box < 0)
            inside = 0 <= fx < nx and 0 <= fz < nz and 0 <= fy < ny
            if box < 0:
                light *= 0.86 + 0.2 * _hash(x, y, z)  # every cell its own tint: places differ when texture is gone
            if inside:
                if fy < tops[fx, fz]:
                    light *= 0.72
                if box < 0 and axis < 3:
                    light *= 1.0 - 0.38 * _corner_shade(cells, flags, fx, fy, fz, axis, px, py, pz)
            glows = flags[k] & _GLOWS
            lr, lg, lb = light * sky[0], light * sky[1], light * sky[2]
            if glows:
                lr = lg = lb = 1.0
            else:
                for n in range(lamps.shape[0]):
                    qx, qy, qz = lamps[n, 0] - wx, lamps[n, 1] - wy, lamps[n, 2] - wz
                    away = math.sqrt(qx * qx + qy * qy + qz * qz)
                    if away < _LAMP_REACH:
                        if axis == 0:
                            facing = -sx * qx
                        elif axis == 1:
                            facing = -sy * qy
                        elif axis == 2:
                            facing = -sz * qz
                        else:
                            facing = away
                        near = 1.0 - away / _LAMP_REACH
                        glow = near * near * (0.35 + 0.65 * max(facing, 0.0) / max(away, 1e-6))
                        # start a little off the surface, on the viewer's side
                        ex, ey, ez = wx - 1e-3 * dx / norm, wy - 1e-3 * dy / norm, wz - 1e-3 * dz / norm
                        if facing > -0.3 and _lit(cells, flags, ex, ey, ez, lamps[n, 0], lamps[n, 1], lamps[n, 2]):
                            lr, lg, lb = lr + 0.95 * glow, lg + 0.78 * glow, lb + 0.5 * glow
                lr, lg, lb = min(lr, 1.12), min(lg, 1.1), min(lb, 1.08)
            r, g, b = r * lr, g * lg, b * lb
            hr, hg, hb = _sky(sky, dx, dy, dz, norm, True)
            if flags[k] & _FLUID and axis == 1 and dy < 0:  # water mirrors the sky at a low angle (Schlick 1994)
                m = 0.06 + 0.7 * (1.0 - cosine) ** 4
                r, g, b = r + (hr - r) * m, g + (hg - g) * m, b + (hb - b) * m
            fog = min(t / view, 1.0)
            fog = fog * fog * fog
            r, g, b = r + (hr - r) * fog, g + (hg - g) * fog, b + (hb - b) * fog
            if drowned:
                m = 0.35 + 0.55 * min(t / 12.0, 1.0)
                r = r + (30.0 * sky[0] - r) * m
                g = g + (72.0 * sky[1] - g) * m
                b = b + (140.0 * sky[2] - b) * m
            rgb[v, u, 0] = int(min(max(r, 0.0), 255.0) + 0.5)
            rgb[v, u, 1] = int(min(max(g, 0.0), 255.0) + 0.5)
            rgb[v, u, 2] = int(min(max(b, 0.0), 255.0) + 0.5)
