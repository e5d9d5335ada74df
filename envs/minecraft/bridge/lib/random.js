'use strict'
// Random numbers whose whole state is one integer, so that a snapshot can hold it.

/** Mulberry32 (T. Ettinger, public domain): 32 bits of state, good enough for choices in a game. */
class Random {
  /** @param {number} state any integer; its low 32 bits count */
  constructor (state) {
    this.state = state >>> 0
  }

  /** @returns {number} uniform in [0, 1) */
  next () {
    this.state = (this.state + 0x6D2B79F5) >>> 0
    let t = this.state
    t = Math.imul(t ^ (t >>> 15), t | 1)
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61)
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296
  }

  /** @returns {number} an integer in [low, high] */
  integer (low, high) {
    return low + Math.floor(this.next() * (high - low + 1))
  }

  /** @returns {*} one of the items */
  pick (items) {
    return items[Math.floor(this.next() * items.length)]
  }
}

/**
 * A 32-bit hash of words and numbers (FNV-1a, then the finaliser of MurmurHash3): one seed makes many streams.
 * @returns {number} 0..2^32-1
 */
function mix (...parts) {
  let h = 0x811c9dc5
  for (const character of parts.join('|')) {
    h = Math.imul(h ^ character.charCodeAt(0), 0x01000193)
  }
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b)
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35)
  return (h ^ (h >>> 16)) >>> 0
}

module.exports = { Random, mix }
