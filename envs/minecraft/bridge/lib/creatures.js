'use strict'
// Creatures that the bridge drives on seeded paths. The server's own mobs float and do not walk, so they are held still
// there and moved from here: each is an entity of the protocol, and the agent's client sees it move.
const { Vec3 } = require('vec3')
const { Refused } = require('./channel')
const { DYES, shade } = require('./looks')
const { Builder, FACES, addFace } = require('./meshing')
const { corner } = require('./patterns')
const { Random, mix } = require('./random')

const PINK = [236, 158, 160]
const HIDE = [92, 66, 48]
// kind -> size [width, height] in metres (Minecraft's) and boxes [x0 y0 z0 x1 y1 z1 colour] in sixteenths, front = +z;
// 'coat' stands for the creature's own colour. Plain boxes, made up here.
const KINDS = {
  cow: {
    size: [0.9, 1.4],
    boxes: [[-6, 10, -8, 6, 20, 8, HIDE], [-4, 14, 8, 4, 22, 13, HIDE], [-3, 14, 13, 3, 17, 14, [214, 196, 184]], [-6.1, 13, -3, 6.1, 17, 3, [226, 222, 216]], ...legs(10, 5, 6, 4, shade(HIDE, 0.8))]
  },
  pig: {
    size: [0.9, 0.9],
    boxes: [[-5, 5, -8, 5, 13, 7, PINK], [-4, 6, 7, 4, 14, 13, PINK], [-2, 7, 13, 2, 10, 14, shade(PINK, 0.8)], ...legs(5, 4, 6, 4, shade(PINK, 0.85))]
  },
  sheep: {
    size: [0.9, 1.3],
    coat: 'white',
    boxes: [[-6, 8, -9, 6, 18, 7, 'coat'], [-3, 14, 7, 3, 20, 12, [206, 178, 152]], [-3.5, 17, 6, 3.5, 21, 11, 'coat'], ...legs(8, 4, 6, 4, [186, 160, 138])]
  },
  chicken: {
    size: [0.4, 0.7],
    boxes: [[-3, 4, -4, 3, 9, 3, [238, 238, 236]], [-2, 8, 2, 2, 12, 5, [238, 238, 236]], [-1, 8.5, 5, 1, 10, 7, [236, 160, 40]], [-1, 7, 4.5, 1, 8.5, 5.5, [200, 40, 36]], ...legs(4, 2, 1, 1, [236, 160, 40])]
  }
}
const STRIDE_LENGTH = 0.06 // metres a tick
const TURN_STEP = 12 // degrees a tick
const ROAM = 5 // metres from where it was put
const HEALTH = 4 // strokes
const FLOCK = 4 // the first ones are sheep: what has a colour can change it
const GONE_AFTER = 255 // ids: what fits into a byte of the picture

function legs (high, dx, dz, thick, colour) {
  const half = thick / 2
  return [[-1, -1], [1, -1], [-1, 1], [1, 1]].map(([sx, sz]) => [sx * dx - half, 0, sz * dz - half, sx * dx + half, high, sz * dz + half, colour])
}

/** @returns {[string, string]} kind and coat of a name like "red_sheep" */
function splitName (name) {
  const kind = Object.keys(KINDS).find(k => name === k || name.endsWith(`_${k}`))
  const coat = kind && name !== kind ? name.slice(0, -kind.length - 1) : KINDS[kind]?.coat ?? ''
  if (!kind || (name !== kind && (!KINDS[kind].coat || !DYES[coat]))) {
    throw new Refused(`no creature is called ${name}; there are ${Object.keys(KINDS).join(', ')}, and sheep of the colours ${Object.keys(DYES).join(', ')}: red_sheep`)
  }
  return [kind, coat]
}

function wrapDegrees (a) {
  return ((a + 180) % 360 + 360) % 360 - 180
}

class Creatures {
  constructor ({ serv, bot, player, ground, renderer }) {
    Object.assign(this, { serv, bot, player, ground, renderer })
    this.rows = [] // plain values; row i is instance i + 1
    this.mobs = new Map() // instance -> the server's entity
    this.meshes = new Map() // "kind coat" -> Mesh
  }

  /** Puts `count` creatures of the seed into the landscape. */
  populate (count, seed, dynamicsSeed, wander) {
    this.clear()
    const random = new Random(mix('creatures', seed))
    const { spawn, meadow, level } = this.ground.landscape
    const start = Object.keys(KINDS)
    for (let tries = 0; this.rows.length < count && tries < 40 * count; tries++) {
      const [x, z] = meadow(random)
      const kind = this.rows.length < FLOCK ? 'sheep' : random.pick(start)
      const coat = KINDS[kind].coat ? random.pick(Object.keys(DYES)) : ''
      const y = this.ground.floor(x, z, this.ground.top(x, z))
      const alone = this.rows.every(r => Math.hypot(r.x - x, r.z - z) > 1.5)
      if (y === null || y !== (level ?? y) || !alone || Math.hypot(x - spawn.x, z - spawn.z) < 2.5 || !this._roomy(x, y, z)) continue
      this.add(kind, coat, [x, y, z], 45 * random.integer(-4, 3), wander, dynamicsSeed)
    }
  }

