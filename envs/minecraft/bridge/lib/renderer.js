'use strict'
// Pictures of meshes: colours, and in a second pass depth and instance ids. WebGL through headless-gl.
const createContext = require('gl')
const { OWN_SIDE, TILES_FROM } = require('./atlas')
const { INSET, STRIDE } = require('./meshing')
const { GRID } = require('./patterns')

const NEAR = 0.05 // metres
const FAR = 256 // metres; depth is kept in 24 bits of it: 15 micrometres
const FOV = 70 // degrees, vertical: Minecraft's default, MineRL's too
const SKY = [0.58, 0.76, 0.96]
const FADE = [8, 28] // metres over which a pattern fades into its mean: what is smaller than a pixel would shimmer

const VERTEX = `
attribute vec3 place;
attribute vec2 texel;
attribute vec4 first;
attribute vec4 second;
uniform mat3 turn;     // the mesh's own
uniform vec3 shift;    // from the eye to the mesh's origin, metres
uniform mat3 view;     // world to camera, OpenCV axes
uniform vec2 focal;    // in half frames
varying vec2 v_texel;
varying vec4 v_first;
varying vec4 v_second;
varying float v_depth;
void main() {
  vec3 p = view * (turn * place + shift);
  v_texel = texel;
  v_first = first;
  v_second = second;
  v_depth = p.z;
  float n = ${NEAR.toFixed(4)}, f = ${FAR.toFixed(4)};
  gl_Position = vec4(p.x * focal.x, -p.y * focal.y, (f + n) / (f - n) * p.z - 2.0 * f * n / (f - n), p.z);
}`

const OWN_TEXEL = `
  vec4 t = texture2D(atlas, v_texel);`
const OWN_COLOUR = `
    vec3 colour = mix(v_first.rgb, v_second.rgb, mix(v_second.a, t.g, detail));
    gl_FragColor = vec4(colour * v_first.a * (1.0 + detail * (t.r - 128.0 / 255.0) * 1.2), 1.0);`

/** A tile's texel, kept inside the tile; an own pattern's as a texture that repeats has it. */
function texelOfBoth ({ width, height }) {
  return `
  bool tile = v_texel.y > ${(TILES_FROM - 0.5).toFixed(1)};
  vec2 low = floor(v_first.rg * 255.0 + 0.5) / ${GRID.toFixed(1)} + vec2(0.0, ${TILES_FROM.toFixed(1)});
  vec2 inside = clamp(v_texel, low + ${INSET}, low + ${1 / GRID - INSET});
  vec4 t = texture2D(atlas, (tile ? inside : fract(v_texel)) * vec2(${(OWN_SIDE / width).toFixed(9)}, ${(OWN_SIDE / height).toFixed(9)}));`
}

// A tile has its colours in the texture, and its mean colour in the vertex.
const COLOUR_OF_BOTH = `
    if (tile) {
      gl_FragColor = vec4(mix(v_second.rgb, t.rgb, detail) * v_first.a, 1.0);
      return;
    }${OWN_COLOUR}`

/** @param atlas without tiles the shader knows of none, and costs nothing more */
function fragment (atlas) {
  const [texel, colour] = atlas.tiles ? [texelOfBoth(atlas), COLOUR_OF_BOTH] : [OWN_TEXEL, OWN_COLOUR]
  return `
precision highp float;
uniform sampler2D atlas;
uniform float instance;  // -1 draws colours; 0..255 depth and this id
varying vec2 v_texel;
varying vec4 v_first;
varying vec4 v_second;
varying float v_depth;
void main() {${texel}
  if (t.a < 0.5) discard;
  if (instance < 0.0) {
    float detail = 1.0 - clamp((v_depth - ${FADE[0].toFixed(1)}) / ${(FADE[1] - FADE[0]).toFixed(1)}, 0.0, 1.0);${colour}
  } else {
    float q = floor(v_depth / ${FAR.toFixed(1)} * 16777215.0 + 0.5);
    float high = floor(q / 65536.0);
    float middle = floor((q - high * 65536.0) / 256.0);
    gl_FragColor = vec4(high, middle, q - high * 65536.0 - middle * 256.0, instance) / 255.0;
  }
}`
}

/** A shape on the graphics side: `draw` of a Renderer takes it. */
class Mesh {
  constructor (gl, { vertices, indices }, bounds) {
    this.gl = gl
    this.count = indices.length
    this.bounds = bounds // [low x y z, high x y z] in the mesh's own axes
    this.vertexBuffer = gl.createBuffer()
    this.indexBuffer = gl.createBuffer()
    gl.bindBuffer(gl.ARRAY_BUFFER, this.vertexBuffer)
    gl.bufferData(gl.ARRAY_BUFFER, vertices, gl.STATIC_DRAW)
    gl.bindBuffer(gl.ELEMENT_ARRAY_BUFFER, this.indexBuffer)
    gl.bufferData(gl.ELEMENT_ARRAY_BUFFER, indices, gl.STATIC_DRAW)
  }

