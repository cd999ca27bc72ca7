/**
 * A report as one page of HTML that needs nothing else: no network, no fonts, no files beside it.
 *
 * What may run in it is named by its hash, so nothing that a history says can, even if it got past the escaping.
 *
 * A drawing of 2,000 events takes two hundred kilobytes and thousands of elements, and a page may have 150 trials. So only
 * some drawings are there from the beginning, of trials that were violated or whose assumption was broken: those a reader
 * came for can be seen without a script, and are printed. The others, and the events of all, are there compressed, and are
 * unpacked when a reader comes to them. They are compressed as they are drawn here, so that there is one code that draws.
 */
import { createHash } from 'node:crypto'
import { byName } from '../history.ts'
import { figureOf } from './figure.ts'
import type { Part } from './markup.ts'
import { Markup, markup } from './markup.ts'
import type { Figures, Report, Trial, Verdict } from './report.ts'
import { verdictOf } from './report.ts'
import { SCRIPT } from './script.ts'
import { SIGNS, classOf, iconOf, legend, markOf } from './signs.ts'
import { STYLE } from './style.ts'
import { count, counted, listed } from './words.ts'

/** So many drawings are there without a script. */
const DRAWN_MAX = 24

/** Not in a template: the bundler would make another program of one that has it, with a helper from outside. */
const END_OF_SCRIPT = '</script>'
/** A list of more than this says how many more there are. */
const LISTED_MAX = 12

export function pageOf(report: Report): string {
  const drawn = new Set(
    [...report.trials.filter(isViolated), ...report.trials.filter((trial) => trial.breaks !== undefined)].slice(
      0,
      DRAWN_MAX,
    ),
  )
  const trials = report.trials.map((trial, index) => ({
    ...trial,
    id: `trial-${index + 1}`,
    drawn: drawn.has(trial),
  }))
  const verdict = verdictOf(trials)
  const policy = `default-src 'none'; img-src data:; style-src ${hashOf(STYLE)}; script-src ${hashOf(SCRIPT)}; base-uri 'none'; form-action 'none'`
  return markup`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="${policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${TITLES[verdict]} ${report.command}</title>
<link rel="icon" href="${iconOf(verdict)}">
<style>${new Markup(STYLE)}</style>
</head>
<body>
${SIGNS}
<header class="banner ${classOf(verdict)}">
<h1>${markOf(verdict)}${TITLES[verdict]}</h1>
<p>${sentenceOf(trials)}</p>
${listOfBad(trials)}
</header>
<main>
${environmentOf(report)}
${matrixOf(trials)}
${totalsOf(trials)}
${assumptionsOf(trials)}
${trialsOf(trials)}
</main>
${new Markup(`<script>${SCRIPT}${END_OF_SCRIPT}`)}
</body>
</html>
`.text
}

/** A trial, and where it stands in the page. */
interface Placed extends Trial {
  readonly id: string
  /** Its timeline can be seen without a script. */
  readonly drawn: boolean
}

function isViolated({ verdict }: Trial): boolean {
  return verdict === 'violated'
}

const TITLES: Readonly<Record<Verdict, string>> = {
  held: 'The lock held.',
  violated: 'The lock broke a promise.',
  'proved nothing': 'This proves nothing.',
}

/** The verdict on all of them in a sentence, after its title. */
export function sentenceOf(trials: readonly Trial[]): string {
  if (trials.length === 0) return 'There was no trial.'
  const of = (verdict: Verdict): number => trials.filter((trial) => trial.verdict === verdict).length
  const all = counted(trials.length, 'trial')
  switch (verdictOf(trials)) {
    case 'violated':
      return `${count(of('violated'))} of ${all} violated what is promised:`
    case 'proved nothing':
      return `${count(of('proved nothing'))} of ${all} could not have failed, since the fault was not felt or a server did not start; the others held.`
    case 'held': {
      const { grants, strikes, overlaps } = sumOf(trials)
      const coordinators = listed(distinct(trials.map(({ coordinator }) => coordinator)))
      return `Nothing that is promised was broken in ${all}: ${counted(grants, 'grant')} at ${coordinators}, while faults struck ${counted(strikes, 'time')}.${
        overlaps > 0
          ? ` Where an assumption was broken on purpose, two believed at once ${counted(overlaps, 'time')}.`
          : ''
      }`
    }
  }
}

/** What to look at first. */
function listOfBad(trials: readonly Placed[]): Part {
  const verdict = verdictOf(trials)
  const bad = trials.filter((trial) => verdict !== 'held' && trial.verdict === verdict)
  if (bad.length === 0) return undefined
  return markup`<ul>${bad
    .slice(0, LISTED_MAX)
    .map(
      (trial) => markup`<li><a href="#${trial.id}">${titleOf(trial)}</a>: ${trial.why}</li>`,
    )}${more(bad.length)}</ul>`
}

function more(length: number): Part {
  return length > LISTED_MAX && markup`<li>and ${count(length - LISTED_MAX)} more</li>`
}

