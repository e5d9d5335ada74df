'use strict'
// The texture that the renderer reads. Own patterns alone, or above the tiles of blocks that the user has fetched:
// worldsim bakes those into atlas.rgba and atlas.json (envs/minecraft/textures.py).
//
// Places in it are in units of the own patterns' side, whatever lies below them, so that a mesh of own patterns is the
// same with and without tiles. Between both is a gap of one side: far away a pixel at the edge of a face reads some texels
// beyond it, and the shader must know what it belongs to. A face's tile stands where an own pattern has its first colour.
const fs = require('node:fs')
const path = require('node:path')
const { GRID, TEXELS, drawAtlas } = require('./patterns')

const FORMAT = 1
const TILES_FROM = 2 // v of the first row of tiles
const MOST = 256 // columns, and rows: a vertex has a byte for each
const OWN_SIDE = TEXELS * GRID
const SURFACES = ['top', 'side', 'bottom']

/** @returns the atlas of own patterns: {width, height, data, means, tiles: null} */
function ownAtlas () {
  const { size, data, means } = drawAtlas()
  return { width: size, height: size, data, means, tiles: null }
}

/**
 * Own patterns above, tiles below.
 * @param own of `ownAtlas`
 * @param game {size [width, height], means: number[][], blocks: Record<string, number[]>, data: Uint8Array}
 * @returns {{width: number, height: number, data: Uint8Array, means: object, tiles: Record<string, object>}}
 */
function combine (own, game) {
  const [width, rows] = game.size
  const first = TILES_FROM * OWN_SIDE
  const height = 2 ** Math.ceil(Math.log2(first + rows)) // WebGL's condition for a texture that repeats
  const data = new Uint8Array(width * height * 4)
  for (let y = 0; y < own.height; y++) data.set(own.data.subarray(y * own.width * 4, (y + 1) * own.width * 4), y * width * 4)
  data.set(game.data, first * width * 4)
  const columns = width / TEXELS
  const face = index => {
    const [column, row] = [index % columns, Math.floor(index / columns)]
    return { corner: [column / GRID, TILES_FROM + row / GRID], colour: [column, row, 0], second: game.means[index], mean: 0, tile: true }
  }
  const tiles = Object.create(null) // a block may have any name
  for (const [name, indices] of Object.entries(game.blocks)) tiles[name] = Object.fromEntries(SURFACES.map((key, i) => [key, face(indices[i])]))
  return { width, height, data, means: own.means, tiles }
}

/** Reads what worldsim baked, and checks all that `combine` relies on. */
function readGame (folder) {
  const { format, size, tile, means, blocks } = JSON.parse(fs.readFileSync(path.join(folder, 'atlas.json'), 'utf8'))
  const data = fs.readFileSync(path.join(folder, 'atlas.rgba'))
  const [width, height] = size
  if (format !== FORMAT || tile !== TEXELS || !(width >= OWN_SIDE) || width & (width - 1) || height % TEXELS || Math.max(width, height) > MOST * TEXELS || data.length !== width * height * 4) {
    throw new Error(`the atlas in ${folder} is not as this version bakes it (format ${format}, ${width}x${height}, ${data.length} bytes); run: worldsim doctor minecraft --install --textures`)
  }
  const count = Math.min(means.length, width * height / TEXELS ** 2)
  for (const [name, indices] of Object.entries(blocks)) {
    if (indices.length !== SURFACES.length || !indices.every(i => Number.isInteger(i) && i >= 0 && i < count)) {
      throw new Error(`the atlas in ${folder} gives ${name} tiles that it does not have: ${indices}`)
    }
  }
  return { size, means, blocks, data }
}

module.exports = { OWN_SIDE, TILES_FROM, combine, ownAtlas, readGame }
