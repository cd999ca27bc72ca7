/** The program of a worker process that locks with another library; its name stands before the set-up. */
import { play } from '../../src/verify/torture/player.ts'
import { LIBRARIES } from './libraries.ts'

const [library] = process.argv.splice(2, 1)

void play(({ url, ttlMs }) => LIBRARIES[library!]!({ url, ttlMs }))
