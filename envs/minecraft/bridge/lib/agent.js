'use strict'
// The body: turns, moves by the game's physics (prismarine-physics), digs and places, one tick at a time.
const { Vec3 } = require('vec3')
const { HOTBAR } = require('./inventory')
const { wrapDegrees } = require('./creatures')

const EYE = 1.62 // metres above the feet; sneaking does not lower it here
const REACH = 5 // metres from the eye
const AGAIN = 5 // ticks between two strokes or two placed blocks while a key is held
const HALF_WIDTH = 0.3
const HEIGHT = 1.8
const CONTROLS = ['forward', 'back', 'left', 'right', 'jump', 'sneak', 'sprint']
const FLAGS = ['onGround', 'isInWater', 'isInLava', 'isInWeb', 'isCollidedHorizontally', 'isCollidedVertically']
const FACE = [[0, -1, 0], [0, 1, 0], [0, 0, -1], [0, 0, 1], [-1, 0, 0], [1, 0, 0]]

class Agent {
  constructor ({ bot, player, serv, ground, creatures, inventory, clock, survival }) {
    Object.assign(this, { bot, player, serv, ground, creatures, inventory, clock, survival })
    this.ticks = 0
    bot.on('physicsTick', () => { this.ticks++ })
    this.reset()
  }

  reset () {
    this.yaw = 0 // degrees, 0 = +z, positive right
    this.pitch = 0 // degrees, positive down
    this.waits = { attack: 0, use: 0 }
    this.dig = null // survival: {cell, ticks}
    this.events = []
  }

  /** Feet at (x, y, z), at rest. */
  stand (x, y, z, yaw, pitch) {
    const { entity } = this.bot
    entity.position.set(x, y, z)
    entity.velocity.set(0, 0, 0)
    for (const flag of FLAGS) entity[flag] = false
    this.bot.jumpTicks = 0
    this.player.position = new Vec3(x, y, z)
    this.yaw = wrapDegrees(yaw)
    this.pitch = Math.max(-90, Math.min(90, pitch))
    this.dig = null
  }

  /** Turns and moves for one tick. @param keys of the request, see `session` */
  move (keys) {
    const { bot } = this
    this.yaw = wrapDegrees(this.yaw + keys.yaw)
    this.pitch = Math.max(-90, Math.min(90, this.pitch + keys.pitch))
    bot.entity.yaw = Math.PI - this.yaw * Math.PI / 180
    bot.entity.pitch = -this.pitch * Math.PI / 180
    CONTROLS.forEach((name, i) => bot.setControlState(name, !!keys.move[i]))
    bot.jumpQueued = false // a key that is down says it all; the queue would be hidden state
    const before = this.ticks
    this.clock.tick()
    if (this.ticks !== before + 1) {
      throw new Error(`one step made ${this.ticks - before} ticks of physics: the packages differ from the lock file, or the agent fell out of the loaded world`)
    }
  }

  /** Does what attack, use and the hotbar keys ask for. */
  async act (keys) {
    this.events = []
    if (keys.hotbar) this.select(keys.hotbar - 1)
    const hold = (name, pressed, deed) => {
      if (!pressed) this.waits[name] = 0
      else if (this.waits[name] > 0) this.waits[name]--
      else {
        this.waits[name] = AGAIN - 1
        return deed()
      }
    }
    if (this.survival) this._dig(keys.attack)
    await hold('attack', keys.attack, () => this._attack())
    await hold('use', keys.use, () => this._place())
  }

  select (slot) {
    if (this.bot.quickBarSlot !== slot) this.bot.setQuickBarSlot(slot)
  }

  eye () {
    const { x, y, z } = this.bot.entity.position
    return [x, y + EYE, z]
  }

  /** @returns {number[]} unit vector of the view */
  way () {
    const [a, b] = [this.yaw * Math.PI / 180, this.pitch * Math.PI / 180]
    return [-Math.sin(a) * Math.cos(b), -Math.sin(b), Math.cos(a) * Math.cos(b)]
  }

  /** What stands in the middle of the frame within reach: a creature, or a block with the face that is seen. */
  aim () {
    const [eye, way] = [this.eye(), this.way()]
    const block = this.bot.world.raycast(new Vec3(...eye), new Vec3(...way), REACH)
    const distance = block ? block.intersect.distanceTo(new Vec3(...eye)) : REACH
    const creature = this.creatures.aim(eye, way, distance)
    return creature ? { creature: creature.id } : { block }
  }

  _attack () {
    const { creature, block } = this.aim()
    if (creature) {
      const row = this.creatures.row(creature)
      const position = [row.x, row.y, row.z]
      this._note(this.creatures.hit(creature), creature, position)
    } else if (block && !this.survival) this._break(block)
  }

