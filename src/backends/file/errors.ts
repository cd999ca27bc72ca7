/** What the file system says, in the words of the contract. */
import type { BackendErrorCode } from '../../backend.ts'
import { BackendError } from '../../backend.ts'

const CODES: Readonly<Record<string, readonly [BackendErrorCode, string]>> = {
  ENOSPC: ['STORE_FULL', 'the disk is full; free some space. Leases that cannot be renewed end by their ttl'],
  EDQUOT: ['STORE_FULL', 'the disk quota is used up; free some space'],
  EFBIG: ['STORE_FULL', 'the file size limit of this process is reached'],
  EACCES: ['DENIED', 'this user has no right to it'],
  EPERM: ['DENIED', 'this user has no right to it'],
  EROFS: ['DENIED', 'the file system is read-only; give a directory that can be written to: file:/some/dir'],
  EEXIST: ['MISCONFIGURED', 'its path leads to something that is not a directory'],
  ENOTDIR: ['MISCONFIGURED', 'a part of its path is not a directory'],
  ELOOP: ['MISCONFIGURED', 'its path runs in a circle of links'],
}

/** An error of the file system as one of the contract; our own pass through. */
export function storeError(directory: string, cause: unknown): BackendError {
  if (cause instanceof BackendError) return cause
  const errno = cause instanceof Error && 'code' in cause ? String(cause.code) : ''
  const [code, text] = CODES[errno] ?? ['UNAVAILABLE', cause instanceof Error ? cause.message : String(cause)]
  return new BackendError(code, `the lock store ${directory}: ${text}`, { cause })
}
