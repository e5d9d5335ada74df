'use strict'
const { test } = require('node:test')
const assert = require('node:assert')
const { FLOOR, PRESETS, WATERLINE } = require('../lib/landscape')

for (const [name, make] of Object.entries(PRESETS)) {
  test(`${name}: the seed decides, nothing else`, () => {
    const [a, b, c] = [make(4), make(4), make(5)]
    assert.deepStrictEqual([...a.built], [...b.built])
    assert.deepStrictEqual(a.spawn, b.spawn)
    assert.deepStrictEqual(a.strata(30, -7), b.strata(30, -7))
    const differs = JSON.stringify([...a.built, a.spawn]) !== JSON.stringify([...c.built, c.spawn])
    assert.ok(differs || name === 'flat')
  })

  test(`${name}: layers rise, and there is ground under the spawn`, () => {
    const world = make(1)
    for (const [x, z] of [[0, 0], [8, 8], [-20, 33], [100, -100]]) {
      const ends = world.strata(x, z).map(([end]) => end)
      assert.deepStrictEqual(ends, [...ends].sort((p, q) => p - q))
      assert.ok(ends[0] === 1 && ends.at(-1) < 120)
    }
    const { x, z } = world.spawn
    assert.ok(!world.built.has(`${Math.floor(x)},${FLOOR},${Math.floor(z)}`))
  })
}

test('hills have land and water', () => {
  const tops = []
  for (let x = -60; x < 60; x += 4) for (let z = -60; z < 60; z += 4) tops.push(PRESETS.hills(2).strata(x, z).at(-1))
  assert.ok(tops.some(([, name]) => name === 'water') || tops.some(([end]) => end < WATERLINE + 4))
  assert.ok(tops.some(([, name]) => /grass/.test(name)))
})
