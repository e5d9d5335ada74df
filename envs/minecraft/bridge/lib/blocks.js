'use strict'
// How each block state is drawn: as a cube, a see-through cube, a liquid, crossed blades, or the boxes of its shape.
const { paint } = require('./looks')
const { corner } = require('./patterns')

const AIR = 0
const CUBE = 1 // hides what is behind its faces
const CLEAR = 2 // a cube with holes: hides only its own kind
const LIQUID = 3
const BLADES = 4
const BOXES = 5
const CLEAR_NAME = /glass|ice$|leaves/

/** Looks up what is drawn for a state, once. */
class BlockLooks {
  /** @param registry of prismarine-registry; @param atlas of `ownAtlas` or `combine` */
  constructor (registry, { means, tiles }) {
    this.Block = require('prismarine-block')(registry)
    this.means = means
    this.tiles = tiles
    this.known = []
  }

  /** @returns {{kind: number, name: string, boxes: number[][], faces: object}} */
  of (state) {
    return (this.known[state] ??= this._make(state))
  }

  _make (state) {
    const block = this.Block.fromStateId(state, 0)
    const name = block.name
    const shapes = block.shapes ?? []
    const full = shapes.length === 1 && shapes[0].every((v, i) => v === (i < 3 ? 0 : 1))
    let kind = BOXES
    if (/(^|_)air$/.test(name)) kind = AIR
    else if (name === 'water' || name === 'lava') kind = LIQUID
    else if (full) kind = CLEAR_NAME.test(name) ? CLEAR : CUBE
    else if (shapes.length === 0) kind = BLADES
    const faces = this.tiles?.[name] ?? this._own(name)
    return { kind, name, boxes: kind === BOXES ? shapes : [], faces, type: block.type }
  }

  _own (name) {
    return Object.fromEntries(Object.entries(paint(name)).map(([key, surface]) => [key, this._face(surface)]))
  }

  _face ({ pattern, colour, second }) {
    return { corner: corner(pattern), colour, second, mean: this.means[pattern] }
  }
}

module.exports = { AIR, BLADES, BOXES, BlockLooks, CLEAR, CUBE, LIQUID }
