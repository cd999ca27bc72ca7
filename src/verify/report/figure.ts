/** The timeline of a trial with what belongs to it: what can be done with it, its events in words, and what is unpacked later. */
import { deflateRawSync } from 'node:zlib'
import type { Event } from '../history.ts'
import { historyOf } from '../history.ts'
import { belonging } from './excerpt.ts'
import type { Markup } from './markup.ts'
import { markup } from './markup.ts'
import type { Excerpt } from './report.ts'
import { timelineOf } from './timeline.ts'
import { offset, wordsOf } from './words.ts'

/** So many events next to the middle are told in words. */
const TOLD = 24

/** What the coordinator and its entries say of themselves is told with the hold that it belongs to, and not here. */
const UNTOLD = new Set<Event['kind']>(['checked', 'entered', 'holds', 'waits', 'lightened', 'lingers', 'left', 'end'])

/** @param drawn it can be seen without a script */
export function figureOf(excerpt: Excerpt, drawn: boolean): Markup {
  const drawing = timelineOf(excerpt)
  const packed = { drawing: drawn ? undefined : drawing.text, rows: rowsOf(excerpt) }
  return markup`<figure class="timeline">
<figcaption>${excerpt.about}</figcaption>
<div class="tools" hidden role="group" aria-label="Timeline">
<button type="button" data-do="out" aria-label="Zoom out">−</button>
<button type="button" data-do="in" aria-label="Zoom in">+</button>
<button type="button" data-do="left" aria-label="Earlier">◂</button>
<button type="button" data-do="right" aria-label="Later">▸</button>
<button type="button" data-do="middle">Middle</button>
<button type="button" data-do="all">All</button>
<button type="button" data-do="previous">Previous hold</button>
<button type="button" data-do="next">Next hold</button>
<span aria-live="polite"></span>
</div>
<div class="stage" role="group" aria-label="Timeline. Keys: plus and minus zoom, arrows move, Home shows the middle, 0 shows all, n and p choose the next and the previous hold.">${
    drawn
      ? drawing
      : markup`<p class="muted">This timeline is drawn by a script. What happened around its middle is below, in words.</p>`
  }</div>
<p class="scale">In milliseconds from the middle, which is ${excerpt.at} on the scale of the history.</p>
<div class="words"><div class="wide">${tableOf(excerpt)}</div></div>
<template>${deflateRawSync(JSON.stringify(packed)).toString('base64')}</template>
</figure>`
}

function tableOf({ at, events }: Excerpt): Markup {
  const near = events
    .filter(({ kind }) => !UNTOLD.has(kind))
    .sort((a, b) => Math.abs(a.at - at) - Math.abs(b.at - at))
    .slice(0, TOLD)
    .sort((a, b) => a.at - b.at)
  return markup`<table><caption>Around the middle</caption>
<thead><tr><th scope="col">When</th><th scope="col">Who</th><th scope="col">What</th></tr></thead>
<tbody>${near.map(
    (event) =>
      markup`<tr${event.at === at && markup` class="now"`}><td>${offset(event.at, at)}</td><td>${event.process}</td><td>${wordsOf(event, at)}</td></tr>`,
  )}</tbody></table>`
}

type Row = readonly [hold: string, when: string, who: string, what: string, event: string]

/** What can be told of each hold. */
function rowsOf({ at, events }: Excerpt): Row[] {
  const holdOf = belonging(historyOf(events))
  return events.flatMap((event): Row[] => {
    const hold = holdOf(event)
    return hold ? [[hold.id, offset(event.at, at), event.process, wordsOf(event, at), JSON.stringify(event)]] : []
  })
}
