'use strict'
// Time that stands still between steps. It must be installed before mineflayer is loaded.
const { performance } = require('perf_hooks')
const { Random } = require('./random')

// A hair more than a tick, so that mineflayer's accumulator never comes out a rounding error short of one; it would
// take 50 million steps for the surplus to add up to a tick.
const TICK_MS = 50.000001
const FAR = 2 ** 31 - 1 // the longest interval that Node keeps

/** Replaces the clock that mineflayer's physics reads and the timer that would run it, and seeds `Math.random`. */
class Clock {
  constructor () {
    this.now = 0
    this.physics = null // mineflayer's own function, caught
    this.random = new Random(0)
  }

  install () {
    const setInterval = global.setInterval
    performance.now = () => this.now
    Math.random = () => this.random.next()
    global.setInterval = (task, ms, ...rest) => {
      if (task.name === 'doPhysics') {
        this.physics = task
        return setInterval(() => {}, FAR)
      }
      return setInterval(task, ms, ...rest)
    }
  }

  /** One tick of the agent's physics. */
  tick () {
    if (this.physics === null) {
      throw new Error('mineflayer started no timer called doPhysics: its version differs from the lock file')
    }
    this.now += TICK_MS
    this.physics()
  }
}

module.exports = { Clock, TICK_MS }
