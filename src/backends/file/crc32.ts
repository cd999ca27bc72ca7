/**
 * CRC-32, as zlib, gzip and PNG have it (ISO 3309; polynomial 0xEDB88320, reflected).
 *
 * node:zlib has it, too, and is quicker; but it takes more than a millisecond to load, which a command that is started under a
 * lock would wait for. So it is loaded when there has been enough to read for that.
 */

/** So many bytes go by the table. */
const BYTES_BY_TABLE = 65_536

let left = BYTES_BY_TABLE
let native: ((bytes: Buffer) => number) | undefined
let table: Uint32Array | undefined

export function crc32(bytes: Buffer): number {
  if (native) return native(bytes)
  left -= bytes.length
  if (left < 0) native = process.getBuiltinModule('node:zlib').crc32
  return byTable(bytes)
}

/** Exported for a test, which has it read more. */
export function byTable(bytes: Buffer): number {
  table ??= Uint32Array.from({ length: 256 }, (_, byte) => {
    let value = byte
    for (let bit = 0; bit < 8; bit += 1) value = value & 1 ? (value >>> 1) ^ 0xed_b8_83_20 : value >>> 1
    return value
  })
  let crc = 0xff_ff_ff_ff
  for (let at = 0; at < bytes.length; at += 1) crc = table[(crc ^ bytes[at]!) & 0xff]! ^ (crc >>> 8)
  return (crc ^ 0xff_ff_ff_ff) >>> 0
}
