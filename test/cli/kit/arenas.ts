/** Where wrappers are tried: a coordinator, a wire to it that can fall silent, and a way to freeze it. */
import { Etcd } from '../../kit/etcd.ts'
import { Proxy } from '../../../src/verify/torture/wire.ts'
import { RedisServer } from '../../kit/redis.ts'

/** One holds through a wire of its own, the next one goes straight to the coordinator. */
export interface Arena {
  /** @param dir the folder of a trial */
  enter(dir: string): Promise<Lane>
  /** The coordinator stands still; `undefined`: it is no process. */
  readonly freeze?: () => void
  readonly thaw?: () => void
  end(): Promise<void>
}

export interface Lane {
  readonly first: string
  readonly second: string
  /** What the first one says arrives nowhere; `undefined`: there is no wire. */
  readonly silence?: () => void
  leave(): Promise<void>
}

/** A store for each trial. */
export const fileArena: Arena = {
  enter(dir) {
    const url = `file:${dir}/store`
    return Promise.resolve({ first: url, second: url, leave: () => Promise.resolve() })
  },
  end: () => Promise.resolve(),
}

interface Server {
  readonly port: number
  freeze(): void
  thaw(): void
}

function arenaAt(scheme: string, server: Server, end: () => Promise<void>): Arena {
  const at = ({ port }: { readonly port: number }): string => `${scheme}://127.0.0.1:${port}`
  return {
    async enter() {
      const wire = await Proxy.start(server.port)
      return { first: at(wire), second: at(server), silence: () => wire.silence(), leave: () => wire.end() }
    },
    freeze: () => server.freeze(),
    thaw: () => server.thaw(),
    end,
  }
}

export const ARENAS: Readonly<Record<string, () => Promise<Arena>>> = {
  file: () => Promise.resolve(fileArena),
  async redis() {
    const server = await RedisServer.start()
    return arenaAt('redis', server, () => server.end())
  },
  async etcd() {
    const etcd = await Etcd.start()
    return arenaAt('etcd', etcd.members[0]!, () => etcd.end())
  },
}
