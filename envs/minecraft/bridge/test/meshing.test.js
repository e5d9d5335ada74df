'use strict'
const { test } = require('node:test')
const assert = require('node:assert')
const { AIR, BLADES, CLEAR, CUBE, LIQUID } = require('../lib/blocks')
const { Builder, OUTSIDE, SIDE, STRIDE, gather, meshSection } = require('../lib/meshing')

const face = { corner: [0, 0], colour: [200, 100, 50], second: [0, 0, 0], mean: 0 }
const faces = { top: face, side: face, bottom: face }
const KINDS = [AIR, CUBE, CLEAR, LIQUID, BLADES] // by state
const looks = { of: state => ({ kind: KINDS[state], type: state, boxes: [], faces }) }

function mesh (blocks) {
  const cells = new Uint16Array(SIDE ** 3)
  for (const [x, y, z, state] of blocks) cells[((y + 1) * SIDE + z + 1) * SIDE + x + 1] = state
  const builder = new Builder()
  meshSection(cells, looks, builder)
  return builder
}

/** (cross product of the first two edges) of every triangle, and its corners. */
function triangles (builder) {
  const { vertices, indices } = builder.take()
  const floats = new Float32Array(vertices.buffer)
  const at = i => Array.from(floats.subarray(i * STRIDE / 4, i * STRIDE / 4 + 3))
  const out = []
  for (let i = 0; i < indices.length; i += 3) {
    const [p, q, r] = [at(indices[i]), at(indices[i + 1]), at(indices[i + 2])]
    const [u, v] = [q.map((c, k) => c - p[k]), r.map((c, k) => c - p[k])]
    out.push({ corners: [p, q, r], normal: [u[1] * v[2] - u[2] * v[1], u[2] * v[0] - u[0] * v[2], u[0] * v[1] - u[1] * v[0]] })
  }
  return out
}

test('one cube has six faces that look outwards, of total area six', () => {
  const all = triangles(mesh([[5, 6, 7, 1]]))
  assert.strictEqual(all.length, 12)
  let area = 0
  for (const { corners, normal } of all) {
    const middle = [0, 1, 2].map(k => (corners[0][k] + corners[1][k] + corners[2][k]) / 3 - [5.5, 6.5, 7.5][k])
    assert.ok(middle.reduce((sum, v, k) => sum + v * normal[k], 0) > 0, 'a face looks inwards')
    area += Math.hypot(...normal) / 2
  }
  assert.ok(Math.abs(area - 6) < 1e-6)
})

test('faces between cubes are hidden, between glass of one kind too, between glass and stone on the glass side', () => {
  assert.strictEqual(triangles(mesh([[5, 6, 7, 1], [6, 6, 7, 1]])).length, 20)
  assert.strictEqual(triangles(mesh([[5, 6, 7, 2], [6, 6, 7, 2]])).length, 20)
  assert.strictEqual(triangles(mesh([[5, 6, 7, 1], [6, 6, 7, 2]])).length, 22)
})

test('nothing is drawn against what is not loaded', () => {
  const cells = new Uint16Array(SIDE ** 3)
  for (let y = 0; y < SIDE; y++) for (let z = 0; z < SIDE; z++) for (let x = 0; x < SIDE; x++) if ([x, y, z].some(v => v === 0)) cells[(y * SIDE + z) * SIDE + x] = OUTSIDE
  cells[(SIDE + 1) * SIDE + 1] = 1 // the cell in the corner
  const builder = new Builder()
  meshSection(cells, looks, builder)
  assert.strictEqual(triangles(builder).length, 6)
})

test('a corner beside a cube is darker than one in the open', () => {
  const { vertices } = mesh([[5, 5, 5, 1], [6, 6, 5, 1]]).take()
  const lights = []
  for (let v = 0; v < vertices.length / STRIDE; v++) {
    const f = new Float32Array(vertices.buffer, v * STRIDE, 3)
    if (f[1] === 6 && f[0] <= 6 && vertices[v * STRIDE + 23] >= 100) lights.push([f[0], vertices[v * STRIDE + 23]])
  }
  const top = lights.filter(([, light]) => light !== 166 && light !== 158)
  assert.ok(Math.min(...top.filter(([x]) => x === 6).map(([, l]) => l)) < Math.max(...top.filter(([x]) => x === 5).map(([, l]) => l)))
})

test('blades are four quads, water is lower than its cell', () => {
  assert.strictEqual(triangles(mesh([[1, 1, 1, 4]])).length, 8)
  const tops = triangles(mesh([[1, 1, 1, 3]])).flatMap(t => t.corners.map(c => c[1]))
  assert.strictEqual(Math.max(...tops), 1 + 14 / 16)
})

test('gathering takes each cell from the right neighbour', () => {
  const into = new Uint16Array(SIDE ** 3)
  const code = (dx, dy, dz) => 1 + (dx + 1) + 3 * (dz + 1) + 9 * (dy + 1)
  gather((dx, dy, dz) => (dy > 0 ? 'air' : dx < 0 ? 'outside' : new Uint16Array(4096).fill(code(dx, dy, dz))), into)
  const at = (x, y, z) => into[((y + 1) * SIDE + z + 1) * SIDE + x + 1]
  assert.strictEqual(at(0, 0, 0), code(0, 0, 0))
  assert.strictEqual(at(16, 0, 0), code(1, 0, 0))
  assert.strictEqual(at(3, -1, 16), code(0, -1, 1))
  assert.strictEqual(at(3, 16, 3), 0)
  assert.strictEqual(at(-1, 3, 3), OUTSIDE)
})
