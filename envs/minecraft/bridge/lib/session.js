'use strict'
// One world with its agent: what the requests of Python mean.
const { Vec3 } = require('vec3')
const { Agent, cameraPose } = require('./agent')
const { combine, ownAtlas, readGame } = require('./atlas')
const { BlockLooks } = require('./blocks')
const { Refused } = require('./channel')
const { Chunks } = require('./chunks')
const { Creatures, splitName } = require('./creatures')
const { Ground, HEIGHT } = require('./ground')
const { Inventory } = require('./inventory')
const { FLOOR, MIDDLE } = require('./landscape')
const { mix } = require('./random')
const { Renderer } = require('./renderer')
const { VERSION, join, makeBarrier, startServer } = require('./server')

class Session {
  /** @param {import('./clock').Clock} clock installed before anything else was loaded */
  constructor (clock) {
    this.clock = clock
    this.ground = new Ground()
    this.size = [64, 64]
    this.tick = 0
    this.wander = false
  }

  /** {height, width, reach, survival, atlas?}: starts server, agent and renderer; atlas: folder of other tiles. */
  async start ({ height, width, reach, survival, atlas: folder = null }) {
    this.size = [height, width]
    this.survival = survival
    const atlas = folder === null ? ownAtlas() : combine(ownAtlas(), readGame(folder))
    const renderer = new Renderer(atlas)
    const { ground, clock } = this
    const { serv, silent } = await startServer((x, z) => ground.generate(x, z))
    ground.attach(serv)
    ground.choose('flat', 0)
    const { bot, player } = await join(serv, silent, new Vec3(MIDDLE + 0.5, FLOOR, MIDDLE + 0.5))
    this.barrier = makeBarrier(bot, player)
    const looks = new BlockLooks(serv.registry, atlas)
    this.chunks = new Chunks({ ground, bot, player, renderer, looks, reach })
    this.creatures = new Creatures({ serv, bot, player, ground, renderer })
    this.inventory = new Inventory({ serv, player })
    this.agent = new Agent({ bot, player, serv, ground, creatures: this.creatures, inventory: this.inventory, clock, survival })
    Object.assign(this, { serv, bot, player, renderer })
    await this.barrier()
    return [{ version: VERSION, renderer: renderer.name, node: process.version, pid: process.pid }]
  }

  /** {preset, seed, dynamics, creatures, wander}: another world. */
  async reset ({ preset, seed, dynamics, creatures, wander, draw = true }) {
    this._enter(preset, seed)
    const { spawn } = this.ground.landscape
    this.wander = wander
    this.tick = 0
    this.clock.random.state = mix('server', seed)
    this.agent.reset()
    this.bot.clearControlStates()
    this.agent.stand(spawn.x, this.ground.top(spawn.x, spawn.z), spawn.z, spawn.yaw, 0)
    this.agent.select(0)
    this.inventory.fill(this.survival)
    this.creatures.populate(creatures, seed, dynamics, wander)
    await this._settle()
    this.chunks.changed = []
    return draw ? this.look({}) : [{}]
  }

  /** {move [7], yaw, pitch, attack, use, hotbar, draw, sense}: one tick. Degrees, positive right and down. */
  async step (keys) {
    this.chunks.changed = []
    this.agent.move(keys)
    await this.agent.act(keys)
    this.creatures.tick()
    await this.barrier()
    this.tick++
    this.serv.tickCount = this.tick
    this.serv.emit('tick', 0.05, this.tick)
    if (this.chunks.follow()) await this.barrier()
    await this.barrier()
    this._agree()
    return keys.draw ? this.look(keys) : [{ tick: this.tick }]
  }

  /** {pose?, scale?, sense?}: the state, a picture from the eye or from `pose`, and with `sense` depth and ids. */
  look ({ pose, scale = 1, sense = false }) {
    this.chunks.mesh()
    const own = cameraPose(this.agent.eye(), this.agent.yaw, this.agent.pitch)
    const view = pose ?? own
    const [height, width] = this.size
    const things = [...this.chunks.things.values(), ...this.creatures.things()]
    // Copies: the renderer uses its room again for the next picture of that size.
    const pictures = [Buffer.from(this.renderer.draw(height * scale, width * scale, view, things, false))]
    if (sense) pictures.push(Buffer.from(this.renderer.draw(height, width, view, things, true)))
    return [{ ...this._facts(), pose: view }, pictures]
  }

  snapshot () {
    return [{
      state: {
        version: VERSION,
        preset: this.ground.preset,
        seed: this.ground.seed,
        survival: this.survival,
        wander: this.wander,
        tick: this.tick,
        random: this.clock.random.state,
        agent: this.agent.save(),
        items: this.inventory.save(),
        creatures: this.creatures.save(),
        cells: this.ground.changes(),
        changed: this._changes()
      }
    }]
  }

