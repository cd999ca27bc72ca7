import { describe, expect, test } from 'vitest'
import { WHOLE } from '../../src/backend.ts'
import type { KeyRange } from '../../src/backends/etcd/keys.ts'
import { Naming, classOf } from '../../src/backends/etcd/keys.ts'

const NAMES = ['lock:a', 'lock:a/b', 'lock:a%2Fb', 'permits:%', 'election:ü 漢 🔒', 'lock:../w/x', 'lock:a0', 'x']
const CLASSES = ['w', 'r', 'n3', 'n30']

function lies(key: Buffer, { key: first, rangeEnd }: KeyRange): boolean {
  // A single zero is the end of all keys.
  const endless = rangeEnd.equals(Buffer.of(0))
  return Buffer.compare(key, first) >= 0 && (endless || Buffer.compare(key, rangeEnd) < 0)
}

describe.each([
  ['with a prefix', new Naming('holdfast', false)],
  ['beside etcdctl', new Naming('holdfast', true)],
])('keys %s', (_, naming) => {
  test.each(NAMES)('%s is read from its keys', (name) => {
    for (const kind of CLASSES)
      expect(naming.parse(naming.key(name, kind, 'dG9rZW4'))).toEqual({ name, class: kind, seat: 'dG9rZW4' })
  })

  test.each(NAMES.filter((name) => !name.includes('/')))(
    'the keys of %s lie in its range, and no others do',
    (name) => {
      for (const other of NAMES)
        for (const kind of CLASSES)
          expect(lies(naming.key(other, kind, 'id'), naming.all(name))).toBe(
            other === name || (other.startsWith(`${name}/`) && naming.all(name).key.toString() === 'a/'),
          )
    },
  )

  test.each(NAMES)('a search for the beginning of %s finds its keys', (name) => {
    const letters = Array.from(name)
    for (let length = 0; length <= letters.length; length += 1) {
      const ranges = naming.starting(letters.slice(0, length).join(''))
      for (const kind of CLASSES) expect(ranges.some((range) => lies(naming.key(name, kind, 'id'), range))).toBe(true)
    }
  })
})

/** Which classes a list of conditions finds to be in the way. */
function inTheWay(conditions: readonly Partial<KeyRange>[]): string[] {
  const naming = new Naming('holdfast', false)
  return CLASSES.filter((kind) => conditions.some((each) => lies(naming.key('q', kind, 'id'), each as KeyRange)))
}

test('who is alone: for a reader, other readers are not in the way', () => {
  const naming = new Naming('holdfast', false)
  expect(inTheWay(naming.alone('q', 'w'))).toEqual(CLASSES)
  expect(inTheWay(naming.alone('q', 'n3'))).toEqual(CLASSES)
  expect(inTheWay(naming.alone('q', 'r'))).toEqual(['w', 'n3', 'n30'])
})

test('who counts in another capacity', () => {
  const naming = new Naming('holdfast', false)
  expect(inTheWay(naming.agreeing('q', 'w'))).toEqual(['n3', 'n30'])
  expect(inTheWay(naming.agreeing('q', 'r'))).toEqual(['n3', 'n30'])
  expect(inTheWay(naming.agreeing('q', 'n3'))).toEqual(['w', 'r', 'n30'])
  expect(inTheWay(naming.agreeing('q', 'n30'))).toEqual(['w', 'r', 'n3'])
})

test('the class of an entry', () => {
  expect(classOf({ weight: WHOLE, capacity: WHOLE })).toBe('w')
  expect(classOf({ weight: 1, capacity: WHOLE })).toBe('r')
  expect(classOf({ weight: 3, capacity: 3 })).toBe('n3')
})

test('what others write is not ours, and lies beside it', () => {
  const plain = new Naming('holdfast', true)
  expect(plain.parse(Buffer.from('deploy/web/694d77aa9e38260f'))).toEqual({
    name: 'lock:deploy/web',
    class: '',
    seat: '694d77aa9e38260f',
  })
  for (const key of ['config/web', 'deploy', 'holdfast/process/694d77aa9e38260f'])
    expect(plain.parse(Buffer.from(key))).toBeUndefined()
  expect(new Naming('holdfast', false).parse(Buffer.from('deploy/694d77aa9e38260f'))).toBeUndefined()
})
