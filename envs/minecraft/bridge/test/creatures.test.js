'use strict'
const { test } = require('node:test')
const assert = require('node:assert')

// vec3 is the only package that these modules load at once; without the npm tree a stand-in will do.
const Module = require('module')
const load = Module._load
Module._load = function (name, ...rest) {
  if (name !== 'vec3') return load.call(this, name, ...rest)
  try {
    return load.call(this, name, ...rest)
  } catch {
    return { Vec3: class { constructor (x, y, z) { Object.assign(this, { x, y, z }) } } }
  }
}
const { Creatures, splitName, throughBox, wrapDegrees } = require('../lib/creatures')
const { cameraPose } = require('../lib/agent')

/** A plain at height 5 with a wall at x = 4, and a server that only counts. */
function field () {
  let id = 100
  const sent = []
  const serv = { registry: { entitiesByName: { sheep: { id: 1 }, cow: { id: 2 } } }, overworld: {}, entities: {}, spawnMob: () => ({ id: ++id, size: 1 }) }
  const ground = { floor: x => (Math.floor(x) === 4 ? null : 5) }
  const player = { _client: { write: (name, packet) => sent.push([name, packet]) } }
  return { creatures: new Creatures({ serv, bot: { entities: {} }, player, ground, renderer: null }), sent }
}

test('paths come from the seed, and a saved state goes on in the same way', () => {
  const [a, b] = [field().creatures, field().creatures]
  for (const creatures of [a, b]) creatures.add('sheep', 'red', [0, 5, 0], 0, true, 9)
  for (let i = 0; i < 200; i++) a.tick()
  const kept = a.save()
  assert.notDeepStrictEqual([kept[0].x, kept[0].z], [0, 0])
  b.load(kept)
  for (let i = 0; i < 200; i++) { a.tick(); b.tick() }
  assert.deepStrictEqual(a.save(), b.save())
  a.load(kept)
  a.reseed(77)
  for (let i = 0; i < 200; i++) a.tick()
  assert.notDeepStrictEqual(a.save(), b.save())
})

test('they stay near home, before walls, and are told to the client', () => {
  const { creatures, sent } = field()
  creatures.add('sheep', 'red', [2, 5, 0], 0, true, 3)
  for (let i = 0; i < 3000; i++) {
    creatures.tick()
    const { x, z } = creatures.rows[0]
    assert.ok(Math.hypot(x - 2, z) <= 5.1 && x < 4)
  }
  const { x, y, z } = creatures.rows[0]
  const [name, packet] = sent.at(-1)
  assert.deepStrictEqual([name, packet.x, packet.y, packet.z], ['entity_teleport', x, y, z])
})

test('strokes end a creature; what is gone can be neither hit nor moved', () => {
  const { creatures } = field()
  const id = creatures.add('cow', '', [0, 5, 3], 0, false, 0)
  assert.deepStrictEqual([1, 2, 3, 4].map(() => creatures.hit(id)), ['hit', 'hit', 'hit', 'defeat'])
  assert.throws(() => creatures.hit(id), /no creature 1 now/)
  assert.throws(() => creatures.move(id, [0, 5, 0]), /no creature/)
  assert.strictEqual(creatures.states()[0].exists, false)
})

test('aim finds the nearest on the ray', () => {
  const { creatures } = field()
  creatures.add('cow', '', [0, 5, 4], 0, false, 0)
  creatures.add('cow', '', [0, 5, 2], 0, false, 0)
  const hit = creatures.aim([0, 5.5, 0], [0, 0, 1], 5)
  assert.strictEqual(hit.id, 2)
  assert.ok(Math.abs(hit.distance - 1.55) < 1e-12)
  assert.strictEqual(creatures.aim([0, 5.5, 0], [0, 0, -1], 5), null)
  assert.strictEqual(throughBox([0, 0, 0], [1, 0, 0], [2, 1, -1, 3, 2, 1]), null)
})

test('names are kinds with an optional colour', () => {
  assert.deepStrictEqual(splitName('light_blue_sheep'), ['sheep', 'light_blue'])
  assert.deepStrictEqual(splitName('sheep'), ['sheep', 'white'])
  assert.deepStrictEqual(splitName('cow'), ['cow', ''])
  for (const bad of ['dragon', 'red_cow', 'mauve_sheep']) assert.throws(() => splitName(bad), /no creature is called/)
})

test('the camera is a rotation in OpenCV axes', () => {
  const m = cameraPose([1, 2, 3], 0, 0)
  assert.deepStrictEqual(m.map(v => v + 0), [-1, 0, 0, 1, 0, -1, 0, 2, 0, 0, 1, 3, 0, 0, 0, 1].map(v => v + 0))
  const down = cameraPose([0, 0, 0], 90, 30)
  assert.ok(Math.abs(down[2] + Math.cos(Math.PI / 6)) < 1e-12 && Math.abs(down[6] + 0.5) < 1e-12)
  assert.strictEqual(wrapDegrees(190), -170)
})
