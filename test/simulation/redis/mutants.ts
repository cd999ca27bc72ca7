/** Known mistakes that only Redis with its replicas and failovers shows, to be put in on purpose. */
import type { Mutant } from '../mutant.ts'

const backend = 'backends/redis/index.ts'
const replicated = 'backends/redis/replicated.ts'
const table = 'queue/table.ts'

const nextFence = 'this.#lastFence = Math.max(this.#lastFence + 1, Math.floor(now.wallMs * 1000))'

export const redisMutants: readonly Mutant[] = [
  {
    name: 'counter-restarts',
    mistake: 'fences are a plain counter, which begins anew when the server has lost what it knew',
    patches: [{ file: table, find: nextFence, replace: 'this.#lastFence += 1' }],
    seedsMax: 200,
  },
  {
    name: 'clock-alone',
    mistake: "a fence is the server's time, whatever the last one was",
    patches: [{ file: table, find: nextFence, replace: 'this.#lastFence = Math.floor(now.wallMs * 1000)' }],
    seedsMax: 200,
  },
  {
    name: 'replicas-not-counted',
    mistake: 'what counts only on replicas counts however many have it',
    patches: [{ file: replicated, find: 'if (Number(got) >= this.#replicas)', replace: 'if (Number(got) >= 0)' }],
    seedsMax: 2000,
  },
  {
    name: 'one-replica-is-enough',
    mistake: 'one replica is enough, however many were asked for',
    patches: [{ file: replicated, find: 'if (Number(got) >= this.#replicas)', replace: 'if (Number(got) >= 1)' }],
    seedsMax: 4000,
  },
  {
    name: 'joins-on-the-primary',
    mistake: 'grants do not wait for the replicas, renewals do',
    patches: [
      {
        file: backend,
        find: 'this.#grants = grants ? new Lane(grants, scripts.joins, this.#naming) : this.#joins',
        replace: 'this.#grants = this.#joins',
      },
    ],
    seedsMax: 1000,
  },
  {
    name: 'renewals-on-the-primary',
    mistake: 'renewals do not wait for the replicas, grants do',
    patches: [
      {
        file: backend,
        find: 'this.#renewals = renewals ? new Lane(renewals, scripts.others, this.#naming) : this.#others',
        replace: 'this.#renewals = this.#others',
      },
    ],
    seedsMax: 400,
  },
  {
    name: 'waits-for-the-last-one',
    mistake: 'it is the script before that the replicas are waited for',
    patches: [
      {
        file: replicated,
        find: `      const answers = (await client.script(script, keys, args, () => {
        waited = this.#wait(client)
      })) as unknown[]`,
        replace: `      waited = this.#wait(client)
      const answers = (await client.script(script, keys, args)) as unknown[]`,
      },
    ],
    seedsMax: 2000,
  },
]
