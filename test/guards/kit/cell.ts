/**
 * What every guard must do, told once: on a value with a version, as each store keeps it.
 *
 * Whatever happens to the value is written down in the order in which the store did it, and judged by the checker of the
 * guarded register.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { Holder } from '../../../src/guards/index.ts'
import { guardedRegister } from '../../../src/verify/checkers/guarded-register.ts'
import type { Access } from '../../../src/verify/history.ts'
import { historyOf } from '../../../src/verify/history.ts'

/** What an access that was let in found, and its place among all of them. */
export interface Found {
  readonly version: number
  readonly order: number
}

/** A value behind a guard. Each call is an access of its own, over the same store. */
export interface Cell {
  read(holder: Holder): Promise<Found>
  write(holder: Holder, version: number): Promise<Found>
  /** Past the guard. */
  peek(): Promise<Found>
}

type Kind = 'exclusive' | 'shared'

/** @param open a cell that nobody has used, protected by the lock `name` */
export function everyGuard(open: (name: string) => Promise<Cell>, { runs = 40 } = {}): void {
  let cells = 0
  const fresh = async (): Promise<Story> => {
    const name = `cell:${(cells += 1)}`
    return new Story(name, await open(name))
  }

  test('lets in whom the rule lets in, and nobody else', async () => {
    // Some have one digit and some two: text would be ordered otherwise.
    const visits = fc.array(fc.record({ fence: fc.integer({ min: 7, max: 12 }), shared: fc.boolean() }), {
      minLength: 1,
      maxLength: 12,
    })
    await fc.assert(
      fc.asyncProperty(visits, async (list) => {
        const story = await fresh()
        const accepted: { fence: number; mode: Kind }[] = []
        for (const { fence, shared } of list) {
          const mode = shared ? 'shared' : 'exclusive'
          const may = bySentence(accepted, fence, mode)
          expect(await story.read(story.holder(fence, mode)), JSON.stringify(list)).toBe(may)
          if (may) accepted.push({ fence, mode })
        }
      }),
      { numRuns: runs },
    )
  })

  test('fences of today are told apart to the last digit', async () => {
    const story = await fresh()
    const fence = 2 ** 53 - 2
    expect(await story.write(story.holder(fence))).toBe(true)
    expect(await story.read(story.holder(fence + 1))).toBe(true)
    expect(await story.write(story.holder(fence))).toBe(false)
    expect(story.refusals.at(-1)).toMatchObject({ fence: BigInt(fence), newest: BigInt(fence + 1) })
  })

  test('a holder that wakes up late can neither read nor write', async () => {
    const story = await fresh()
    const [a, b] = [story.holder(1), story.holder(2)]
    expect(await story.read(a)).toBe(true)
    expect(await story.read(b)).toBe(true)
    expect(await story.write(b)).toBe(true)
    expect(await story.write(a)).toBe(false)
    expect(await story.read(a)).toBe(false)
    expect(story.refusals).toHaveLength(2)
    for (const error of story.refusals) {
      expect(error).toMatchObject({
        name: 'StaleFenceError',
        code: 'STALE_FENCE',
        lock: story.name,
        fence: 1n,
        newest: 2n,
      })
    }
    expect((await story.cell.peek()).version).toBe(1)
    expect(story.violations()).toEqual([])
  })

  test('a read past the guard loses an update, and a read through it does not', async () => {
    const [careless, careful] = [await fresh(), await fresh()]
    for (const story of [careless, careful]) {
      const [a, b] = [story.holder(1), story.holder(2)]
      expect(await story.read(a)).toBe(true)
      expect(await (story === careless ? story.peek(b) : story.read(b))).toBe(true)
      expect(await story.write(a)).toBe(story === careless)
      expect(await story.write(b)).toBe(true)
    }
    expect(careless.violations()).toContain(`"${careless.name}": the update of 1 exclusive was lost to 2 exclusive`)
    expect(careful.violations()).toEqual([])
  })

  test('an old reader reads beside a newer one, but not behind a writer', async () => {
    const story = await fresh()
    expect(await story.read(story.holder(2, 'shared'))).toBe(true)
    expect(await story.read(story.holder(1, 'shared'))).toBe(true)
    expect(await story.write(story.holder(1))).toBe(false)
    expect(await story.write(story.holder(3))).toBe(true)
    expect(await story.read(story.holder(2, 'shared'))).toBe(false)
    expect(await story.read(story.holder(3, 'shared'))).toBe(true)
    expect(story.violations()).toEqual([])
  })

  test('a refused access changes nothing, also not for those who come later', async () => {
    const story = await fresh()
    expect(await story.write(story.holder(5))).toBe(true)
    expect(await story.write(story.holder(3))).toBe(false)
    expect(await story.read(story.holder(4, 'shared'))).toBe(false)
    expect(await story.write(story.holder(5))).toBe(true)
    // The refused write would have put 2 there.
    expect((await story.cell.peek()).version).toBe(3)
  })

  test('what is remembered of one name says nothing about another', async () => {
    const [one, other] = [await fresh(), await fresh()]
    expect(await one.write(one.holder(9))).toBe(true)
    expect(await other.write(other.holder(1))).toBe(true)
  })

  test('of many that all believe to hold, no update is lost', async () => {
    const story = await fresh()
    let fences = 0
    const believer = async (): Promise<void> => {
      for (let turn = 0; turn < 12; turn += 1) {
        const holder = story.holder((fences += 1), fences % 5 === 0 ? 'shared' : 'exclusive')
        if (!(await story.read(holder))) continue
        await sleep(fences % 3)
        if (holder.mode === 'exclusive') await story.write(holder)
      }
    }
    await Promise.all(Array.from({ length: 8 }, believer))
    const last = story.holder(fences + 1)
    expect(await story.read(last)).toBe(true)
    expect(await story.write(last)).toBe(true)
    expect(story.refusals.length).toBeGreaterThan(0)
    expect(story.writes).toBeGreaterThan(1)
    expect(story.violations()).toEqual([])
  })
}

