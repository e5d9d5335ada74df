'use strict'
// The texture atlas, drawn here: sixteen grey patterns of 16 x 16 texels in a 4 x 4 grid.
//
// A texel is (detail, weight of the second colour, unused, alpha). Detail 128 leaves the colour as it is.
const { Random, mix } = require('./random')

const TEXELS = 16
const GRID = 4
const NAMES = ['flat', 'grain', 'rubble', 'courses', 'bricks', 'planks', 'weave', 'waves', 'pane', 'leaves', 'fringe', 'rings', 'bark', 'specks', 'blades', 'fur']

const DRAW = {
  flat: () => [128, 0, 255],
  grain: (x, y, r) => [116 + r() * 24, r() < 0.35 ? 255 : 0, 255],
  rubble: (x, y, r, cell) => [108 + 40 * cell(x, y), cell.edge(x, y) ? 255 : 0, 255],
  courses: (x, y, r) => [120 + r() * 14, y % 5 === 4 ? 255 : y % 5 === 0 ? 60 : 0, 255],
  bricks: (x, y, r) => {
    const row = y >> 2
    const mortar = y % 4 === 3 || (x + (row % 2) * 4) % 8 === 7
    return [mortar ? 128 : 112 + r() * 28, mortar ? 255 : 0, 255]
  },
  planks: (x, y, r) => [112 + r() * 24, y % 4 === 3 ? 255 : (x + (y >> 2) * 7) % 16 === 0 ? 200 : 0, 255],
  weave: (x, y, r) => [120 + r() * 10 + ((x + y) % 2) * 8, (x % 4 === 0) !== (y % 4 === 0) ? 110 : 0, 255],
  waves: (x, y, r) => [124 + r() * 8, (x + 2 * Math.round(Math.sin(y / 2.5) * 2)) % 8 < 3 ? 200 : 0, 255],
  pane: (x, y) => {
    const frame = x === 0 || y === 0 || x === TEXELS - 1 || y === TEXELS - 1
    return [128, frame ? 0 : 255, frame || (x - y === 3 && x > 4 && x < 11) ? 255 : 0]
  },
  leaves: (x, y, r) => [104 + r() * 48, r() < 0.45 ? 255 : 0, 255],
  fringe: (x, y, r, cell) => [116 + r() * 24, y < 3 + cell.fringe[x] ? 255 : 0, 255],
  rings: (x, y, r) => {
    const d = Math.max(Math.abs(x - 7.5), Math.abs(y - 7.5))
    return [122 + r() * 10, d > 6.6 ? 255 : Math.floor(d) % 2 ? 120 : 0, 255]
  },
  bark: (x, y, r) => [112 + r() * 20, (x * 5 + (y >> 3) * 3) % 7 < 2 ? 220 : 0, 255],
  specks: (x, y, r, cell) => [116 + r() * 20, cell.specks.has(x * TEXELS + y) ? 255 : 0, 255],
  blades: (x, y, r, cell) => [108 + r() * 36, r() < 0.3 ? 255 : 0, y >= TEXELS - cell.blades[x] ? 255 : 0],
  fur: (x, y, r) => [114 + r() * 26, 0, 255]
}

/** Helpers that need more than one texel: a rough Voronoi diagram, fringe and blade lengths, specks. */
function cells (random) {
  const seeds = Array.from({ length: 9 }, () => [random.next() * TEXELS, random.next() * TEXELS, random.next()])
  const wrapped = (a, b) => Math.min(Math.abs(a - b), TEXELS - Math.abs(a - b))
  const nearest = (x, y) => {
    const sorted = seeds.map(([a, b, v]) => [wrapped(x, a) ** 2 + wrapped(y, b) ** 2, v]).sort((p, q) => p[0] - q[0])
    return sorted
  }
  const cell = (x, y) => nearest(x, y)[0][1]
  cell.edge = (x, y) => {
    const [first, second] = nearest(x, y)
    return Math.sqrt(second[0]) - Math.sqrt(first[0]) < 1.1
  }
  cell.fringe = Array.from({ length: TEXELS }, () => random.integer(0, 2))
  cell.blades = Array.from({ length: TEXELS }, (_, x) => (x % 3 === 1 ? random.integer(8, 15) : random.integer(0, 9)))
  cell.specks = new Set()
  for (let i = 0; i < 7; i++) {
    const [x, y] = [random.integer(1, 13), random.integer(1, 13)]
    for (const [dx, dy] of [[0, 0], [1, 0], [0, 1], [1, 1]]) cell.specks.add((x + dx) * TEXELS + y + dy)
  }
  return cell
}

/** @returns {{size: number, data: Uint8Array, means: Record<string, number>}} RGBA; means: of the second weight */
function drawAtlas () {
  const size = TEXELS * GRID
  const data = new Uint8Array(size * size * 4)
  const means = {}
  NAMES.forEach((name, index) => {
    const random = new Random(mix('pattern', name))
    const cell = cells(random)
    let sum = 0
    for (let y = 0; y < TEXELS; y++) {
      for (let x = 0; x < TEXELS; x++) {
        const [detail, weight, alpha] = DRAW[name](x, y, () => random.next(), cell)
        const at = (((index >> 2) * TEXELS + y) * size + (index % GRID) * TEXELS + x) * 4
        data.set([Math.round(detail), Math.round(weight), 0, alpha], at)
        sum += Math.round(weight)
      }
    }
    means[name] = Math.round(sum / TEXELS ** 2)
  })
  return { size, data, means }
}

/** @returns {[number, number]} the corner of a pattern in the atlas, in units of the atlas */
function corner (name) {
  const index = NAMES.indexOf(name)
  if (index < 0) throw new Error(`no pattern is called ${name}; there are ${NAMES.join(', ')}`)
  return [(index % GRID) / GRID, (index >> 2) / GRID]
}

module.exports = { GRID, NAMES, TEXELS, corner, drawAtlas }
