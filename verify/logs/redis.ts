/**
 * What a Redis server itself did: the calls of the script, in the order in which it carried them out, and what became of each
 * entry by them.
 *
 * MONITOR shows what was asked, when, and whether anything was written; the answers it does not show. They are those of the reference
 * queue, which is told the same calls at the same times: that both say the same is shown on a real server
 * (`test/redis/script.proc.test.ts`). What the script read from the clock is not shown either, only when, which is some
 * microseconds off: so fences are taken from those who were told.
 */
import { Table } from '../../src/queue/table.ts'
import type { Event } from '../../src/verify/history.ts'
import { MemoryRecorder } from '../../src/verify/history.ts'
import type { CoordinatorLog } from '../../src/verify/torture/trial.ts'
import { Diary, labelOf, lookAt } from '../../test/simulation/diary.ts'
import type { Call } from '../../test/simulation/redis/queues.ts'
import { Queues } from '../../test/simulation/redis/queues.ts'
import { callsOf } from '../../test/simulation/redis/words.ts'
import type { Carried } from './ear.ts'
import { Ears } from './ear.ts'
import { userNameOf } from './names.ts'
import type { Told } from './told.ts'
import { fenceTold, toldOf } from './told.ts'

export class RedisLog implements CoordinatorLog {
  readonly #ears: Ears

  private constructor(ears: Ears) {
    this.#ears = ears
  }

  /** @param ports one server, or the primaries of a cluster: a name is in one of them at a time */
  static async open(ports: readonly number[]): Promise<RedisLog> {
    return new RedisLog(await Ears.open(ports))
  }

  async events(seen: readonly Event[]): Promise<Event[] | undefined> {
    return (await this.#ears.heardAll()) ? this.#replay(toldOf(seen)) : undefined
  }

  end(): void {
    this.#ears.end()
  }

  #replay(told: Told): Event[] {
    let at = 0
    const recorder = new MemoryRecorder(() => at)
    const diary = new Diary('redis', recorder)
    const queues = new Queues(Table)
    const all = this.#ears.all.flatMap(({ carried, offsetMs }) => carried.map((each) => ({ carried: each, offsetMs })))
    for (const { carried, offsetMs } of all.sort((a, b) => a.carried.calledAt - b.carried.calledAt)) {
      const { keys, args } = carried.given()
      if (!keys[0]?.startsWith('holdfast:{')) continue
      const calls = callsOf(keys, args)
      // A fraction more, or it would be rounded down to the one before.
      const now = (read(queues, calls, carried, told) + 0.5) / 1000
      at = now + offsetMs
      queues.run(calls, now, ({ name }, said) => {
        diary.look(userNameOf(name), lookAt(queues.view(name, now), at, 1))
        if (said !== 'crowded') diary.answered(userNameOf(name), said)
      })
    }
    return recorder.events
  }
}

/**
 * What the script read from the clock, in microseconds: what the first who came in by it were told, each of its name. Those who
 * came in behind one of the same name were told one more for each.
 */
function read(queues: Queues, calls: readonly Call[], carried: Carried, told: Told): number {
  const { calledAt, readBy } = carried
  const before = new Map<string, Call[]>()
  let later: { readonly fence: number; readonly behind: readonly Call[] } | undefined
  for (const call of calls) {
    if (call.verb !== 'join') continue
    const behind = before.get(call.name) ?? []
    before.set(call.name, [...behind, call])
    const fence = fenceTold(told, userNameOf(call.name), labelOf(call.entry.info))
    if (fence === undefined || fence < calledAt || fence > readBy + behind.length) continue
    if (behind.length === 0) return fence
    later ??= { fence, behind }
  }
  if (!later) return readBy
  const { fence, behind } = later
  let drawn = 0
  // Whoever only tried may have drawn none.
  queues.copy().run(calls, readBy / 1000, (call, said) => {
    if (behind.includes(call) && typeof said === 'object' && 'fence' in said) drawn += 1
  })
  return fence - drawn
}
