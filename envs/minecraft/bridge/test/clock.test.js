'use strict'
const { test } = require('node:test')
const assert = require('node:assert')
const { performance } = require('perf_hooks')
const { Clock } = require('../lib/clock')

test('time stands still until it is told to go on, one tick at a time', () => {
  const clock = new Clock()
  const saved = { setInterval: global.setInterval, random: Math.random }
  let ticks = 0
  clock.install()
  try {
    let last = performance.now()
    let left = 0
    // mineflayer's own loop: whole ticks of 0.05 s out of an accumulator
    function doPhysics () {
      left += (performance.now() - last) / 1000
      last = performance.now()
      for (; left >= 0.05; left -= 0.05) ticks++
    }
    clearInterval(setInterval(doPhysics, 50))
    assert.strictEqual(performance.now(), 0)
    for (let i = 1; i <= 20000; i++) {
      clock.tick()
      assert.strictEqual(ticks, i)
    }
    clock.random.state = 7
    const first = Math.random()
    clock.random.state = 7
    assert.strictEqual(Math.random(), first)
  } finally {
    global.setInterval = saved.setInterval
    Math.random = saved.random
    delete performance.now
  }
})

test('without mineflayer there is nothing to tick', () => {
  assert.throws(() => new Clock().tick(), /doPhysics/)
})