  _roomy (x, y, z) {
    for (const dx of [-0.5, 0.5]) for (const dz of [-0.5, 0.5]) if (this.ground.isSolid(Math.floor(x + dx), y, Math.floor(z + dz))) return false
    return true
  }

  /** @returns {number} the instance id */
  add (kind, coat, [x, y, z], yaw, wander, dynamicsSeed) {
    if (this.rows.length >= GONE_AFTER - 1) throw new Refused(`a world holds at most ${GONE_AFTER - 1} creatures`)
    const id = this.rows.length + 1
    this.rows.push({ kind, coat, exists: true, health: HEALTH, x, y, z, yaw, wander, random: mix('path', dynamicsSeed, id), home: [x, z], goal: null, rest: 0 })
    this._spawn(id)
    return id
  }

  /** @returns the row of an instance that exists */
  row (id) {
    const row = this.rows[id - 1]
    if (!row?.exists) throw new Refused(`there is no creature ${id} now`)
    return row
  }

  remove (id) {
    this.row(id).exists = false
    this._despawn(id)
  }

  move (id, [x, y, z]) {
    const row = this.row(id)
    Object.assign(row, { x, y, z, home: [x, z], goal: null })
    this._show(id)
  }

  /** Another kind or coat at the same place. */
  become (id, name) {
    const row = this.row(id)
    ;[row.kind, row.coat] = splitName(name)
    row.health = HEALTH
    this._despawn(id)
    this._spawn(id)
  }

  /** From here on, other paths. */
  reseed (dynamicsSeed) {
    this.rows.forEach((row, i) => { row.random = mix('path', dynamicsSeed, i + 1) })
  }

  stop () {
    for (const row of this.rows) row.wander = false
  }

  /** One tick: those that wander rest, turn or walk. */
  tick () {
    this.rows.forEach((row, i) => {
      if (row.exists && row.wander && this._walk(row)) this._show(i + 1)
    })
  }

  _walk (row) {
    const random = new Random(row.random)
    try {
      if (row.rest > 0) {
        row.rest--
        return false
      }
      if (row.goal === null) {
        const [angle, far] = [random.next() * 2 * Math.PI, 1 + random.next() * (ROAM - 1)]
        row.goal = [row.home[0] + far * Math.cos(angle), row.home[1] + far * Math.sin(angle)]
      }
      const [dx, dz] = [row.goal[0] - row.x, row.goal[1] - row.z]
      const left = Math.hypot(dx, dz)
      const turn = wrapDegrees(Math.atan2(-dx, dz) * 180 / Math.PI - row.yaw)
      row.yaw = wrapDegrees(row.yaw + Math.max(-TURN_STEP, Math.min(TURN_STEP, turn)))
      if (Math.abs(turn) > 30) return true
      const ahead = [row.x + dx / left * STRIDE_LENGTH, row.z + dz / left * STRIDE_LENGTH]
      const y = left < STRIDE_LENGTH ? null : this._step(row, ahead, [dx / left, dz / left])
      if (y === null) {
        row.goal = null
        row.rest = random.integer(10, 50)
        return true
      }
      Object.assign(row, { x: ahead[0], y, z: ahead[1] })
      return true
    } finally {
      row.random = random.state
    }
  }

  /** The height of the next step, or null where the way ends: a wall, an edge, water, another creature. */
  _step (row, [x, z], [ux, uz]) {
    const radius = KINDS[row.kind].size[0] / 2
    const front = this.ground.floor(x + ux * radius, z + uz * radius, row.y)
    const y = this.ground.floor(x, z, row.y)
    if (front === null || y === null || Math.abs(front - row.y) > 1 || Math.abs(y - row.y) > 1) return null
    const met = this.rows.some(o => o !== row && o.exists && Math.hypot(o.x - x, o.z - z) < radius + KINDS[o.kind].size[0] / 2 && Math.hypot(o.x - x, o.z - z) < Math.hypot(o.x - row.x, o.z - row.z))
    return met ? null : y
  }

  /** The nearest creature on a ray. @returns {{id: number, distance: number} | null} */
  aim (eye, way, reach) {
    let best = null
    this.rows.forEach((row, i) => {
      if (!row.exists) return
      const distance = throughBox(eye, way, boxOf(row))
      if (distance !== null && distance <= reach && (best === null || distance < best.distance)) best = { id: i + 1, distance }
    })
    return best
  }

