'use strict'
const { test } = require('node:test')
const assert = require('node:assert')
const { createHash } = require('node:crypto')
const { NAMES, corner, drawAtlas } = require('../lib/patterns')
const { DYES, paint } = require('../lib/looks')

test('the atlas is the same every time, and every pattern is in it once', () => {
  const hash = () => createHash('sha256').update(drawAtlas().data).digest('hex')
  assert.strictEqual(hash(), hash())
  assert.strictEqual(new Set(NAMES.map(name => corner(name).join())).size, NAMES.length)
  assert.throws(() => corner('marble'), /no pattern/)
})

test('any name has surfaces of known patterns and bytes for colours', () => {
  const names = ['grass_block', 'oak_log', 'red_wool', 'light_blue_stained_glass', 'diamond_ore', 'water', 'some_future_block', 'stripped_birch_log', 'oak_leaves']
  for (const name of names) {
    for (const { pattern, colour, second } of Object.values(paint(name))) {
      assert.ok(NAMES.includes(pattern), `${name}: ${pattern}`)
      for (const v of [...colour, ...second]) assert.ok(Number.isInteger(v) && v >= 0 && v <= 255)
    }
  }
})

test('the wools differ, and light blue is not blue', () => {
  const colours = Object.keys(DYES).map(dye => paint(`${dye}_wool`).top.colour.join())
  assert.strictEqual(new Set(colours).size, 16)
})
