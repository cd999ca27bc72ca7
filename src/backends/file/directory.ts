/**
 * Where the store is, and whether it may be there.
 *
 * Without a word from the user it is one directory per user, found from the account and never from the environment: a
 * cron job and a shell of the same user must exclude each other. If that place cannot be used, the answer is an error and
 * never another place, for two places are no lock at all.
 */
import { chmodSync, lstatSync, mkdirSync, statfsSync, statSync } from 'node:fs'
import { userInfo } from 'node:os'
import { dirname, isAbsolute, join, resolve } from 'node:path'
import { BackendError } from '../../backend.ts'
import { storeError } from './errors.ts'

/** Modes of what is made: the user's own, or the group's as well. */
export interface Modes {
  readonly directory: number
  readonly file: number
}

const OWN: Modes = { directory: 0o700, file: 0o600 }
const SHARED: Modes = { directory: 0o2770, file: 0o660 }

/**
 * File systems of which another machine, or another kernel, may see the same directory. There, neither the clock nor the
 * end of a process can be told, and appending is not atomic. Magic numbers of statfs(2).
 */
const FOREIGN: ReadonlyMap<number, string> = new Map([
  [0x6969, 'NFS'],
  [0x517b, 'SMB'],
  [0xfe534d42, 'SMB2'],
  [0xff534d42, 'CIFS'],
  [0x01021997, '9p'],
  [0x65735546, 'FUSE'],
  [0x5346414f, 'AFS'],
  [0x00c36400, 'Ceph'],
  [0x7461636f, 'OCFS2'],
  [0x01161970, 'GFS2'],
  [0x0bd00bd0, 'Lustre'],
  [0x47504653, 'GPFS'],
])

/** The store of this user, from the account's entry: `~/.local/state/holdfast`. */
export function defaultDirectory(): string {
  let home = ''
  try {
    home = userInfo().homedir
  } catch {
    // No account for this number, as in some containers: the error below says what to do.
  }
  if (!isAbsolute(home)) {
    throw new BackendError(
      'MISCONFIGURED',
      'this user has no home directory to keep locks in; give one: file:/var/lib/app/locks',
    )
  }
  return join(home, '.local', 'state', 'holdfast')
}

/** Make the directory if it is missing, and refuse one that cannot hold a lock. */
export function prepareDirectory(given: string, shared: boolean): Modes {
  const directory = resolve(given)
  const modes = shared ? SHARED : OWN
  try {
    make(directory, modes, shared)
    make(join(directory, 's'), modes, shared)
  } catch (error) {
    throw storeError(directory, error)
  }
  checkOwner(directory, shared)
  checkOwner(join(directory, 's'), shared)
  checkFileSystem(directory)
  return modes
}

/** Not by the `recursive` of mkdir, which goes round in circles for ever where nothing can be made, as in /proc. */
function make(directory: string, modes: Modes, shared: boolean): void {
  if (isDirectory(directory)) return
  if (dirname(directory) !== directory) make(dirname(directory), modes, shared)
  try {
    mkdirSync(directory, modes.directory)
  } catch (error) {
    // Others may have been quicker.
    if (isDirectory(directory)) return
    throw error
  }
  // The umask has its say in mkdir, and a group that shares a store must be able to write to it.
  if (shared) chmodSync(directory, modes.directory)
}

function isDirectory(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false
}

function checkOwner(directory: string, shared: boolean): void {
  const stat = statSync(directory)
  const uid = process.getuid?.()
  const others = shared ? 0o002 : 0o022
  if ((stat.mode & others) !== 0) {
    const whom = shared ? 'everybody' : 'others'
    const fix = shared ? 'chmod o-w' : "chmod go-w, or add '?shared' for a store of a group"
    throw new BackendError(
      'MISCONFIGURED',
      `the lock store ${directory} may be written to by ${whom}, who could forge locks; ${fix}`,
    )
  }
  if (uid !== undefined && stat.uid !== uid && !shared) {
    throw new BackendError(
      'DENIED',
      `the lock store ${directory} belongs to another user (uid ${stat.uid}); give a directory of your own: file:/some/dir`,
    )
  }
  if (!lstatSync(directory).isDirectory() && !shared && uid !== undefined && lstatSync(directory).uid !== uid) {
    throw new BackendError('DENIED', `the lock store ${directory} is a link that belongs to another user`)
  }
}

function checkFileSystem(directory: string): void {
  if (process.platform !== 'linux') return
  const name = FOREIGN.get(statfsSync(directory).type)
  if (name === undefined) return
  throw new BackendError(
    'MISCONFIGURED',
    `the lock store ${directory} is on a file system that other machines may share (${name}), where file: cannot tell who is alive; ` +
      `give a local directory (file:/var/lib/app/locks), or use a coordinator with a server`,
  )
}