function environmentOf({ command, startedAt, environment, trials }: Report): Markup {
  const { holdfast, node, system, cores, servers } = environment
  const seconds = trials.reduce((sum, trial) => sum + trial.seconds, 0)
  return markup`<h2>What was run</h2>
${factsOf([
  ['Command', markup`<code>${command}</code>`],
  ['Started', timeOf(startedAt)],
  ['Trials', `${count(trials.length)}, which took ${counted(seconds, 'second')} together`],
  ['holdfast', holdfast],
  ['Node.js', node],
  ['System', `${system}, ${counted(cores, 'core')}`],
  ['Servers', listed(Object.entries(servers).map(([name, version]) => `${name} ${version}`)) || 'none'],
])}`
}

/** Facts that are `undefined` are left out. */
function factsOf(facts: readonly (readonly [name: string, fact: Part])[]): Markup {
  return markup`<dl class="facts">${facts.map(
    ([name, fact]) => fact !== undefined && markup`<dt>${name}</dt><dd>${fact}</dd>`,
  )}</dl>`
}

function timeOf(iso: string): Markup {
  return markup`<time datetime="${iso}">${iso.replace(/^(\d{4}-\d\d-\d\d)T(\d\d:\d\d:\d\d)(?:\.\d+)?Z$/, '$1 $2 UTC')}</time>`
}

function matrixOf(trials: readonly Placed[]): Part {
  if (trials.length === 0) return undefined
  const coordinators = distinct(trials.map(({ coordinator }) => coordinator))
  const faults = distinct(trials.map(({ fault }) => fault))
  const cell = (fault: string, coordinator: string): Markup =>
    cellOf(trials.filter((trial) => trial.fault === fault && trial.coordinator === coordinator))
  return markup`<h2>Verdicts</h2>
<div class="wide"><table class="matrix">
<thead><tr><th scope="col">Fault</th>${coordinators.map((coordinator) => markup`<th scope="col">${coordinator}</th>`)}</tr></thead>
<tbody>${faults.map(
    (fault) =>
      markup`<tr><th scope="row">${fault}</th>${coordinators.map((coordinator) => cell(fault, coordinator))}</tr>`,
  )}</tbody>
</table></div>`
}

/** Leads to the worst of them. */
function cellOf(trials: readonly Placed[]): Markup {
  const verdict = verdictOf(trials)
  const worst = trials.find((trial) => trial.verdict === verdict)
  if (!worst) return markup`<td><span class="muted">not tried</span></td>`
  const { overlaps } = sumOf(trials)
  const notes = [
    trials.length > 1 && counted(trials.length, 'trial'),
    trials.some(({ breaks }) => breaks !== undefined) && 'assumption broken',
    overlaps > 0 && counted(overlaps, 'overlap'),
  ].filter((note) => note !== false)
  return markup`<td><a class="${classOf(verdict)}" href="#${worst.id}">${markOf(verdict)}${verdict}${
    notes.length > 0 && markup`<small>${notes.join(', ')}</small>`
  }</a></td>`
}

function totalsOf(trials: readonly Trial[]): Markup {
  const sum = sumOf(trials)
  const tiles: readonly (readonly [number, string])[] = [
    [sum.operations, 'operations'],
    [sum.grants, 'grants'],
    [sum.strikes, 'times a fault struck'],
    [sum.overlaps, 'times two believed at once'],
    [sum.lostUpdates, 'updates lost by registers without a guard'],
    [sum.refused, 'stale accesses refused by guarded registers'],
  ]
  return markup`<h2>Figures</h2>
<dl class="tiles">${tiles.map(([value, what]) => markup`<div><dt>${what}</dt><dd>${count(value)}</dd></div>`)}</dl>`
}

function assumptionsOf(trials: readonly Trial[]): Part {
  if (trials.length === 0) return undefined
  const broken = trials.filter(({ breaks }) => breaks !== undefined)
  const kept = trials.filter(({ breaks }) => breaks === undefined)
  return markup`<h2>Assumptions</h2>
${kept.length > 0 && markup`<p>${keptSentence(kept)}</p>`}
${broken.length > 0 && markup`<p>${brokenSentence(broken)}</p>${brokenTable(broken)}`}
${broken.length === 0 && markup`<p>No assumption was broken on purpose.</p>`}`
}

function keptSentence(trials: readonly Trial[]): string {
  const { overlaps } = sumOf(trials)
  return `${counted(trials.length, 'trial')} kept everything that the promise rests on, so all of it must hold there: ${overlaps === 0 ? 'nowhere did two believe at once' : `two believed at once ${counted(overlaps, 'time')}`}.`
}

/** What it cost, and whether what the last line of defence promises held all the same. */
export function brokenSentence(trials: readonly Trial[]): string {
  const { overlaps, lostUpdates, refused } = sumOf(trials)
  const unguarded = trials.some(({ violations }) => violations.some(({ checker }) => checker === 'guarded-register'))
  const guard = unguarded
    ? 'A guarded register was violated all the same; see the trials.'
    : `The guarded registers refused ${counted(refused, 'stale access', 'stale accesses')}, and lost no update.`
  return `${counted(trials.length, 'trial')} broke an assumption on purpose, to see what that costs: two believed at once ${counted(overlaps, 'time')}, and registers without a guard lost ${counted(lostUpdates, 'update')}. ${guard}`
}