  /** Survival: a stroke a tick; the block breaks after the game's own digging time. */
  _dig (pressed) {
    const { block } = pressed ? this.aim() : {}
    if (!block) {
      this.dig = null
      return
    }
    const { x, y, z } = block.position
    const cell = [x, y, z]
    if (!this.dig || this.dig.cell.some((v, i) => v !== cell[i])) this.dig = { cell, ticks: 0 }
    this.dig.ticks++
    const { entity } = this.bot
    const held = this.bot.heldItem?.type ?? null
    const need = block.digTime(held, false, entity.isInWater, !entity.onGround) / 50
    if (!block.diggable || this.dig.ticks < need) return
    this.dig = null
    this._break(block)
    if (block.canHarvest(held)) this._collect(block.name)
  }

  /** What the block drops without a silk touch: itself if it can, and nothing that is rare (saplings, flint). */
  _collect (name) {
    const drops = (this.serv.registry.blockLoot?.[name]?.drops ?? []).filter(d => !d.silkTouch && (d.dropChance ?? 1) > 0.3)
    const drop = drops.find(d => d.item === name) ?? drops[0]
    if (drop) this.inventory.gain(drop.item)
  }

  _break (block) {
    if (!block.diggable) return
    const { x, y, z } = block.position
    this.bot._client.write('block_dig', { status: 0, location: block.position, face: block.face, sequence: 0 })
    this.bot._updateBlockState(block.position, 0) // the server trusts its client to have done so
    this._note('break', 0, [x, y, z], { kind: block.name })
  }

  async _place () {
    const { block } = this.aim()
    const item = this.player.inventory.slots[HOTBAR + this.bot.quickBarSlot]
    if (!block || !item || !this.bot.heldItem || !this.serv.registry.blocksByName[item.name]) return
    const cell = block.position.plus(new Vec3(...FACE[block.face]))
    if (!this._isFree(cell)) return
    await this.bot._genericPlace(block, new Vec3(...FACE[block.face]), { forceLook: 'ignore' })
    if (this.survival) this.inventory.spend(this.bot.quickBarSlot)
    this._note('place', 0, [cell.x, cell.y, cell.z], { kind: item.name })
  }

  _isFree ({ x, y, z }) {
    if (this.ground.isSolid(x, y, z) || y < 1 || y > 254) return false
    const { position } = this.bot.entity
    const body = [position.x - HALF_WIDTH, position.y, position.z - HALF_WIDTH, position.x + HALF_WIDTH, position.y + HEIGHT, position.z + HALF_WIDTH]
    const box = [x, y, z, x + 1, y + 1, z + 1]
    const inBody = body.every((v, i) => (i < 3 ? v < box[i + 3] : v > box[i - 3]))
    return !inBody && !this.creatures.inBox(box)
  }

  _note (kind, id, position, details = {}) {
    this.events.push({ kind, id, position, details })
  }

  save () {
    const { entity } = this.bot
    const { position: p, velocity: v } = entity
    return {
      body: [p.x, p.y, p.z, v.x, v.y, v.z, this.yaw, this.pitch],
      flags: FLAGS.map(flag => (entity[flag] ? 1 : 0)),
      jump: this.bot.jumpTicks,
      slot: this.bot.quickBarSlot,
      waits: [this.waits.attack, this.waits.use],
      dig: this.dig ? [...this.dig.cell, this.dig.ticks] : [],
      events: this.events
    }
  }

  load ({ body, flags, jump, slot, waits, dig, events }) {
    this.bot.clearControlStates()
    this.stand(body[0], body[1], body[2], body[6], body[7])
    this.bot.entity.velocity.set(body[3], body[4], body[5])
    FLAGS.forEach((flag, i) => { this.bot.entity[flag] = !!flags[i] })
    this.bot.jumpTicks = jump
    this.select(slot)
    this.waits = { attack: waits[0], use: waits[1] }
    this.dig = dig.length ? { cell: dig.slice(0, 3), ticks: dig[3] } : null
    this.events = events
  }
}

/** @returns {number[]} world_from_camera, 16 numbers by rows: OpenCV axes in a y-up world; yaw and pitch in degrees */
function cameraPose ([x, y, z], yaw, pitch) {
  const [a, b] = [yaw * Math.PI / 180, pitch * Math.PI / 180]
  const [fx, fy, fz] = [-Math.sin(a) * Math.cos(b), -Math.sin(b), Math.cos(a) * Math.cos(b)]
  const [rx, rz] = [-Math.cos(a), -Math.sin(a)]
  return [rx, fy * rz, fx, x, 0, fz * rx - fx * rz, fy, y, rz, -fy * rx, fz, z, 0, 0, 0, 1]
}

module.exports = { Agent, cameraPose }
