#!/usr/bin/env node
'use strict'

// Read by whatever Node is first on PATH, however old: only words that every Node ever released understands.
var version = process.versions.node.split('.')
var major = Number(version[0])
var minor = Number(version[1])

if (major < 22 || (major === 22 && minor < 13)) {
  process.stderr.write(
    'holdfast needs Node 22.13 or later; this is Node ' +
      process.versions.node +
      '. Install a newer Node, or put it first on PATH.\n'
  )
  process.exitCode = 78
} else {
  require('./start.cjs')
}
