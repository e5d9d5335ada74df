'use strict'
// The worlds: what lies where before anybody changes anything. Pure functions of a preset and a seed.
const { Random, mix } = require('./random')

const FLOOR = 5 // y of the first free cell of the flat presets
const WATERLINE = 20
const COURT = 13 // cells from the middle of the court to its walls
const MIDDLE = 8 // x and z of the middle of every world
const WALL_KINDS = ['bricks', 'oak_planks', 'stone_bricks', 'sandstone', 'cobblestone', 'spruce_planks', 'birch_planks']
const POST_KINDS = ['oak_log', 'mossy_cobblestone', 'bookshelf', 'cyan_terracotta', 'pumpkin', 'hay_block', 'gold_block', 'lapis_block']
const PATCH_KINDS = ['sand', 'coarse_dirt', 'gravel', 'stone', 'snow_block']

/**
 * @typedef {object} Landscape
 * @property {(x: number, z: number) => Layer[]} strata blocks of a column from below: [up to y (exclusive), name]
 * @property {Map<string, string>} built "x,y,z" -> name, over the strata
 * @property {{x: number, z: number, yaw: number}} spawn yaw in degrees, 0 = +z, positive right
 * @property {number} [level] the only height at which creatures stand: not on posts
 * @property {(random: Random) => [number, number]} meadow a place for a creature
 */

/** Smooth noise in -1..1 from hashes on a lattice. */
function noise (seed, x, z) {
  const x0 = Math.floor(x)
  const z0 = Math.floor(z)
  const at = (i, j) => mix(seed, x0 + i, z0 + j) / 2147483648 - 1
  const ease = t => t * t * (3 - 2 * t)
  const [u, v] = [ease(x - x0), ease(z - z0)]
  return (at(0, 0) * (1 - u) + at(1, 0) * u) * (1 - v) + (at(0, 1) * (1 - u) + at(1, 1) * u) * v
}

const flatStrata = () => [[1, 'bedrock'], [FLOOR - 1, 'dirt'], [FLOOR, 'grass_block']]

function flat (seed) {
  const random = new Random(mix('flat', seed))
  return {
    strata: flatStrata,
    built: new Map(),
    spawn: { x: MIDDLE + 0.5, z: MIDDLE + 0.5, yaw: 15 * random.integer(-12, 11) },
    meadow: r => [MIDDLE + 0.5 + (r.next() - 0.5) * 24, MIDDLE + 0.5 + (r.next() - 0.5) * 24]
  }
}

/** A walled court on grass: four walls of different kinds, posts, screens to hide behind, patches of other ground. */
function court (seed) {
  const random = new Random(mix('court', seed))
  const built = new Map()
  const put = (x, y, z, name) => built.set(`${x},${y},${z}`, name)
  const kinds = [...WALL_KINDS]
  for (const [dx, dz] of [[1, 0], [-1, 0], [0, 1], [0, -1]]) {
    const kind = kinds.splice(random.integer(0, kinds.length - 1), 1)[0]
    for (let along = -COURT; along <= COURT; along++) {
      for (let y = 0; y < 3; y++) put(MIDDLE + dx * COURT + (dx ? 0 : along), FLOOR + y, MIDDLE + dz * COURT + (dz ? 0 : along), kind)
    }
  }
  const cell = reach => [MIDDLE + random.integer(-reach, reach), MIDDLE + random.integer(-reach, reach)]
  for (let i = 0; i < 6; i++) {
    const [x, z] = cell(COURT - 4)
    const kind = random.pick(PATCH_KINDS)
    for (let a = 0; a < 3; a++) for (let b = 0; b < 3; b++) put(x + a, FLOOR - 1, z + b, kind)
  }
  const clear = (x, z) => Math.max(Math.abs(x - MIDDLE), Math.abs(z - MIDDLE)) > 2
  for (let i = 0; i < 5; i++) { // screens: three wide, two high
    const [x, z] = cell(COURT - 4)
    const level = random.next() < 0.5
    const kind = random.pick(WALL_KINDS)
    for (let a = -1; a <= 1; a++) {
      const [sx, sz] = level ? [x + a, z] : [x, z + a]
      if (clear(sx, sz)) for (let y = 0; y < 2; y++) put(sx, FLOOR + y, sz, kind)
    }
  }
  for (let i = 0; i < 5; i++) {
    const [x, z] = cell(COURT - 2)
    if (clear(x, z)) for (let y = 0; y < random.integer(1, 3); y++) put(x, FLOOR + y, z, random.pick(POST_KINDS))
  }
  return {
    strata: flatStrata,
    built,
    spawn: { x: MIDDLE + random.integer(-1, 1) + 0.5, z: MIDDLE + random.integer(-1, 1) + 0.5, yaw: 15 * random.integer(-12, 11) },
    level: FLOOR,
    meadow: r => [MIDDLE + r.integer(-7, 7) + 0.5, MIDDLE + r.integer(-7, 7) + 0.5] // near enough to be recognised
  }
}

/** Hills with water and trees: this project's own noise, not the game's terrain. */
function hills (seed) {
  const random = new Random(mix('hills', seed))
  const n = mix('noise', seed)
  const height = (x, z) => Math.round(24 + 7 * noise(n, x / 36, z / 36) + 4 * noise(n + 1, x / 15, z / 15) + 1.2 * noise(n + 2, x / 6, z / 6))
  const strata = (x, z) => {
    const top = height(x, z)
    const shore = top < WATERLINE + 1
    const layers = [[1, 'bedrock'], [top - 3, 'stone'], [top, shore ? 'sand' : 'dirt'], [top + 1, shore ? 'sand' : 'grass_block']]
    if (top < WATERLINE) layers.push([WATERLINE + 1, 'water'])
    else if (!shore && mix('grass', n, x, z) % 12 === 0) layers.push([top + 2, 'grass'])
    return layers
  }
  const built = new Map()
  for (let cx = -8; cx <= 8; cx++) {
    for (let cz = -8; cz <= 8; cz++) plantTree(built, n, cx * 8, cz * 8, height)
  }
  return {
    strata,
    built,
    spawn: { x: MIDDLE + 0.5, z: MIDDLE + 0.5, yaw: 15 * random.integer(-12, 11) },
    meadow: r => [MIDDLE + 0.5 + (r.next() - 0.5) * 28, MIDDLE + 0.5 + (r.next() - 0.5) * 28]
  }
}

/** At most one tree in a square of 8 x 8 cells. */
function plantTree (built, n, x0, z0, height) {
  const random = new Random(mix('tree', n, x0, z0))
  const [x, z, wanted] = [x0 + random.integer(2, 5), z0 + random.integer(2, 5), random.next()]
  const ground = height(x, z)
  if (wanted > 0.4 || ground <= WATERLINE + 1 || Math.abs(x - MIDDLE) + Math.abs(z - MIDDLE) < 4) return
  const tall = random.integer(4, 6)
  for (let y = tall - 2; y <= tall + 1; y++) {
    const reach = y > tall - 1 ? 1 : 2
    for (let dx = -reach; dx <= reach; dx++) {
      for (let dz = -reach; dz <= reach; dz++) {
        if (reach === 2 && Math.abs(dx) + Math.abs(dz) === 4) continue
        built.set(`${x + dx},${ground + 1 + y},${z + dz}`, 'oak_leaves')
      }
    }
  }
  for (let y = 0; y < tall; y++) built.set(`${x},${ground + 1 + y},${z}`, 'oak_log')
}

/** name -> function(seed) -> Landscape */
const PRESETS = { court, flat, hills }

module.exports = { COURT, FLOOR, MIDDLE, PRESETS, WATERLINE, noise }
