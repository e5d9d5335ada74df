'use strict'
// The bridge: `node main.js` with WORLDSIM_FD, the number of an inherited socket. Ends when that socket closes.
const { Clock } = require('./lib/clock')

const clock = new Clock()
clock.install() // before mineflayer and flying-squid are loaded
process.stdout.write = process.stderr.write.bind(process.stderr) // libraries print; the socket alone carries answers
console.log = console.error

const { serve } = require('./lib/channel')
const { Session } = require('./lib/session')

const OPERATIONS = ['start', 'reset', 'step', 'look', 'snapshot', 'restore', 'edit', 'verify']
const session = new Session(clock)

async function answer (request) {
  if (!OPERATIONS.includes(request.op)) throw new Error(`no operation ${request.op}; there are ${OPERATIONS.join(', ')}`)
  return session[request.op](request)
}

const fd = Number(process.env.WORLDSIM_FD)
if (!Number.isInteger(fd) || fd < 3) {
  console.error('this is the bridge of worldsim/Minecraft-v0: it is started by worldsim, with a socket')
  process.exit(2)
}
serve(fd, answer, () => process.exit(0))
