'use strict'
// From the blocks of a 16 x 16 x 16 section to triangles.
//
// A vertex has 28 bytes: x y z u v (float32), then colour r g b, light, second colour r g b, mean weight (uint8).
const { GRID } = require('./patterns')
const { BLADES, BOXES, CLEAR, CUBE, LIQUID } = require('./blocks')

const STRIDE = 28
const SIDE = 18 // a section and one cell around it
const OUTSIDE = 0xffff // in a column that is not loaded: nothing is drawn against it
const LIQUID_TOP = 14 / 16
const INSET = 1 / 64 / 16 // texels at the edge are not mixed with the neighbouring pattern

// direction, two tangents (a x b = direction), light of the face; mirrored: seen from outside, its axis runs to the left
const FACES = [
  { d: [0, 1, 0], a: [0, 0, 1], b: [1, 0, 0], side: 'top', light: 255, mirrored: false },
  { d: [0, -1, 0], a: [1, 0, 0], b: [0, 0, 1], side: 'bottom', light: 128, mirrored: false },
  { d: [1, 0, 0], a: [0, 1, 0], b: [0, 0, 1], side: 'side', light: 166, mirrored: true },
  { d: [-1, 0, 0], a: [0, 0, 1], b: [0, 1, 0], side: 'side', light: 158, mirrored: false },
  { d: [0, 0, 1], a: [1, 0, 0], b: [0, 1, 0], side: 'side', light: 206, mirrored: false },
  { d: [0, 0, -1], a: [0, 1, 0], b: [1, 0, 0], side: 'side', light: 196, mirrored: true }
]
const OCCLUSION = [0.55, 0.7, 0.86, 1] // of a corner with 3, 2, 1, 0 cubes around it

/** A growing buffer of vertices and indices, used again for every section. */
class Builder {
  constructor () {
    this.bytes = new ArrayBuffer(STRIDE * 4096)
    this._views()
    this.indices = new Uint32Array(6144)
    this.clear()
  }

  _views () {
    this.floats = new Float32Array(this.bytes)
    this.colours = new Uint8Array(this.bytes)
  }

  clear () {
    this.vertices = 0
    this.count = 0
  }

  vertex (x, y, z, u, v, face, light) {
    if ((this.vertices + 1) * STRIDE > this.bytes.byteLength) {
      const larger = new ArrayBuffer(this.bytes.byteLength * 2)
      new Uint8Array(larger).set(this.colours)
      this.bytes = larger
      this._views()
    }
    const f = this.vertices * 7
    this.floats[f] = x
    this.floats[f + 1] = y
    this.floats[f + 2] = z
    this.floats[f + 3] = u
    this.floats[f + 4] = v
    const c = this.vertices * STRIDE + 20
    const { colour, second } = face
    this.colours[c] = colour[0]
    this.colours[c + 1] = colour[1]
    this.colours[c + 2] = colour[2]
    this.colours[c + 3] = light
    this.colours[c + 4] = second[0]
    this.colours[c + 5] = second[1]
    this.colours[c + 6] = second[2]
    this.colours[c + 7] = face.mean
    return this.vertices++
  }

  /** Two triangles over the last four vertices, in the order 0 1 2, 2 1 3; `turned` takes the other diagonal. */
  quad (turned) {
    if (this.count + 6 > this.indices.length) {
      const larger = new Uint32Array(this.indices.length * 2)
      larger.set(this.indices)
      this.indices = larger
    }
    const v = this.vertices - 4
    this.indices.set(turned ? [v, v + 1, v + 3, v, v + 3, v + 2] : [v, v + 1, v + 2, v + 2, v + 1, v + 3], this.count)
    this.count += 6
  }

  /** @returns {{vertices: Uint8Array, indices: Uint32Array}} copies */
  take () {
    return { vertices: this.colours.slice(0, this.vertices * STRIDE), indices: this.indices.slice(0, this.count) }
  }
}

/** Corner 0..3 of a face of a box, as fractions of its tangents. */
const CORNERS = [[0, 0], [1, 0], [0, 1], [1, 1]]

/** Adds one face of a box; `lights` are those of its four corners. u runs level, v down, whatever the face. */
function addFace (builder, face, low, high, look, lights, turned = false) {
  const { d, a } = face
  for (let i = 0; i < 4; i++) {
    const [s, t] = CORNERS[i]
    const p = [0, 1, 2].map(k => {
      if (d[k] !== 0) return d[k] > 0 ? high[k] : low[k]
      return (a[k] !== 0 ? s : t) ? high[k] : low[k]
    })
    const along = d[0] !== 0 ? p[2] - Math.floor(low[2]) : p[0] - Math.floor(low[0])
    const level = look.tile && face.mirrored ? 1 - along : along // a tile may have letters on it
    const down = d[1] !== 0 ? p[2] - Math.floor(low[2]) : 1 - (p[1] - Math.floor(low[1]))
    builder.vertex(p[0], p[1], p[2], texel(look.corner[0], level), texel(look.corner[1], down), look, lights[i])
  }
  builder.quad(turned)
}

