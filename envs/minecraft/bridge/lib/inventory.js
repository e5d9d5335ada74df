'use strict'
// What the agent carries, kept on the server; the client hears of it by packets.

const HOTBAR = 36 // slot of the window in which the hotbar starts
const FULL = 64
// Creative: what Blocks-v0 offers, slot by slot. Nothing runs out.
const CREATIVE = ['oak_planks', 'cobblestone', 'red_wool', 'blue_wool', 'yellow_wool', 'glowstone', 'glass', 'dirt', 'sand'].map(name => [name, FULL])
const SURVIVAL = [['stone_pickaxe', 1], ['stone_axe', 1], ['stone_shovel', 1], ['oak_planks', 16], ['cobblestone', 16], ['red_wool', 16]]

class Inventory {
  constructor ({ serv, player }) {
    this.serv = serv
    this.player = player
    this.Item = require('prismarine-item')(serv.registry)
  }

  /** What a world starts with. */
  fill (survival) {
    this.load((survival ? SURVIVAL : CREATIVE).map(([name, count], i) => [HOTBAR + i, name, count]))
  }

  /** @returns {[number, string, number][]} slot, name, count */
  save () {
    return this.player.inventory.slots.flatMap((item, slot) => (item ? [[slot, item.name, item.count]] : []))
  }

  load (rows) {
    const wanted = new Map(rows.map(([slot, name, count]) => [slot, [name, count]]))
    for (let slot = 9; slot < HOTBAR + 9; slot++) {
      const [name, count] = wanted.get(slot) ?? [null, 0]
      const now = this.player.inventory.slots[slot]
      if ((now?.name ?? null) === name && (now?.count ?? 0) === count) continue
      this._set(slot, name, count)
    }
  }

  /** Takes one from a slot of the hotbar. */
  spend (slot) {
    const item = this.player.inventory.slots[HOTBAR + slot]
    if (item) this._set(HOTBAR + slot, item.count > 1 ? item.name : null, item.count - 1)
  }

  /** Adds one of an item: to a stack that has room, else to the first empty slot, else it is lost. */
  gain (name) {
    const order = [...Array(9).keys()].map(i => HOTBAR + i).concat([...Array(27).keys()].map(i => 9 + i))
    const { slots } = this.player.inventory
    const slot = order.find(s => slots[s]?.name === name && slots[s].count < FULL) ?? order.find(s => !slots[s])
    if (slot !== undefined) this._set(slot, name, (slots[slot]?.count ?? 0) + 1)
  }

  _set (slot, name, count) {
    const item = name === null ? null : new this.Item(this.serv.registry.itemsByName[name].id, count)
    this.player.inventory.updateSlot(slot, item)
    this.player._client.write('set_slot', { windowId: 0, stateId: 0, slot, item: this.Item.toNotch(item) })
  }
}

module.exports = { HOTBAR, Inventory }
