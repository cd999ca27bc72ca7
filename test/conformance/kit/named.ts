/** A backend whose names all begin with something. */
import type { Backend, Claim, QueueView } from '../../../src/backend.ts'

/** Every verb takes a name, or an entry that has one. */
export function named(start: string, backend: Backend): Backend {
  const withName = (value: unknown): unknown =>
    typeof value === 'object' && value !== null && 'name' in value
      ? { ...value, name: `${start}${(value as Claim).name}` }
      : value
  return new Proxy(backend, {
    get(target, verb: keyof Backend) {
      const method = target[verb] as unknown
      if (typeof method !== 'function') return method
      if (verb === 'inspect') return (prefix: string) => shorn(start, target.inspect(`${start}${prefix}`))
      return (first: unknown, ...more: unknown[]): unknown => {
        const given =
          typeof first === 'string' ? `${start}${first}` : Array.isArray(first) ? first.map(withName) : first
        return (method as (...words: unknown[]) => unknown).call(target, withName(given), ...more)
      }
    },
  })
}

async function* shorn(start: string, views: AsyncIterable<QueueView>): AsyncGenerator<QueueView> {
  for await (const view of views) yield { ...view, name: view.name.slice(start.length) }
}
