'use strict'
const { test } = require('node:test')
const assert = require('node:assert')
const { Random, mix } = require('../lib/random')

test('the state is the whole of it: a copy goes on in the same way', () => {
  const first = new Random(123)
  for (let i = 0; i < 10; i++) first.next()
  const second = new Random(first.state)
  assert.deepStrictEqual(Array.from({ length: 5 }, () => first.next()), Array.from({ length: 5 }, () => second.next()))
})

test('known values of mulberry32', () => {
  // From the reference implementation, seed 0.
  const random = new Random(0)
  assert.deepStrictEqual([random.next(), random.next(), random.next()].map(v => Math.floor(v * 2 ** 32)), [1144304738, 1416247, 958946056])
})

test('integers cover their range, both ends included', () => {
  const random = new Random(5)
  const seen = new Set(Array.from({ length: 200 }, () => random.integer(-1, 2)))
  assert.deepStrictEqual([...seen].sort((a, b) => a - b), [-1, 0, 1, 2])
})

test('other words, other streams', () => {
  const seeds = new Set()
  for (let i = 0; i < 500; i++) seeds.add(mix('path', i))
  assert.strictEqual(seeds.size, 500)
  assert.notStrictEqual(mix('a', 1), mix('b', 1))
})