  free () {
    this.gl.deleteBuffer(this.vertexBuffer)
    this.gl.deleteBuffer(this.indexBuffer)
  }
}

class Renderer {
  /** @param atlas of `ownAtlas` or `combine` */
  constructor (atlas) {
    const gl = createContext(8, 8, { antialias: false })
    if (!gl) {
      throw new Error('no graphics context: is the X display up (DISPLAY), are libgl1-mesa-dri and the gl package installed?')
    }
    if (!gl.getExtension('OES_element_index_uint')) throw new Error('this graphics driver has no 32-bit indices')
    this.gl = gl
    this.targets = new Map()
    this.program = this._program(atlas)
    this.uniforms = {}
    for (const name of ['turn', 'shift', 'view', 'focal', 'instance']) this.uniforms[name] = gl.getUniformLocation(this.program, name)
    this.attributes = ['place', 'texel', 'first', 'second'].map(name => gl.getAttribLocation(this.program, name))
    this._texture(atlas)
    gl.useProgram(this.program)
    gl.enable(gl.DEPTH_TEST)
    gl.enable(gl.CULL_FACE)
    gl.disable(gl.DITHER)
  }

  get name () {
    return this.gl.getParameter(this.gl.RENDERER)
  }

  mesh (parts, bounds) {
    return new Mesh(this.gl, parts, bounds)
  }

  /**
   * Draws things and reads the pixels back, bottom row first.
   * @param {number} height pixels; @param {number} width pixels
   * @param {number[]} pose world_from_camera, 16 numbers by rows, OpenCV axes
   * @param {{mesh: Mesh, origin: number[], yaw: number, instance: number}[]} things yaw in radians about +y
   * @param {boolean} ids depth and ids instead of colours
   * @returns {Uint8Array} RGBA
   */
  draw (height, width, pose, things, ids) {
    const { gl, uniforms } = this
    const pixels = this._target(height, width)
    gl.viewport(0, 0, width, height)
    if (ids) gl.clearColor(1, 1, 1, 0)
    else gl.clearColor(...SKY, 1)
    gl.clear(gl.COLOR_BUFFER_BIT | gl.DEPTH_BUFFER_BIT)
    // Each time: headless-gl forgets that an attribute is enabled when the buffer it last read is deleted.
    for (const attribute of this.attributes) gl.enableVertexAttribArray(attribute)
    const eye = [pose[3], pose[7], pose[11]]
    const axes = [0, 1, 2].map(i => [pose[i], pose[4 + i], pose[8 + i]]) // the camera's right, down, forward
    const f = 1 / Math.tan(FOV * Math.PI / 360)
    const focal = [f * height / width, f]
    gl.uniformMatrix3fv(uniforms.view, false, [0, 1, 2].flatMap(k => axes.map(axis => axis[k])))
    gl.uniform2f(uniforms.focal, ...focal)
    gl.uniform1f(uniforms.instance, -1)
    for (const { mesh, origin, yaw, instance } of things) {
      const shift = origin.map((v, i) => v - eye[i])
      if (yaw === 0 && !inView(mesh.bounds, shift, axes, focal)) continue
      const [c, s] = yaw === 0 ? [1, 0] : [Math.cos(yaw), Math.sin(yaw)]
      gl.uniformMatrix3fv(uniforms.turn, false, [c, 0, -s, 0, 1, 0, s, 0, c])
      gl.uniform3f(uniforms.shift, ...shift)
      if (ids) gl.uniform1f(uniforms.instance, instance)
      this._bind(mesh)
      gl.drawElements(gl.TRIANGLES, mesh.count, gl.UNSIGNED_INT, 0)
    }
    gl.readPixels(0, 0, width, height, gl.RGBA, gl.UNSIGNED_BYTE, pixels)
    return pixels
  }

  _bind (mesh) {
    const { gl } = this
    const [place, texel, first, second] = this.attributes
    gl.bindBuffer(gl.ARRAY_BUFFER, mesh.vertexBuffer)
    gl.bindBuffer(gl.ELEMENT_ARRAY_BUFFER, mesh.indexBuffer)
    gl.vertexAttribPointer(place, 3, gl.FLOAT, false, STRIDE, 0)
    gl.vertexAttribPointer(texel, 2, gl.FLOAT, false, STRIDE, 12)
    gl.vertexAttribPointer(first, 4, gl.UNSIGNED_BYTE, true, STRIDE, 20)
    gl.vertexAttribPointer(second, 4, gl.UNSIGNED_BYTE, true, STRIDE, 24)
  }

