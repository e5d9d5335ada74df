'use strict'
const { after, test } = require('node:test')
const assert = require('node:assert')
const fs = require('node:fs')
const os = require('node:os')
const path = require('node:path')
const { OWN_SIDE, TILES_FROM, combine, ownAtlas, readGame } = require('../lib/atlas')
const { Builder, FACES, addFace } = require('../lib/meshing')
const { GRID, TEXELS, corner } = require('../lib/patterns')

const COLUMNS = 8
const COLOURS = [[200, 10, 20], [30, 210, 40], [50, 60, 220], ...Array.from({ length: 7 }, (_, i) => [i, i, i])]

/** Ten tiles of one colour each, in rows of eight. */
function game () {
  const size = [COLUMNS * TEXELS, 2 * TEXELS]
  const data = new Uint8Array(size[0] * size[1] * 4)
  COLOURS.forEach((colour, index) => {
    for (let y = 0; y < TEXELS; y++) {
      for (let x = 0; x < TEXELS; x++) {
        data.set([...colour, 255], ((Math.floor(index / COLUMNS) * TEXELS + y) * size[0] + index % COLUMNS * TEXELS + x) * 4)
      }
    }
  })
  return { size, means: COLOURS, blocks: { grass_block: [0, 1, 2], stone: [9, 9, 9], constructor: [3, 4, 5] }, data }
}

/** The texel that the shader reads at a place. */
function read ({ width, height, data }, u, v) {
  const [x, y] = [Math.floor(u * OWN_SIDE / width * width), Math.floor(v * OWN_SIDE / height * height)]
  return Array.from(data.subarray((y * width + x) * 4, (y * width + x) * 4 + 4))
}

function folder (about, bytes) {
  const made = fs.mkdtempSync(path.join(os.tmpdir(), 'atlas-'))
  after(() => fs.rmSync(made, { recursive: true }))
  fs.writeFileSync(path.join(made, 'atlas.json'), JSON.stringify(about))
  fs.writeFileSync(path.join(made, 'atlas.rgba'), bytes)
  return made
}

test('own patterns lie where they lay, tiles below them, and the sides are powers of two', () => {
  const own = ownAtlas()
  const both = combine(own, game())
  assert.strictEqual(own.tiles, null)
  for (const side of [both.width, both.height]) assert.strictEqual(side & (side - 1), 0)
  for (const name of ['flat', 'pane', 'fur', 'blades']) {
    const [u, v] = corner(name)
    for (let i = 0; i < TEXELS; i++) {
      const at = [u + (i + 0.5) / OWN_SIDE, v + (TEXELS - i - 0.5) / OWN_SIDE]
      assert.deepStrictEqual(read(both, ...at), read(own, ...at), name)
    }
  }
  assert.deepStrictEqual(both.means, own.means)
})

test('each surface of a block finds its own colour, and only blocks with tiles have any', () => {
  const both = combine(ownAtlas(), game())
  const middle = ({ corner: [u, v] }) => read(both, u + 0.5 / GRID, v + 0.5 / GRID)
  const { top, side, bottom } = both.tiles.grass_block
  assert.deepStrictEqual([top, side, bottom].map(middle), COLOURS.slice(0, 3).map(c => [...c, 255]))
  assert.deepStrictEqual(middle(both.tiles.stone.side), [6, 6, 6, 255])
  assert.deepStrictEqual(top.second, COLOURS[0])
  for (const { corner: at, colour: [column, row] } of [top, side, both.tiles.stone.top]) {
    assert.deepStrictEqual(at, [column / GRID, TILES_FROM + row / GRID]) // what the shader makes of the colour
  }
  assert.deepStrictEqual(middle(both.tiles.constructor.top), [...COLOURS[3], 255])
  assert.strictEqual(both.tiles.toString, undefined)
  assert.strictEqual(both.tiles.dirt, undefined)
})

test('all corners of a tile stay inside it, and seen from outside it runs to the right on every side', () => {
  const look = combine(ownAtlas(), game()).tiles.stone.side
  for (const face of FACES.filter(f => f.side === 'side')) {
    const builder = new Builder()
    addFace(builder, face, [3, 4, 5], [4, 5, 6], look, [255, 255, 255, 255])
    const floats = new Float32Array(builder.take().vertices.buffer)
    const right = [face.d[2], 0, -face.d[0]] // up x outwards: to the right of who looks at the face
    for (let i = 0; i < 4; i++) {
      const [x, y, z, u, v] = floats.subarray(i * 7, i * 7 + 5)
      const [du, dv] = [(u - look.corner[0]) * GRID, (v - look.corner[1]) * GRID]
      assert.ok(du > 0 && du < 1 && dv > 0 && dv < 1)
      const across = (x - 3.5) * right[0] + (z - 5.5) * right[2]
      assert.strictEqual(du > 0.5, across > 0, `${face.d}`)
      assert.strictEqual(dv > 0.5, y < 4.5)
    }
  }
})

test('an own pattern is laid on as before, not mirrored', () => {
  const builder = new Builder()
  const look = { corner: [0, 0], colour: [1, 2, 3], second: [1, 2, 3], mean: 0 }
  addFace(builder, FACES[2], [0, 0, 0], [1, 1, 1], look, [255, 255, 255, 255])
  const floats = new Float32Array(builder.take().vertices.buffer)
  for (let i = 0; i < 4; i++) assert.strictEqual(floats[i * 7 + 3] > 0.5 / GRID, floats[i * 7 + 2] > 0.5)
})

test('what worldsim bakes is read back, and anything else is refused', () => {
  const { size, means, blocks, data } = game()
  const about = { format: 1, size, tile: TEXELS, means, blocks }
  const found = readGame(folder(about, data))
  assert.deepStrictEqual([found.size, found.means, found.blocks], [size, means, blocks])
  assert.ok(found.data.equals(data))
  for (const broken of [{ format: 2 }, { tile: 32 }, { size: [size[0], size[1] + 16] }, { size: [120, 34] }, { size: [8192, 1] }]) {
    assert.throws(() => readGame(folder({ ...about, ...broken }, data)), /--install --textures/)
  }
  for (const indices of [[0, 1], [0, 1, 99], [0, 1, -1], [0, 1, 0.5]]) {
    assert.throws(() => readGame(folder({ ...about, blocks: { stone: indices } }, data)), /stone tiles that it does not have/)
  }
  assert.throws(() => readGame(folder(about, data.subarray(4))), /--install --textures/)
})