  /** @returns {boolean} whether any creature is in a box [x0 y0 z0 x1 y1 z1] */
  inBox (box) {
    return this.rows.some(row => row.exists && boxOf(row).every((v, i) => (i < 3 ? v < box[i + 3] : v > box[i - 3])))
  }

  /** A stroke. @returns {'hit' | 'defeat'} */
  hit (id) {
    const row = this.row(id)
    row.health--
    if (row.health > 0) return 'hit'
    this.remove(id)
    return 'defeat'
  }

  /** What the renderer draws. */
  things () {
    return this.rows.flatMap((row, i) => row.exists
      ? [{ mesh: this._mesh(row), origin: [row.x, row.y, row.z], yaw: -row.yaw * Math.PI / 180 || 1e-9, instance: i + 1 }]
      : [])
  }

  /** For the truth: one row an instance. */
  states () {
    return this.rows.map((row, i) => {
      const [width, height] = KINDS[row.kind].size
      return { id: i + 1, kind: row.coat ? `${row.coat}_${row.kind}` : row.kind, position: [row.x, row.y + height / 2, row.z], size: [width, height, width], exists: row.exists, colour: row.coat, yaw: row.yaw, health: row.health }
    })
  }

  save () {
    return this.rows.map(row => ({ ...row, home: [...row.home], goal: row.goal && [...row.goal] }))
  }

  load (rows) {
    this.clear()
    this.rows = rows.map(row => ({ ...row, home: [...row.home], goal: row.goal && [...row.goal] }))
    this.rows.forEach((row, i) => { if (row.exists) this._spawn(i + 1) })
  }

  clear () {
    for (const id of [...this.mobs.keys()]) this._despawn(id)
    this.rows = []
  }

  /** Ids whose place in the agent's client is not where it should be: for the self-check. */
  astray () {
    return [...this.mobs].filter(([id, mob]) => {
      const seen = this.bot.entities[mob.id]
      const row = this.rows[id - 1]
      return !seen || seen.position.x !== row.x || seen.position.y !== row.y || seen.position.z !== row.z
    }).map(([id]) => id)
  }

  _spawn (id) {
    const row = this.rows[id - 1]
    const type = this.serv.registry.entitiesByName[row.kind].id
    const mob = this.serv.spawnMob(type, this.serv.overworld, new Vec3(row.x, row.y, row.z), { velocity: new Vec3(0, 0, 0) })
    mob.size = null // the server then leaves its physics alone
    this.mobs.set(id, mob)
    this._show(id)
  }

  _despawn (id) {
    const mob = this.mobs.get(id)
    if (!mob) return
    this.player._client.write('entity_destroy', { entityIds: [mob.id] })
    delete this.serv.entities[mob.id]
    this.mobs.delete(id)
  }

  _show (id) {
    const mob = this.mobs.get(id)
    const { x, y, z, yaw } = this.rows[id - 1]
    mob.position = new Vec3(x, y, z)
    this.player._client.write('entity_teleport', { entityId: mob.id, x, y, z, yaw: Math.round(yaw * 256 / 360) << 24 >> 24, pitch: 0, onGround: true })
  }

  _mesh ({ kind, coat }) {
    const key = `${kind} ${coat}`
    if (!this.meshes.has(key)) this.meshes.set(key, this.renderer.mesh(build(kind, coat), [-1, 0, -1, 1, 2, 1]))
    return this.meshes.get(key)
  }
}

function build (kind, coat) {
  const builder = new Builder()
  for (const [x0, y0, z0, x1, y1, z1, paint] of KINDS[kind].boxes) {
    const colour = paint === 'coat' ? DYES[coat] : paint
    const look = { corner: corner('fur'), colour, second: colour, mean: 0 }
    for (const face of FACES) {
      addFace(builder, face, [x0, y0, z0].map(v => v / 16), [x1, y1, z1].map(v => v / 16), look, Array(4).fill(Math.min(255, face.light + 16)))
    }
  }
  return builder.take()
}

function boxOf ({ kind, x, y, z }) {
  const [width, height] = KINDS[kind].size
  return [x - width / 2, y, z - width / 2, x + width / 2, y + height, z + width / 2]
}

/** @returns {number | null} where a ray enters a box, metres */
function throughBox (eye, way, box) {
  let [near, far] = [0, Infinity]
  for (let i = 0; i < 3; i++) {
    if (Math.abs(way[i]) < 1e-12) {
      if (eye[i] < box[i] || eye[i] > box[i + 3]) return null
      continue
    }
    const [a, b] = [(box[i] - eye[i]) / way[i], (box[i + 3] - eye[i]) / way[i]]
    near = Math.max(near, Math.min(a, b))
    far = Math.min(far, Math.max(a, b))
  }
  return near <= far ? near : null
}

module.exports = { Creatures, KINDS, splitName, throughBox, wrapDegrees }