/** The sentence of the design, over everything that was accepted before: no state, no code of ours. */
export function bySentence(accepted: readonly { fence: number; mode: Kind }[], fence: number, mode: Kind): boolean {
  const largest = (list: readonly { fence: number }[]): number => Math.max(0, ...list.map((each) => each.fence))
  const x = largest(accepted.filter((each) => each.mode === 'exclusive'))
  const s = largest(accepted)
  return mode === 'exclusive' ? fence >= s : fence >= x
}

/** Who came to a cell, and what became of it. */
class Story {
  readonly name: string
  readonly cell: Cell
  readonly refusals: Error[] = []
  writes = 0
  readonly #accesses: { order: number; access: Access }[] = []
  /** The version that each hold has read. */
  readonly #bases = new Map<string, number>()
  #versions = 0

  constructor(name: string, cell: Cell) {
    this.name = name
    this.cell = cell
  }

  holder(fence: number, mode: Kind = 'exclusive'): Holder {
    return { name: this.name, fence: BigInt(fence), mode }
  }

  read(holder: Holder): Promise<boolean> {
    return this.#try(holder, 'read', () => this.cell.read(holder))
  }

  peek(holder: Holder): Promise<boolean> {
    return this.#try(holder, 'read', () => this.cell.peek())
  }

  async write(holder: Holder): Promise<boolean> {
    const puts = (this.#versions += 1)
    const written = await this.#try(holder, 'write', () => this.cell.write(holder, puts), puts)
    if (written) this.writes += 1
    return written
  }

  violations(): string[] {
    const accesses = this.#accesses.sort((a, b) => a.order - b.order).map(({ access }) => access)
    return guardedRegister(historyOf(accesses), new Set([this.name])).map(({ text }) => text)
  }

  /** Only what was let in has a place in the order of the store; `everyGuard` looks at refusals one by one. */
  async #try(holder: Holder, does: Access['does'], go: () => Promise<Found>, puts?: number): Promise<boolean> {
    const hold = `${holder.fence} ${holder.mode}`
    try {
      const { version, order } = await go()
      const base = puts === undefined ? undefined : (this.#bases.get(hold) ?? 0)
      const about = { register: this.name, hold, fence: Number(holder.fence), mode: holder.mode as Kind }
      const access: Access = {
        kind: 'access',
        at: order,
        process: 'p',
        ...about,
        does,
        accepted: true,
        version,
        puts,
        base,
      }
      this.#accesses.push({ order, access })
      this.#bases.set(hold, puts ?? version)
      return true
    } catch (error) {
      if ((error as { code?: string }).code !== 'STALE_FENCE') throw error
      this.refusals.push(error as Error)
      return false
    }
  }
}
