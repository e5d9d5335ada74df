'use strict'
// A Minecraft server and one client in this process, joined by a pair of streams: no port is opened.
const { Duplex } = require('stream')
const { EventEmitter } = require('events')
const net = require('net')

const VERSION = '1.16.5'
const CREATIVE = 1
const CHANNEL = 'worldsim:sync'
const FOREVER = 2 ** 31 - 1 // ms

/** @returns {[Duplex, Duplex]} what is written into one comes out of the other, in order */
function streamPair () {
  const ends = [0, 1].map(i => new Duplex({
    highWaterMark: 2 ** 24,
    read () {},
    write (chunk, encoding, done) {
      ends[1 - i].push(chunk)
      done()
    },
    final (done) {
      ends[1 - i].push(null)
      done()
    }
  }))
  return ends
}

/** Stands in for `net.Server`: it listens to nobody; `admit` makes a connection out of a stream. */
class SilentServer extends EventEmitter {
  listen () {
    setImmediate(() => this.emit('listening'))
    return this
  }

  address () {
    return { address: 'in process', port: 0 }
  }

  admit (stream) {
    this.emit('connection', stream)
  }

  close () {
    setImmediate(() => this.emit('close'))
  }
}

/** Starts flying-squid on a `SilentServer`, with its clock off and nothing generated yet. */
async function startServer (generator) {
  const flyingSquid = require('flying-squid')
  const silent = new SilentServer()
  const createServer = net.createServer
  net.createServer = () => silent
  let serv
  try {
    serv = flyingSquid.createMCServer({
      motd: 'worldsim',
      port: 0,
      host: '127.0.0.1',
      'max-players': 1,
      'online-mode': false,
      logging: false,
      gameMode: CREATIVE, // survival digging is counted by the agent itself, in ticks
      difficulty: 0,
      generation: { name: 'superflat', options: { seed: 1, worldHeight: 80 } },
      kickTimeout: FOREVER,
      checkTimeoutInterval: FOREVER,
      keepAlive: false,
      plugins: {},
      modpe: false,
      'view-distance': 2,
      'player-list-text': { header: { text: '' }, footer: { text: '' } },
      'everybody-op': false,
      'max-entities': 1000,
      version: VERSION
    })
  } finally {
    net.createServer = createServer
  }
  await new Promise((resolve, reject) => {
    serv.once('ready', resolve)
    serv.once('error', reject)
  })
  serv.on('error', error => console.error('server:', error.stack))
  serv.stopTickInterval()
  serv.doDaylightCycle = false
  serv.overworld.chunkGenerator = generator
  return { serv, silent }
}

/** Lets the agent join. Chunks are not sent by the server's timers but by `Chunks`, in lockstep. */
async function join (serv, silent, spawn) {
  const mineflayer = require('mineflayer')
  const [near, far] = streamPair()
  const joined = new Promise(resolve => serv.once('newPlayer', player => {
    player.worldSendInitialChunks = async () => { player.lastPositionChunkUpdated = player.position }
    player.worldSendRestOfChunks = async () => { player.lastPositionChunkUpdated = player.position }
    player.worldSendAllChunks = player.worldSendRestOfChunks
    // After it the server would set the agent back to where it joined, at a moment of its own choice.
    player.waitPlayerLogin = () => new Promise(() => {})
    resolve(player)
  }))
  serv.getSpawnPoint = async () => spawn.clone()
  const bot = mineflayer.createBot({
    connect: client => {
      client.setSocket(near)
      setImmediate(() => client.emit('connect')) // once createClient has added its listeners
    },
    username: 'agent',
    version: VERSION,
    auth: 'offline',
    checkTimeoutInterval: FOREVER,
    respawn: false
  })
  bot.on('error', error => console.error('client:', error.stack))
  const spawned = new Promise((resolve, reject) => {
    bot.once('spawn', resolve)
    bot.once('kicked', reason => reject(new Error(`the server kicked the agent: ${reason}`)))
  })
  silent.admit(far)
  const player = await joined
  await spawned
  return { bot, player }
}

/** @returns {() => Promise<void>} a round trip client -> server -> client: all that was sent before has been handled */
function makeBarrier (bot, player) {
  const waiting = new Map()
  let count = 0
  player._client.on('custom_payload', ({ channel, data }) => {
    if (channel !== CHANNEL) return
    // After the promises that the messages before it started.
    setImmediate(() => player._client.write('custom_payload', { channel, data }))
  })
  bot._client.on('custom_payload', ({ channel, data }) => {
    if (channel !== CHANNEL) return
    const key = data.toString()
    waiting.get(key)?.()
    waiting.delete(key)
  })
  return () => new Promise(resolve => {
    const key = String(++count)
    waiting.set(key, resolve)
    bot._client.write('custom_payload', { channel: CHANNEL, data: Buffer.from(key) })
  })
}

module.exports = { VERSION, join, makeBarrier, startServer, streamPair }