  /** {state, dynamics?}: back to a snapshot, of this world or another. */
  async restore ({ state, dynamics }) {
    if (state.version !== VERSION || state.survival !== this.survival) {
      throw new Refused(`this is a snapshot of Minecraft ${state.version} in ${state.survival ? 'survival' : 'creative'} mode; here is ${VERSION}, ${this.survival ? 'survival' : 'creative'}`)
    }
    if (state.preset !== this.ground.preset || state.seed !== this.ground.seed) this._enter(state.preset, state.seed)
    this._impose(this.ground.difference(state.cells))
    this.agent.load(state.agent)
    this.inventory.load(state.items)
    this.creatures.load(state.creatures)
    this.wander = state.wander
    this.tick = state.tick
    this.clock.random.state = state.random
    if (dynamics !== undefined && dynamics !== null) this.creatures.reseed(dynamics)
    await this._settle()
    this.chunks.changed = state.changed.map(([x, y, z, before, after]) => [{ x, y, z }, before, after])
    return this.look({})
  }

  /** {name, ...fields}: one changed fact. */
  async edit (change) {
    const { creatures, ground } = this
    const edits = {
      RemoveObject: () => creatures.remove(change.object_id),
      MoveObject: () => creatures.move(change.object_id, change.position),
      RecolourObject: () => {
        const { kind, coat } = creatures.row(change.object_id)
        if (!coat) throw new Refused(`creature ${change.object_id} is a ${kind}, which has no colour to change`)
        creatures.become(change.object_id, `${change.colour}_${kind}`)
      },
      ReplaceObject: () => creatures.become(change.object_id, change.kind),
      AddObject: () => creatures.add(...splitName(change.kind), change.position, 0, this.wander, mix('added', this.tick)),
      StopProcess: () => creatures.stop(),
      SetCell: () => {
        const [x, y, z] = change.position
        if (y < 0 || y >= HEIGHT) throw new Refused(`cells have y in 0..${HEIGHT - 1}, got ${y}`)
        this._impose([[x, y, z, ground.stateOf(change.kind)]])
      },
      SetPose: () => this.agent.stand(...change.position, change.yaw, change.pitch)
    }
    if (!edits[change.name]) throw new Refused(`no edit ${change.name}; there are ${Object.keys(edits).join(', ')}`)
    edits[change.name]()
    await this._settle()
    return [{}]
  }

  /** {radius}: the agent's side and the server's compared, around the body. */
  verify ({ radius }) {
    const { x, y, z } = this.bot.entity.position.floored()
    const differ = []
    for (let dy = -radius; dy <= radius; dy++) {
      for (let dz = -radius; dz <= radius; dz++) {
        for (let dx = -radius; dx <= radius; dx++) {
          const cell = new Vec3(x + dx, y + dy, z + dz)
          if (cell.y < 0 || cell.y >= HEIGHT) continue
          if ((this.bot.world.getBlockStateId(cell) ?? 0) !== this.ground.stateAt(cell.x, cell.y, cell.z)) differ.push([cell.x, cell.y, cell.z])
        }
      }
    }
    const { position } = this.bot.entity
    const apart = this.player.position.distanceTo(position)
    return [{ differ, astray: this.creatures.astray(), apart, items: this.inventory.save(), memory: process.memoryUsage().rss }]
  }

  _enter (preset, seed) {
    this.creatures.clear()
    this.chunks.clear()
    this.ground.choose(preset, seed)
  }

  /** Sets blocks on the server, and tells the agent of those that it has. */
  _impose (rows) {
    for (const [x, y, z, state] of rows) {
      this.ground.set(x, y, z, state)
      if (this.chunks.loaded.has(`${x >> 4},${z >> 4}`)) {
        this.player._client.write('block_change', { location: new Vec3(x, y, z), type: state })
      }
    }
  }

  async _settle () {
    this.chunks.follow()
    await this.barrier()
    await this.barrier()
  }

  /** What changed in this step must be the same on both sides. */
  _agree () {
    for (const [{ x, y, z }] of this.chunks.changed) {
      if (this.bot.world.getBlockStateId(new Vec3(x, y, z)) !== this.ground.stateAt(x, y, z)) {
        throw new Error(`client and server disagree on the block at ${x}, ${y}, ${z}`)
      }
    }
  }

  _changes () {
    const cells = new Map()
    for (const [{ x, y, z }, before, after] of this.chunks.changed) {
      const key = `${x},${y},${z}`
      cells.set(key, [x, y, z, cells.get(key)?.[3] ?? before, after])
    }
    return [...cells.values()].filter(([, , , before, after]) => before !== after)
  }

  _facts () {
    const { position: p, velocity: v, onGround } = this.bot.entity
    const name = state => this.ground.nameOf(state)
    return {
      tick: this.tick,
      position: [p.x, p.y, p.z],
      velocity: [v.x, v.y, v.z],
      ground: onGround,
      slot: this.bot.quickBarSlot,
      cells: this._changes().map(([x, y, z, before, after]) => [x, y, z, name(before), name(after)]),
      events: this.agent.events,
      creatures: this.creatures.states()
    }
  }
}

module.exports = { Session }