function brokenTable(trials: readonly Trial[]): Markup {
  const rows = byName(trials, ({ coordinator, fault, breaks }) => JSON.stringify([coordinator, fault, breaks]))
  return markup`<div class="wide"><table>
<thead><tr><th scope="col">Coordinator</th><th scope="col">Fault</th><th scope="col">What it takes away</th><th scope="col" class="number">Two believed at once</th><th scope="col" class="number">Lost without a guard</th><th scope="col" class="number">Refused by the guard</th></tr></thead>
<tbody>${[...rows.values()].map((same) => {
    const { coordinator, fault, breaks } = same[0]!
    const { overlaps, lostUpdates, refused } = sumOf(same)
    return markup`<tr><th scope="row">${coordinator}</th><td>${fault}</td><td>${breaks}</td>${[overlaps, lostUpdates, refused].map((value) => markup`<td class="number">${count(value)}</td>`)}</tr>`
  })}</tbody>
</table></div>`
}

function trialsOf(trials: readonly Placed[]): Part {
  if (trials.length === 0) return undefined
  const groups: readonly (readonly [string, (trial: Trial) => boolean])[] = [
    ['Violated', isViolated],
    ['Proved nothing', ({ verdict }) => verdict === 'proved nothing'],
    ['Held, though an assumption was broken', ({ verdict, breaks }) => verdict === 'held' && breaks !== undefined],
    ['Held', ({ verdict, breaks }) => verdict === 'held' && breaks === undefined],
  ]
  return markup`<h2>Trials</h2>
<p>Each has a timeline: a block for each name, a lane for each process, and time runs to the right.</p>
${legend()}
<p class="hint" hidden>Drag to move, turn the wheel with Ctrl to zoom, click a hold for its events. Keys: + and − zoom, ← and → move, Home shows the middle, 0 shows all, n and p choose the next and the previous hold.</p>
${groups.map(([title, belongs]) => {
  const own = trials.filter(belongs)
  return own.length > 0 && markup`<h3>${title} (${count(own.length)})</h3>${own.map(trialOf)}`
})}`
}

function trialOf(trial: Placed): Markup {
  const { id, verdict, why, figures, breaks, violations, seed, again, startedAt, seconds, excerpt, drawn } = trial
  return markup`<details class="trial ${classOf(verdict)}" id="${id}"${isViolated(trial) && markup` open`}>
<summary><div><h4>${markOf(verdict)}${titleOf(trial)}</h4><span class="verdict">${verdict}</span><span class="muted">${counted(figures.grants, 'grant')}, ${counted(figures.strikes, 'strike')}${figures.overlaps > 0 && `, ${counted(figures.overlaps, 'overlap')}`}</span></div></summary>
<div class="body">
<p>${why}</p>
${violations.length > 0 && violationsOf(violations)}
${factsOf([
  ['Assumption', breaks === undefined ? 'all are kept' : `broken on purpose: ${breaks}`],
  ['Figures', figuresOf(figures)],
  ['Seed', seed],
  ['Again', again === undefined ? undefined : markup`<code>${again}</code>`],
  ['Started', markup`${timeOf(startedAt)}, for ${counted(seconds, 'second')}`],
])}
${excerpt && figureOf(excerpt, drawn)}
</div>
</details>
`
}

function violationsOf(violations: Trial['violations']): Markup {
  return markup`<ul class="violations">${violations
    .slice(0, LISTED_MAX)
    .map(({ checker, text }) => markup`<li><strong>${checker}</strong>: ${text}</li>`)}${more(violations.length)}</ul>`
}

function figuresOf({ operations, grants, logged, strikes, overlaps, lostUpdates, refused }: Figures): string {
  return listed([
    counted(operations, 'operation'),
    counted(grants, 'grant'),
    ...(logged > 0 ? [`${counted(logged, 'grant')} in the coordinator's own log`] : []),
    counted(strikes, 'strike'),
    counted(overlaps, 'overlap'),
    `${counted(lostUpdates, 'update')} lost without a guard`,
    `${counted(refused, 'stale access', 'stale accesses')} refused`,
  ])
}

function titleOf({ coordinator, fault }: Trial): string {
  return `${coordinator} × ${fault}`
}

function sumOf(trials: readonly Pick<Trial, 'figures'>[]): Figures {
  const sum = (of: keyof Figures): number => trials.reduce((total, { figures }) => total + figures[of], 0)
  return {
    operations: sum('operations'),
    grants: sum('grants'),
    logged: sum('logged'),
    strikes: sum('strikes'),
    overlaps: sum('overlaps'),
    lostUpdates: sum('lostUpdates'),
    refused: sum('refused'),
  }
}

/** In the order in which they came. */
function distinct(items: readonly string[]): string[] {
  return [...new Set(items)]
}

function hashOf(text: string): string {
  return `'sha256-${createHash('sha256').update(text).digest('base64')}'`
}
