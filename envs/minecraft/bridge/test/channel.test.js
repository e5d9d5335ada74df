'use strict'
const { test } = require('node:test')
const assert = require('node:assert')
const { Lines, frame } = require('../lib/channel')

test('a frame is length, header, bytes', () => {
  const sent = frame({ tick: 3 }, [Buffer.from([1, 2]), Buffer.from([9])])
  const length = sent.readUInt32LE(0)
  assert.deepStrictEqual(JSON.parse(sent.subarray(4, 4 + length)), { tick: 3, bytes: [2, 1] })
  assert.deepStrictEqual([...sent.subarray(4 + length)], [1, 2, 9])
})

test('lines come out whole, however the stream was cut', () => {
  const text = Buffer.from('{"op":"ä"}\n{"op":"two"}\nrest')
  for (let size = 1; size < text.length; size++) {
    const lines = new Lines()
    const out = []
    for (let at = 0; at < text.length; at += size) out.push(...lines.push(text.subarray(at, at + size)))
    assert.deepStrictEqual(out, ['{"op":"ä"}', '{"op":"two"}'])
  }
})
