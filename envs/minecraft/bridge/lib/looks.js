'use strict'
// What blocks look like, drawn here from their names: no picture of the game is read. A surface is one of a few grey
// patterns, tinted with two colours.
const { mix } = require('./random')

// The sixteen dyes: this project's own values.
const DYES = {
  white: [233, 236, 238],
  orange: [237, 122, 32],
  magenta: [190, 70, 180],
  light_blue: [90, 175, 220],
  yellow: [245, 205, 50],
  lime: [120, 190, 40],
  pink: [238, 150, 175],
  gray: [78, 84, 88],
  light_gray: [155, 156, 150],
  cyan: [25, 140, 148],
  purple: [125, 50, 170],
  blue: [52, 64, 165],
  brown: [118, 76, 44],
  green: [88, 112, 32],
  red: [170, 42, 38],
  black: [28, 28, 32]
}
const WOODS = {
  dark_oak: [70, 46, 24],
  oak: [176, 142, 86],
  spruce: [112, 82, 48],
  birch: [208, 192, 132],
  jungle: [168, 118, 80],
  acacia: [178, 96, 54],
  crimson: [112, 48, 72],
  warped: [44, 110, 106]
}
const GRASS = [98, 154, 58]
const DIRT = [128, 92, 62]
const STONE = [126, 126, 126]
const LEAVES = [66, 118, 40]
const BARK = [96, 74, 46]
const METALS = {
  gold: [246, 208, 62],
  iron: [214, 190, 170],
  coal: [44, 44, 44],
  diamond: [96, 220, 214],
  emerald: [46, 204, 100],
  lapis: [38, 82, 180],
  redstone: [200, 24, 18],
  quartz: [228, 222, 212]
}

// name -> [pattern, colour, second colour]
const PLAIN = {
  dirt: ['grain', DIRT, [106, 74, 50]],
  coarse_dirt: ['grain', [118, 84, 58], [90, 66, 48]],
  stone: ['grain', STONE, [108, 108, 110]],
  bedrock: ['rubble', [86, 86, 88], [44, 44, 46]],
  cobblestone: ['rubble', [132, 132, 132], [88, 88, 90]],
  mossy_cobblestone: ['rubble', [112, 132, 100], [72, 92, 58]],
  sand: ['grain', [220, 206, 160], [202, 186, 138]],
  red_sand: ['grain', [190, 102, 36], [170, 88, 28]],
  gravel: ['rubble', [136, 130, 128], [104, 98, 96]],
  sandstone: ['courses', [218, 204, 156], [188, 172, 122]],
  bricks: ['bricks', [156, 92, 76], [184, 172, 160]],
  stone_bricks: ['bricks', [126, 126, 126], [92, 92, 92]],
  glowstone: ['rubble', [250, 214, 130], [214, 156, 76]],
  snow_block: ['grain', [244, 250, 252], [232, 240, 244]],
  snow: ['grain', [244, 250, 252], [232, 240, 244]],
  ice: ['grain', [150, 184, 240], [170, 200, 246]],
  clay: ['grain', [160, 166, 178], [148, 154, 168]],
  water: ['waves', [52, 96, 196], [70, 118, 214]],
  lava: ['waves', [226, 98, 18], [250, 170, 40]],
  glass: ['pane', [214, 234, 238], [190, 214, 222]],
  obsidian: ['grain', [24, 18, 38], [44, 32, 66]],
  netherrack: ['rubble', [112, 48, 48], [84, 32, 32]],
  pumpkin: ['courses', [206, 122, 26], [176, 98, 18]],
  hay_block: ['courses', [192, 160, 32], [160, 122, 24]],
  bookshelf: ['bricks', [150, 92, 60], [176, 142, 86]],
  crafting_table: ['planks', [146, 100, 58], [92, 60, 34]],
  chest: ['planks', [164, 116, 50], [92, 62, 28]],
  furnace: ['rubble', [116, 116, 116], [60, 60, 60]],
  tnt: ['courses', [202, 58, 40], [226, 220, 210]]
}

function wood (name) {
  for (const [key, colour] of Object.entries(WOODS)) if (name.startsWith(key) || name.startsWith(`stripped_${key}`)) return colour
  return null
}

function dye (name) {
  const keys = Object.keys(DYES).sort((a, b) => b.length - a.length) // light_blue before blue
  const key = keys.find(k => name.startsWith(`${k}_`))
  return key ? DYES[key] : null
}

function shade (colour, factor) {
  return colour.map(v => Math.max(0, Math.min(255, Math.round(v * factor))))
}

function surface (pattern, colour, second = shade(colour, 0.82)) {
  return { pattern, colour, second }
}

/**
 * The surfaces of a block.
 * @param {string} name without "minecraft:"
 * @returns {{top: object, side: object, bottom: object}} each {pattern, colour [r, g, b], second [r, g, b]}
 */
function paint (name) {
  const all = s => ({ top: s, side: s, bottom: s })
  if (name === 'grass_block') {
    return { top: surface('grain', GRASS, [84, 136, 48]), side: surface('fringe', DIRT, GRASS), bottom: surface(...PLAIN.dirt) }
  }
  if (PLAIN[name]) return all(surface(...PLAIN[name]))
  const coloured = dye(name)
  if (coloured !== null) {
    if (name.endsWith('_glass') || name.endsWith('_pane')) return all(surface('pane', coloured))
    if (name.endsWith('_concrete')) return all(surface('flat', coloured))
    if (name.endsWith('terracotta')) return all(surface('grain', coloured.map((v, i) => Math.round(0.6 * v + 0.4 * [150, 92, 66][i]))))
    return all(surface('weave', coloured))
  }
  if (name.endsWith('_ore')) {
    const metal = Object.keys(METALS).find(k => name.includes(k))
    return all(surface('specks', STONE, METALS[metal] ?? [200, 200, 120]))
  }
  if (name.endsWith('_leaves')) return all(surface('leaves', LEAVES, [46, 90, 28]))
  const timber = wood(name)
  if (timber !== null) {
    if (name.endsWith('_log') || name.endsWith('_stem')) {
      const bark = name.startsWith('birch') ? [214, 212, 204] : name.startsWith('stripped') ? timber : shade(timber, 0.62)
      return { top: surface('rings', timber), side: surface('bark', bark), bottom: surface('rings', timber) }
    }
    if (name.endsWith('_wood') || name.endsWith('_hyphae')) return all(surface('bark', BARK))
    return all(surface('planks', timber))
  }
  if (name.endsWith('_block')) {
    const metal = Object.keys(METALS).find(k => name.startsWith(k))
    if (metal) return all(surface('flat', METALS[metal]))
  }
  if (/grass|fern|vine|sapling|lily|kelp/.test(name)) return all(surface('blades', GRASS))
  const base = Object.keys(PLAIN).find(k => name.startsWith(k) || name.endsWith(k))
  if (base) return all(surface(...PLAIN[base]))
  if (/stone|diorite|granite|andesite/.test(name)) return all(surface('grain', STONE))
  const h = mix('colour', name) // whatever else there is: a colour of its own, the same everywhere
  return all(surface('grain', [80 + (h & 127), 80 + ((h >> 8) & 127), 80 + ((h >> 16) & 127)]))
}

module.exports = { DYES, paint, shade }
