'use strict'
// How the bridge talks to Python: a line of JSON comes in; length, JSON header and raw bytes go out.
const net = require('net')

const LONGEST = 64 * 2 ** 20 // bytes of one request: a snapshot with a million changed blocks

/** @returns {Buffer} uint32 length, the header as JSON with `bytes` added, then the buffers one after another */
function frame (header, buffers = []) {
  const json = Buffer.from(JSON.stringify({ ...header, bytes: buffers.map(b => b.length) }))
  const length = Buffer.alloc(4)
  length.writeUInt32LE(json.length)
  return Buffer.concat([length, json, ...buffers])
}

/** Splits a stream into lines. */
class Lines {
  constructor () {
    this.parts = []
    this.size = 0
  }

  /** @returns {string[]} the lines that the chunk completes */
  push (chunk) {
    const lines = []
    let start = 0
    for (let end = chunk.indexOf(10); end >= 0; end = chunk.indexOf(10, start)) {
      lines.push(Buffer.concat([...this.parts, chunk.subarray(start, end)]).toString())
      this.parts = []
      this.size = 0
      start = end + 1
    }
    this.parts.push(chunk.subarray(start))
    this.size += chunk.length - start
    if (this.size > LONGEST) throw new Error(`a request is longer than ${LONGEST} bytes`)
    return lines
  }
}

/**
 * Answers requests one after another, over an inherited socket.
 * @param {number} fd of the socket
 * @param {(request: object) => Promise<[object, Buffer[]?]>} answer
 * @param {() => void} closed called when the other side is gone
 */
function serve (fd, answer, closed) {
  const socket = new net.Socket({ fd, readable: true, writable: true })
  const lines = new Lines()
  let last = Promise.resolve()
  const handle = async line => {
    try {
      const [header, buffers] = await answer(JSON.parse(line))
      socket.write(frame(header, buffers))
    } catch (error) {
      socket.write(frame({ error: String(error.message ?? error), kind: error.kind ?? 'failure', stack: String(error.stack) }))
    }
  }
  socket.on('data', chunk => {
    for (const line of lines.push(chunk)) last = last.then(() => handle(line))
  })
  socket.on('end', closed)
  socket.on('close', closed)
  socket.on('error', closed)
}

/** A request that asks for something impossible: the caller's mistake, not the bridge's. */
class Refused extends Error {
  constructor (message) {
    super(message)
    this.kind = 'refused'
  }
}

module.exports = { frame, Lines, Refused, serve }