function texel (corner, fraction) {
  return corner + INSET + Math.max(0, Math.min(1, fraction)) * (1 / GRID - 2 * INSET)
}

/**
 * Fills the padded neighbourhood of a section.
 * @param {(dx: number, dy: number, dz: number) => Uint16Array | 'air' | 'outside'} decoded of the section and its 26 neighbours
 * @param {Uint16Array} into SIDE^3, index (y * SIDE + z) * SIDE + x
 */
function gather (decoded, into) {
  const from = []
  for (let dy = -1; dy <= 1; dy++) for (let dz = -1; dz <= 1; dz++) for (let dx = -1; dx <= 1; dx++) from.push(decoded(dx, dy, dz))
  let at = 0
  for (let y = -1; y <= 16; y++) {
    const ny = y < 0 ? 0 : y > 15 ? 18 : 9
    for (let z = -1; z <= 16; z++) {
      const nz = ny + (z < 0 ? 0 : z > 15 ? 6 : 3)
      const row = ((y & 15) << 8) | ((z & 15) << 4)
      for (let x = -1; x <= 16; x++) {
        const source = from[nz + (x < 0 ? 0 : x > 15 ? 2 : 1)]
        into[at++] = source === 'air' ? 0 : source === 'outside' ? OUTSIDE : source[row | (x & 15)]
      }
    }
  }
}

const OUTSIDE_LOOK = { kind: CUBE, type: -1 }

/**
 * The triangles of one section, in coordinates from its corner.
 * @param {Uint16Array} cells of `gather`
 * @param {import('./blocks').BlockLooks} looks
 * @param {Builder} builder cleared and filled
 */
function meshSection (cells, looks, builder) {
  builder.clear()
  const at = (x, y, z) => {
    const state = cells[((y + 1) * SIDE + z + 1) * SIDE + x + 1]
    return state === OUTSIDE ? OUTSIDE_LOOK : looks.of(state)
  }
  for (let y = 0; y < 16; y++) {
    for (let z = 0; z < 16; z++) {
      for (let x = 0; x < 16; x++) {
        const state = cells[((y + 1) * SIDE + z + 1) * SIDE + x + 1]
        if (state === 0) continue
        const look = looks.of(state)
        if (look.kind === CUBE || look.kind === CLEAR || look.kind === LIQUID) addCube(builder, at, x, y, z, look)
        else if (look.kind === BLADES) addBlades(builder, x, y, z, look)
        else if (look.kind === BOXES) addBoxes(builder, x, y, z, look)
      }
    }
  }
}

function addCube (builder, at, x, y, z, look) {
  const liquid = look.kind === LIQUID
  const top = liquid && at(x, y + 1, z).type !== look.type ? LIQUID_TOP : 1
  for (const face of FACES) {
    const [dx, dy, dz] = face.d
    const next = at(x + dx, y + dy, z + dz)
    const hidden = next.kind === CUBE && !(liquid && dy > 0)
    if (hidden || (look.kind !== CUBE && next.type === look.type)) continue
    const corners = liquid ? [3, 3, 3, 3] : occlusion(at, x + dx, y + dy, z + dz, face)
    const lights = corners.map(n => Math.round(face.light * OCCLUSION[n]))
    const turned = corners[0] + corners[3] > corners[1] + corners[2]
    addFace(builder, face, [x, y, z], [x + 1, y + top, z + 1], look.faces[face.side], lights, turned)
  }
}

/** For each corner of a face 0..3: how few of the three cubes around it, before the face, are there. */
function occlusion (at, x, y, z, { a, b }) {
  const solid = (i, j) => at(x + a[0] * i + b[0] * j, y + a[1] * i + b[1] * j, z + a[2] * i + b[2] * j).kind === CUBE ? 1 : 0
  const [l, r, d, u] = [solid(-1, 0), solid(1, 0), solid(0, -1), solid(0, 1)]
  const corner = (s, t, i, j) => (s && t ? 0 : 3 - s - t - solid(i, j))
  return [corner(l, d, -1, -1), corner(r, d, 1, -1), corner(l, u, -1, 1), corner(r, u, 1, 1)]
}

function addBoxes (builder, x, y, z, look) {
  for (const [x0, y0, z0, x1, y1, z1] of look.boxes) {
    for (const face of FACES) {
      addFace(builder, face, [x + x0, y + y0, z + z0], [x + x1, y + y1, z + z1], look.faces[face.side], Array(4).fill(face.light))
    }
  }
}

/** Two crossed quads, each seen from both sides. */
function addBlades (builder, x, y, z, look) {
  const [near, far] = [0.15, 0.85]
  const { corner } = look.faces.side
  for (const [x0, z0, x1, z1] of [[near, near, far, far], [far, near, near, far], [far, far, near, near], [near, far, far, near]]) {
    for (const [s, t] of CORNERS) {
      builder.vertex(x + (s ? x1 : x0), y + t, z + (s ? z1 : z0), texel(corner[0], s), texel(corner[1], 1 - t), look.faces.side, 220)
    }
    builder.quad(false)
  }
}

module.exports = { Builder, FACES, INSET, OUTSIDE, SIDE, STRIDE, addFace, gather, meshSection }
