/** The program of a worker process that locks with this library. */
import { connect } from '../../connect.ts'
import { play } from './player.ts'

void play(({ url, options }) => connect(url, options))