  /** A framebuffer of that size, kept; @returns {Uint8Array} room for its pixels */
  _target (height, width) {
    const { gl } = this
    const key = `${height}x${width}`
    let target = this.targets.get(key)
    if (!target) {
      if (this.targets.size > 3) this._forget()
      const frame = gl.createFramebuffer()
      const colour = gl.createTexture()
      const depth = gl.createRenderbuffer()
      gl.bindFramebuffer(gl.FRAMEBUFFER, frame)
      gl.activeTexture(gl.TEXTURE1)
      gl.bindTexture(gl.TEXTURE_2D, colour)
      gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA, width, height, 0, gl.RGBA, gl.UNSIGNED_BYTE, null)
      gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MIN_FILTER, gl.NEAREST)
      gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MAG_FILTER, gl.NEAREST)
      gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_WRAP_S, gl.CLAMP_TO_EDGE)
      gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_WRAP_T, gl.CLAMP_TO_EDGE)
      gl.framebufferTexture2D(gl.FRAMEBUFFER, gl.COLOR_ATTACHMENT0, gl.TEXTURE_2D, colour, 0)
      gl.bindRenderbuffer(gl.RENDERBUFFER, depth)
      gl.renderbufferStorage(gl.RENDERBUFFER, gl.DEPTH_STENCIL, width, height) // 24 bits; DEPTH_COMPONENT16 is too coarse
      gl.framebufferRenderbuffer(gl.FRAMEBUFFER, gl.DEPTH_STENCIL_ATTACHMENT, gl.RENDERBUFFER, depth)
      if (gl.checkFramebufferStatus(gl.FRAMEBUFFER) !== gl.FRAMEBUFFER_COMPLETE) {
        throw new Error(`the graphics driver gives no ${width}x${height} framebuffer`)
      }
      gl.bindTexture(gl.TEXTURE_2D, null)
      gl.activeTexture(gl.TEXTURE0)
      target = { frame, colour, depth, pixels: new Uint8Array(width * height * 4) }
      this.targets.set(key, target)
    }
    gl.bindFramebuffer(gl.FRAMEBUFFER, target.frame)
    return target.pixels
  }

  _forget () {
    const [key, { frame, colour, depth }] = this.targets.entries().next().value
    this.gl.deleteFramebuffer(frame)
    this.gl.deleteTexture(colour)
    this.gl.deleteRenderbuffer(depth)
    this.targets.delete(key)
  }

  _texture ({ width, height, data }) {
    const { gl } = this
    gl.activeTexture(gl.TEXTURE0)
    gl.bindTexture(gl.TEXTURE_2D, gl.createTexture())
    gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA, width, height, 0, gl.RGBA, gl.UNSIGNED_BYTE, data)
    for (const filter of [gl.TEXTURE_MIN_FILTER, gl.TEXTURE_MAG_FILTER]) gl.texParameteri(gl.TEXTURE_2D, filter, gl.NEAREST)
  }

  _program (atlas) {
    const { gl } = this
    const program = gl.createProgram()
    for (const [type, source] of [[gl.VERTEX_SHADER, VERTEX], [gl.FRAGMENT_SHADER, fragment(atlas)]]) {
      const shader = gl.createShader(type)
      gl.shaderSource(shader, source)
      gl.compileShader(shader)
      if (!gl.getShaderParameter(shader, gl.COMPILE_STATUS)) throw new Error(`shader: ${gl.getShaderInfoLog(shader)}`)
      gl.attachShader(program, shader)
    }
    gl.linkProgram(program)
    if (!gl.getProgramParameter(program, gl.LINK_STATUS)) throw new Error(`shaders: ${gl.getProgramInfoLog(program)}`)
    return program
  }
}

/** Whether a box may be in the frame: false only if all its corners lie beyond one side of the view. */
function inView ([lx, ly, lz, hx, hy, hz], shift, axes, focal) {
  const beyond = [0, 0, 0, 0, 0]
  for (let i = 0; i < 8; i++) {
    const p = [(i & 1 ? hx : lx) + shift[0], (i & 2 ? hy : ly) + shift[1], (i & 4 ? hz : lz) + shift[2]]
    const [x, y, z] = axes.map(a => a[0] * p[0] + a[1] * p[1] + a[2] * p[2])
    beyond[0] += z < NEAR
    beyond[1] += x * focal[0] > z
    beyond[2] += -x * focal[0] > z
    beyond[3] += y * focal[1] > z
    beyond[4] += -y * focal[1] > z
  }
  return !beyond.includes(8)
}

module.exports = { FAR, FOV, NEAR, Renderer, inView }
