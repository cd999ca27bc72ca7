/**
 * A backend that is loaded at its first use: whoever locks in a file pays nothing for the drivers of servers.
 */
import type { Backend, Claim, Entry, Finding, Placed, QueueView, Renewal, Standing, Supports, Wake } from './backend.ts'
import { BackendError } from './backend.ts'

type Optional = 'joinAll' | 'attend' | 'keyOf'

export class Later implements Backend {
  readonly kind: string
  readonly supports: Supports
  readonly joinAll?: NonNullable<Backend['joinAll']>
  readonly attend?: NonNullable<Backend['attend']>
  readonly keyOf?: NonNullable<Backend['keyOf']>
  readonly #load: () => Promise<Backend>
  #loading: Promise<Backend> | undefined
  #loaded: Backend | undefined
  #closed = false

  /** @param optional the verbs that not every backend has, and this one will */
  constructor(kind: string, supports: Supports, load: () => Promise<Backend>, optional: readonly Optional[] = []) {
    this.kind = kind
    this.supports = supports
    this.#load = load
    if (optional.includes('joinAll')) this.joinAll = async (entries) => (await this.#backend()).joinAll!(entries)
    if (optional.includes('attend'))
      this.attend = (claim, alarm) => this.#loaded?.attend?.(claim, alarm) ?? ((): void => {})
    if (optional.includes('keyOf')) this.keyOf = (claim) => this.#loaded?.keyOf?.(claim)
  }

  async join(entry: Entry): Promise<Standing> {
    return (await this.#backend()).join(entry)
  }

  async renew(claim: Claim, ttlMs: number, signal?: AbortSignal): Promise<Renewal> {
    return (await this.#backend()).renew(claim, ttlMs, signal)
  }

  async renewAll(
    claims: readonly Placed[],
    ttlMs: number,
    signal?: AbortSignal,
  ): Promise<readonly (Renewal | undefined)[]> {
    const backend = await this.#backend()
    if (backend.renewAll) return backend.renewAll(claims, ttlMs, signal)
    return Promise.all(claims.map((claim) => backend.renew(claim, ttlMs, signal)))
  }

  async leave(claim: Claim, options?: { readonly lingerMs?: number }): Promise<boolean> {
    return (await this.#backend()).leave(claim, options)
  }

  async lighten(claim: Claim, weight: number, signal?: AbortSignal): Promise<Renewal> {
    return (await this.#backend()).lighten(claim, weight, signal)
  }

  async describe(claim: Claim, info: string, signal?: AbortSignal): Promise<boolean> {
    return (await this.#backend()).describe(claim, info, signal)
  }

  watch(claim: Claim, wake: Wake): (() => void) | Promise<() => void> {
    return this.#loaded?.watch(claim, wake) ?? this.#subscribe((backend) => backend.watch(claim, wake))
  }

  async follow(name: string, wake: () => void): Promise<() => void> {
    return this.#subscribe((backend) => backend.follow(name, wake))
  }

  async *inspect(prefix: string, signal?: AbortSignal): AsyncGenerator<QueueView> {
    yield* (await this.#backend()).inspect(prefix, signal)
  }

  async evict(name: string, fence: bigint, signal?: AbortSignal): Promise<boolean> {
    return (await this.#backend()).evict(name, fence, signal)
  }

  async diagnose(signal?: AbortSignal): Promise<readonly Finding[]> {
    return (await this.#backend()).diagnose(signal)
  }

  async close(): Promise<void> {
    this.#closed = true
    const backend = await this.#loading?.catch(() => undefined)
    await backend?.close()
  }

  /** What cannot be loaded says so at the next verb; subscribing never fails. */
  async #subscribe(subscribe: (backend: Backend) => (() => void) | Promise<() => void>): Promise<() => void> {
    const backend = await this.#backend().catch(() => undefined)
    return backend ? subscribe(backend) : () => {}
  }

  async #backend(): Promise<Backend> {
    if (this.#closed) throw new BackendError('CLOSED', `this ${this.kind} backend was closed`)
    this.#loading ??= this.#load()
    this.#loaded ??= await this.#loading
    return this.#loaded
  }
}
