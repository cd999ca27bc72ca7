import type { Backend } from '../../backend.ts'
export interface FileOptions {
  readonly directory?: string
  readonly shared?: boolean
}
export function file(_options: FileOptions = {}): Backend {
  throw new Error('not yet')
}
