'use strict'
// The blocks of the server's world: a landscape, and every block that differs from it. A column that the server forgot
// comes back as it was left.
const { Vec3 } = require('vec3')
const { Refused } = require('./channel')
const { PRESETS } = require('./landscape')

const HEIGHT = 256

function columnKey (x, z) {
  return `${x},${z}`
}

class Ground {
  constructor () {
    this.serv = null
    this.landscape = null
    this.preset = ''
    this.seed = 0
    this.built = new Map() // column -> [[x, y, z, state]]
    this.edits = new Map() // column -> Map("x,y,z" -> {base, now})
  }

  /** Ties it to a running server. */
  attach (serv) {
    this.serv = serv
    this.Chunk = require('prismarine-chunk')(serv.registry)
    serv.overworld.on('blockUpdate', (before, after) => this._note(after.position, before.stateId))
  }

  /** @returns {number} the default state of a block by name */
  stateOf (name) {
    const block = this.serv.registry.blocksByName[String(name).replace(/^minecraft:/, '')]
    if (!block) throw new Refused(`no block of Minecraft ${this.serv.registry.version.minecraftVersion} is called ${name}`)
    return block.defaultState
  }

  nameOf (state) {
    return this.serv.registry.blocksByStateId[state].name
  }

  /** Another world: nothing of the last one is left on the server. */
  choose (preset, seed) {
    if (!PRESETS[preset]) throw new Refused(`no preset ${preset}; there are ${Object.keys(PRESETS).join(', ')}`)
    this.preset = preset
    this.seed = seed
    this.landscape = PRESETS[preset](seed)
    this.edits.clear()
    this.built.clear()
    for (const [key, name] of this.landscape.built) {
      const [x, y, z] = key.split(',').map(Number)
      const column = columnKey(x >> 4, z >> 4)
      if (!this.built.has(column)) this.built.set(column, [])
      this.built.get(column).push([x, y, z, this.stateOf(name)])
    }
    this.serv.overworld.columns = {}
  }

  /** The server's generator of columns. */
  generate (chunkX, chunkZ) {
    const chunk = new this.Chunk()
    const at = new Vec3(0, 0, 0)
    for (at.x = 0; at.x < 16; at.x++) {
      for (at.z = 0; at.z < 16; at.z++) {
        at.y = 0
        for (const [end, name] of this.landscape.strata(chunkX * 16 + at.x, chunkZ * 16 + at.z)) {
          for (const state = this.stateOf(name); at.y < end; at.y++) chunk.setBlockStateId(at, state)
        }
      }
    }
    const key = columnKey(chunkX, chunkZ)
    for (const [x, y, z, state] of this.built.get(key) ?? []) chunk.setBlockStateId(new Vec3(x & 15, y, z & 15), state)
    for (const [place, { now }] of this.edits.get(key) ?? []) {
      const [x, y, z] = place.split(',').map(Number)
      chunk.setBlockStateId(new Vec3(x & 15, y, z & 15), now)
    }
    return chunk
  }

  /** @returns the server's column, made at once if need be */
  column (chunkX, chunkZ) {
    const { overworld } = this.serv
    const key = columnKey(chunkX, chunkZ)
    if (!overworld.columns[key]) overworld.columns[key] = this.generate(chunkX, chunkZ)
    return overworld.columns[key]
  }

  /** @returns {number} the server's state of a cell; air above and below the world */
  stateAt (x, y, z) {
    if (y < 0 || y >= HEIGHT) return 0
    return this.column(x >> 4, z >> 4).getBlockStateId(new Vec3(x & 15, y, z & 15))
  }

  /** Sets a cell on the server's side only. */
  set (x, y, z, state) {
    const before = this.stateAt(x, y, z)
    this.column(x >> 4, z >> 4).setBlockStateId(new Vec3(x & 15, y, z & 15), state)
    this._note({ x, y, z }, before)
  }

  /** @returns {boolean} whether a body cannot enter a cell */
  isSolid (x, y, z) {
    return this.serv.registry.blocksByStateId[this.stateAt(x, y, z)].boundingBox === 'block'
  }

  /** @returns {number | null} y of the floor of the cell nearest to `near` that has ground below and two free cells */
  floor (x, z, near) {
    const [i, k] = [Math.floor(x), Math.floor(z)]
    for (const dy of [0, 1, -1, 2, -2, 3, -3]) {
      const y = Math.floor(near) + dy
      if (this.isSolid(i, y - 1, k) && !this.isSolid(i, y, k) && !this.isSolid(i, y + 1, k) && !this._isWet(i, y, k)) return y
    }
    return null
  }

  /** @returns {number} y above the highest block that holds a body, or above water */
  top (x, z) {
    const [i, k] = [Math.floor(x), Math.floor(z)]
    let y = HEIGHT - 1
    while (y > 0 && !this.isSolid(i, y - 1, k) && !this._isWet(i, y - 1, k)) y--
    return y
  }

  _isWet (x, y, z) {
    return /water|lava/.test(this.nameOf(this.stateAt(x, y, z)))
  }

  _note (position, before) {
    const { x, y, z } = position
    const column = columnKey(x >> 4, z >> 4)
    if (!this.edits.has(column)) this.edits.set(column, new Map())
    const edits = this.edits.get(column)
    const key = `${x},${y},${z}`
    if (!edits.has(key)) edits.set(key, { base: before, now: before })
    edits.get(key).now = this.stateAt(x, y, z)
  }

  /** @returns {number[][]} every cell that differs from the landscape: [x, y, z, state], sorted */
  changes () {
    const rows = []
    for (const edits of this.edits.values()) {
      for (const [key, { base, now }] of edits) if (base !== now) rows.push([...key.split(',').map(Number), now])
    }
    return rows.sort((a, b) => a[0] - b[0] || a[1] - b[1] || a[2] - b[2])
  }

  /** @returns {number[][]} what must be set, [x, y, z, state], so that `changes()` becomes `wanted` */
  difference (wanted) {
    const open = new Map(wanted.map(([x, y, z, state]) => [`${x},${y},${z}`, state]))
    const rows = []
    for (const edits of this.edits.values()) {
      for (const [key, { base, now }] of edits) {
        const target = open.get(key) ?? base
        if (target !== now) rows.push([...key.split(',').map(Number), target])
        open.delete(key)
      }
    }
    for (const [key, state] of open) rows.push([...key.split(',').map(Number), state])
    return rows
  }

  /** Lets the server forget columns far from the agent; they are made again when they are needed. */
  forget (chunkX, chunkZ, reach) {
    const { columns } = this.serv.overworld
    for (const key of Object.keys(columns)) {
      const [x, z] = key.split(',').map(Number)
      if (Math.abs(x - chunkX) > reach || Math.abs(z - chunkZ) > reach) delete columns[key]
    }
  }
}

module.exports = { Ground, HEIGHT }
