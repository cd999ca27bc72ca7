// The clients, behind one door: `toggle(key)` is one transaction, the same for each: put a key if it is absent, else delete
// it; `watch(key, heard)` resolves when it stands.
import { createRequire } from 'node:module'

// The linter gives types to all scripts when one of them imports something that has types. So none does, to its knowledge.
const others = createRequire(import.meta.url)
const ours = (file) => import(new URL(`../../../src/backends/etcd/${file}`, import.meta.url))
const { EtcdClient } = await ours('client.ts')
const { IS, OF, TXN, WATCH } = await ours('messages.ts')

const VALUE = Buffer.from('x'.repeat(100))
const CALL_MS = 1000

export const CLIENTS = {
  'holdfast, node:http2': ofHoldfast,
  'grpc-js, pick_first': (endpoints) => ofGrpc(endpoints, 'pick_first'),
  'grpc-js, round_robin': (endpoints) => ofGrpc(endpoints, 'round_robin'),
  etcd3: ofEtcd3,
}

function ofHoldfast(endpoints) {
  const client = new EtcdClient({ endpoints, callMs: CALL_MS })
  return {
    toggle(name) {
      const key = Buffer.from(name)
      return client.call(TXN, {
        compare: [{ key, of: OF.create, is: IS.equal, createRevision: 0 }],
        success: [{ put: { key, value: VALUE } }],
        failure: [{ delete: { key } }],
      })
    },
    watch: (name, heard) =>
      new Promise((stands, fails) => {
        const message = ({ created, events }) => (created ? stands() : events.forEach(heard))
        client.stream(WATCH, { message, ended: fails }).then((stream) => {
          stream.send({ create: { key: Buffer.from(name) } })
        }, fails)
      }),
    close: () => client.close(),
  }
}

/** As its documentation has it: the messages by proto-loader, the deadline with each call. */
function ofGrpc(endpoints, policy) {
  const grpc = others('@grpc/grpc-js')
  const loader = others('@grpc/proto-loader')
  const definition = loader.loadSync(new URL('etcd.proto', import.meta.url).pathname, { longs: Number })
  const { KV, Watch } = grpc.loadPackageDefinition(definition).etcdserverpb
  const target = `ipv4:${endpoints.map((each) => new URL(each).host).join(',')}`
  const config = { 'grpc.service_config': JSON.stringify({ loadBalancingConfig: [{ [policy]: {} }] }) }
  const kv = new KV(target, grpc.credentials.createInsecure(), config)
  const watches = new Watch(target, grpc.credentials.createInsecure(), config)
  return {
    toggle: (name) =>
      new Promise((resolve, reject) => {
        const key = Buffer.from(name)
        const request = {
          compare: [{ key, target: 1, result: 0, createRevision: 0 }],
          success: [{ requestPut: { key, value: VALUE } }],
          failure: [{ requestDeleteRange: { key } }],
        }
        const answered = (error, answer) => (error ? reject(error) : resolve(answer))
        kv.Txn(request, { deadline: Date.now() + CALL_MS }, answered)
      }),
    watch: (name, heard) =>
      new Promise((stands, fails) => {
        const stream = watches.Watch()
        stream.on('error', fails)
        stream.on('data', ({ created, events }) => (created ? stands() : events.forEach(heard)))
        stream.write({ createRequest: { key: Buffer.from(name) } })
      }),
    close() {
      kv.close()
      watches.close()
    },
  }
}

function ofEtcd3(hosts) {
  const { Etcd3 } = others('etcd3')
  const client = new Etcd3({ hosts })
  return {
    toggle: (name) =>
      client
        .if(name, 'Create', '==', 0)
        .then(client.put(name).value(VALUE))
        .else(client.delete().key(name))
        .options({ deadline: Date.now() + CALL_MS })
        .commit(),
    async watch(name, heard) {
      const watcher = await client.watch().key(name).create()
      watcher.on('put', heard).on('delete', heard)
    },
    close: () => client.close(),
  }
}
