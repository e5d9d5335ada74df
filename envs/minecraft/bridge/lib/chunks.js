'use strict'
// Which columns the agent has, and their meshes: a pure function of where it stands, without timers.
const { Builder, SIDE, gather, meshSection } = require('./meshing')
const nbt = require('prismarine-nbt')

const SECTIONS = 16
const SPARE = 4 // columns beyond the agent's view that the server keeps

class Chunks {
  /**
   * @param {number} reach columns seen in every direction
   * @param {import('./blocks').BlockLooks} looks
   */
  constructor ({ ground, bot, player, renderer, looks, reach }) {
    Object.assign(this, { ground, bot, player, renderer, looks, reach })
    this.builder = new Builder()
    this.padded = new Uint16Array(SIDE ** 3)
    this.loaded = new Set()
    this.centre = null
    this.decoded = new Map() // "x,y,z" of a section -> Uint16Array(4096)
    this.dirty = new Set()
    this.things = new Map() // "x,y,z" of a section -> what the renderer draws
    this.changed = [] // [position, state before, state after] on the agent's side
    bot.world.on('blockUpdate', (before, after) => {
      this.changed.push([after.position.clone(), before.stateId, after.stateId])
      this._touch(after.position)
    })
  }

  /** Sends the columns around the agent that it lacks, and takes away the others. A barrier must follow. */
  follow () {
    const { x, z } = this.bot.entity.position
    const [cx, cz] = [Math.floor(x) >> 4, Math.floor(z) >> 4]
    if (this.centre !== null && this.centre[0] === cx && this.centre[1] === cz) return false
    this.centre = [cx, cz]
    const wanted = new Set()
    for (let dx = -this.reach; dx <= this.reach; dx++) for (let dz = -this.reach; dz <= this.reach; dz++) wanted.add(`${cx + dx},${cz + dz}`)
    for (const key of [...this.loaded]) if (!wanted.has(key)) this._unload(key)
    for (const key of wanted) if (!this.loaded.has(key)) this._load(key)
    this.ground.forget(cx, cz, this.reach + SPARE)
    return true
  }

  /** Takes everything away, as before another world. */
  clear () {
    for (const key of [...this.loaded]) this._unload(key)
    this.centre = null
  }

  _load (key) {
    const [x, z] = key.split(',').map(Number)
    const column = this.ground.column(x, z)
    this.player._client.write('map_chunk', {
      x,
      z,
      groundUp: true,
      bitMap: column.getMask(),
      biomes: column.dumpBiomes(),
      ignoreOldData: true,
      heightmaps: nbt.comp({ MOTION_BLOCKING: nbt.longArray(new Array(36).fill([0, 0])) }),
      chunkData: column.dump(),
      blockEntities: []
    })
    this.player.loadedChunks[key] = 1
    this.loaded.add(key)
    this._touchColumn(x, z)
  }

  _unload (key) {
    const [x, z] = key.split(',').map(Number)
    this.player._client.write('unload_chunk', { chunkX: x, chunkZ: z })
    delete this.player.loadedChunks[key]
    this.loaded.delete(key)
    for (let y = 0; y < SECTIONS; y++) this.decoded.delete(`${x},${y},${z}`)
    this._touchColumn(x, z)
  }

  /** A column came or went: the faces of its neighbours against it change too. */
  _touchColumn (x, z) {
    for (let dx = -1; dx <= 1; dx++) for (let dz = -1; dz <= 1; dz++) for (let y = 0; y < SECTIONS; y++) this.dirty.add(`${x + dx},${y},${z + dz}`)
  }

  /** A block changed: all sections within one cell, for the light in corners reaches that far. */
  _touch ({ x, y, z }) {
    this.decoded.delete(`${x >> 4},${y >> 4},${z >> 4}`)
    for (let dx = -1; dx <= 1; dx++) {
      for (let dy = -1; dy <= 1; dy++) {
        for (let dz = -1; dz <= 1; dz++) this.dirty.add(`${(x + dx) >> 4},${(y + dy) >> 4},${(z + dz) >> 4}`)
      }
    }
  }

  /** Draws anew what changed. @returns {number} sections that were meshed */
  mesh () {
    let count = 0
    for (const key of this.dirty) {
      const [x, y, z] = key.split(',').map(Number)
      this.things.get(key)?.mesh.free()
      this.things.delete(key)
      if (y < 0 || y >= SECTIONS || !this.loaded.has(`${x},${z}`) || this._section(x, y, z) === 'air') continue
      gather((dx, dy, dz) => this._section(x + dx, y + dy, z + dz), this.padded)
      meshSection(this.padded, this.looks, this.builder)
      count++
      if (this.builder.count === 0) continue
      const mesh = this.renderer.mesh(this.builder.take(), [0, 0, 0, 16, 16, 16])
      this.things.set(key, { mesh, origin: [x * 16, y * 16, z * 16], yaw: 0, instance: 0 })
    }
    this.dirty.clear()
    return count
  }

  /** @returns {Uint16Array | 'air' | 'outside'} the states of a section, index y << 8 | z << 4 | x */
  _section (x, y, z) {
    if (!this.loaded.has(`${x},${z}`) || y < 0) return 'outside'
    if (y >= SECTIONS) return 'air'
    const key = `${x},${y},${z}`
    const known = this.decoded.get(key)
    if (known) return known
    const section = this.bot.world.getColumn(x, z).sections[y]
    let states = 'air'
    if (section && section.solidBlockCount > 0) {
      states = new Uint16Array(4096)
      for (let i = 0; i < 4096; i++) {
        const value = section.data.get(i)
        states[i] = section.palette === null ? value : section.palette[value]
      }
    }
    this.decoded.set(key, states)
    return states
  }
}

module.exports = { Chunks }
