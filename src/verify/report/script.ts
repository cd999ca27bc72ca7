/**
 * What the page does when it may run a script: a timeline is unpacked and drawn when a reader comes near it, and can be
 * zoomed, moved and asked for the events of a hold. Without it, whatever is drawn and written already can be read.
 *
 * Nothing moves by itself, so there is nothing to be spared to those who prefer less motion.
 */
import { fits, placeOf, seatsOf, ticksOf } from './layout.ts'

/** Parts of the page as the script finds them, by what they are called in `page.ts` and `timeline.ts`. */
export const SCRIPT: string = `'use strict'
${Object.entries({ fits, placeOf, seatsOf, ticksOf })
  .map(([name, each]) => `const ${name} = ${each.toString()}`)
  .join('\n')}

/** Never less than this is shown. */
const SPAN_LEAST_MS = 0.02

/** What the shapes of a drawing have beside them: the events in words, and the drawing itself if it was not there. */
async function unpack(figure) {
  const bytes = Uint8Array.from(atob(figure.querySelector('template').content.textContent), (c) => c.charCodeAt(0))
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream('deflate-raw'))
  return JSON.parse(await new Response(stream).text())
}

async function begin(figure) {
  const stage = figure.querySelector('.stage')
  try {
    const { drawing, rows } = await unpack(figure)
    if (drawing) stage.innerHTML = drawing
    new Timeline(figure, stage, rows)
  } catch (error) {
    if (stage.querySelector('.plot')) new Timeline(figure, stage, [])
    else stage.textContent = 'This browser cannot unpack the drawing: ' + error
  }
}

class Timeline {
  constructor(figure, stage, rows) {
    this.stage = stage
    this.plot = stage.querySelector('.plot')
    this.rows = rows
    this.words = figure.querySelector('.words')
    this.around = this.words.querySelector('table')
    const { from, span, first, last } = this.plot.dataset
    this.start = { from: Number(from), span: Number(span) }
    this.view = this.start
    this.first = Number(first)
    this.last = Number(last)
    this.bars = this.nodes('rect[data-b]')
    this.points = this.nodes('[data-a]:not([data-b])')
    this.texts = this.nodes('text[data-b]')
    this.rowsOfTexts = [...this.plot.querySelectorAll('.texts')].map((group) => {
      const labels = [...group.children].map((node) => ({ node, at: Number(node.dataset.at), length: node.textContent.length }))
      return { labels, y: Number(group.dataset.y), rows: Number(group.dataset.rows), row: Number(group.dataset.row) }
    })
    this.ticks = this.plot.querySelector('.ticks')
    this.holds = [...this.plot.querySelectorAll('.hold')].sort((a, b) => this.startOf(a) - this.startOf(b))
    this.tools(figure.querySelector('.tools'))
    this.hands()
    new ResizeObserver(() => this.draw()).observe(this.plot)
  }

  nodes(selector) {
    return [...this.plot.querySelectorAll(selector)].map((node) => {
      node.classList.remove('off')
      return { node, a: Number(node.dataset.a), b: Number(node.dataset.b), length: node.textContent.length, seen: true }
    })
  }

  startOf(hold) {
    return Number(hold.querySelector('rect').dataset.a)
  }

  /** Once before the next picture, however often it is asked for. */
  draw() {
    if (!this.asked) this.asked = requestAnimationFrame(() => this.drawNow())
  }

  drawNow() {
    this.asked = undefined
    const px = this.plot.clientWidth
    if (px === 0) return
    const view = { ...this.view, px }
    for (const item of this.bars) {
      const place = placeOf(item.a, item.b, view)
      show(item, place !== undefined)
      if (!place) continue
      item.node.setAttribute('x', place.x + '%')
      item.node.setAttribute('width', Math.max(place.width, 200 / px) + '%')
    }
    for (const item of this.points) {
      const place = placeOf(item.a, item.a, view)
      show(item, place !== undefined)
      if (place) item.node.setAttribute('x', place.x + '%')
    }
    for (const item of this.texts) {
      const place = placeOf(item.a, item.b, view)
      const fitting = place !== undefined && fits(item.length, place, view)
      show(item, fitting)
      if (fitting) item.node.setAttribute('x', Math.max(place.x, 0) + '%')
    }
    for (const { labels, y, rows, row } of this.rowsOfTexts) {
      seatsOf(labels, rows, view).forEach((seat, index) => {
        const { node, at } = labels[index]
        node.classList.toggle('off', seat === undefined)
        if (!seat) return
        set(node, { x: placeOf(at, at, view).x + '%', y: y + seat.row * row, 'text-anchor': seat.anchor })
      })
    }
    const { y, height } = this.ticks.dataset
    this.ticks.replaceChildren(
      ...ticksOf(view).flatMap(({ at, text }) => {
        const x = (placeOf(at, at, view)?.x ?? 0) + '%'
        const label = shape('text', { x, y: 14 })
        label.textContent = text
        return [shape('rect', { x, y, width: 1, height }), label]
      }),
    )
  }

  /** @param at what stays where it is; the center, if nobody says */
  zoom(factor, at = this.view.from + this.view.span / 2) {
    const most = Math.max(this.start.span, 2.2 * Math.max(-this.first, this.last))
    const span = Math.min(Math.max(this.view.span * factor, SPAN_LEAST_MS), most)
    this.look(at - ((at - this.view.from) * span) / this.view.span, span)
  }

  look(from, span = this.view.span) {
    const center = Math.min(Math.max(from + span / 2, Math.min(this.first, 0)), Math.max(this.last, 0))
    this.view = { from: center - span / 2, span }
    this.draw()
  }

  do(what) {
    const { from, span } = this.view
    switch (what) {
      case 'in':
        return this.zoom(1 / 1.5)
      case 'out':
        return this.zoom(1.5)
      case 'left':
        return this.look(from - span / 8)
      case 'right':
        return this.look(from + span / 8)
      case 'middle':
        return this.look(this.start.from, this.start.span)
      case 'all':
        return this.look(this.first - 0.02 * (this.last - this.first), 1.04 * (this.last - this.first) || 1)
      case 'next':
        return this.step(1)
      case 'previous':
        return this.step(-1)
      case 'around':
        return this.choose(undefined)
    }
  }

  tools(bar) {
    bar.hidden = false
    this.said = bar.querySelector('[aria-live]')
    bar.addEventListener('click', (event) => this.do(event.target.closest('button')?.dataset.do))
    this.words.addEventListener('click', (event) => this.do(event.target.closest('button')?.dataset.do))
  }

  hands() {
    const { stage, plot } = this
    stage.classList.add('grip')
    stage.tabIndex = 0
    stage.addEventListener('keydown', (event) => {
      const what = KEYS[event.key]
      if (!what || event.ctrlKey || event.metaKey || event.altKey) return
      event.preventDefault()
      this.do(what)
    })
    plot.addEventListener('wheel', (event) => this.wheel(event), { passive: false })
    let down
    plot.addEventListener('pointerdown', (event) => {
      if (event.button === 0) down = { x: event.clientX, from: this.view.from, hold: event.target.closest('.hold') }
    })
    plot.addEventListener('pointermove', (event) => {
      if (!down) return
      const moved = event.clientX - down.x
      if (!down.drags && Math.abs(moved) < 4) return
      down.drags = true
      plot.setPointerCapture(event.pointerId)
      this.look(down.from - (moved / plot.clientWidth) * this.view.span)
    })
    plot.addEventListener('pointerup', () => {
      if (down && !down.drags && down.hold) this.choose(down.hold)
      down = undefined
    })
    plot.addEventListener('pointercancel', () => (down = undefined))
  }

  wheel(event) {
    const sideways = event.shiftKey ? event.deltaY || event.deltaX : event.deltaX
    const { left, width } = this.plot.getBoundingClientRect()
    if (event.ctrlKey || event.metaKey) {
      const at = this.view.from + ((event.clientX - left) / width) * this.view.span
      this.zoom(Math.exp(Math.max(-1, Math.min(1, event.deltaY * 0.003))), at)
    } else if (event.shiftKey || Math.abs(event.deltaX) > Math.abs(event.deltaY)) {
      this.look(this.view.from + (sideways / width) * this.view.span)
    } else return
    event.preventDefault()
  }

  /** To the hold after the chosen one, or before it; at first, to the one next to the center. */
  step(by) {
    const center = this.view.from + this.view.span / 2
    const chosen = this.holds.indexOf(this.chosen)
    const after = this.holds.findIndex((hold) => this.startOf(hold) > center)
    const next = chosen >= 0 ? chosen + by : (after < 0 ? this.holds.length : after) - (by > 0 ? 0 : 1)
    const hold = this.holds[Math.max(0, Math.min(this.holds.length - 1, next))]
    if (!hold) return
    this.choose(hold)
    const at = this.startOf(hold)
    if (at < this.view.from || at > this.view.from + this.view.span) this.look(at - this.view.span / 2)
  }

  /** Tell the events of this hold instead of those around the middle; \`undefined\`: those again. */
  choose(hold) {
    this.chosen?.classList.remove('chosen')
    this.chosen = hold
    hold?.classList.add('chosen')
    const rows = this.rows.filter((row) => row[0] === hold?.dataset.hold)
    const table = this.around.cloneNode(true)
    table.querySelector('caption').textContent = 'Events of ' + hold?.dataset.hold
    table.tBodies[0].replaceChildren(
      ...rows.map((row) => {
        const line = document.createElement('tr')
        for (const text of row.slice(1, 4)) line.insertCell().textContent = text
        return line
      }),
    )
    const back = Object.assign(document.createElement('button'), { type: 'button', textContent: 'Back to the middle' })
    back.dataset.do = 'around'
    const raw = Object.assign(document.createElement('pre'), { textContent: rows.map((row) => row[4]).join('\\n') })
    const [wide] = this.words.children
    wide.replaceChildren(hold ? table : this.around)
    this.words.replaceChildren(wide, ...(hold ? [raw, back] : []))
    this.said.textContent = hold ? 'Below: the events of ' + hold.dataset.hold : ''
  }
}

const KEYS = {
  '+': 'in', '=': 'in', '-': 'out', ArrowLeft: 'left', ArrowRight: 'right',
  Home: 'middle', 0: 'all', n: 'next', p: 'previous', Escape: 'around',
}

function show(item, seen) {
  if (item.seen === seen) return
  item.seen = seen
  item.node.classList.toggle('off', !seen)
}

function set(node, attributes) {
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value)
}

function shape(name, attributes) {
  const node = document.createElementNS('http://www.w3.org/2000/svg', name)
  set(node, attributes)
  return node
}

/** A link to a trial opens it. */
function openLinked() {
  const trial = document.getElementById(location.hash.slice(1))
  if (!(trial instanceof HTMLDetailsElement)) return
  trial.open = true
  trial.scrollIntoView()
}

document.querySelector('.hint')?.removeAttribute('hidden')
const nearby = new IntersectionObserver(
  (entries) => {
    for (const { isIntersecting, target } of entries) {
      if (!isIntersecting) continue
      nearby.unobserve(target)
      begin(target)
    }
  },
  { rootMargin: '100%' },
)
for (const figure of document.querySelectorAll('.timeline')) nearby.observe(figure)
addEventListener('hashchange', openLinked)
openLinked()
`
