/** Values as the shell writes them: for people, as SQL, as JSON. Exact for every INTEGER and REAL. */
import type { Value } from '../../model/program.ts'
import { realLiteral } from '../../store/dump/dump-values.ts'

/** REAL with the fewest digits that mean this number, and never taken for an INTEGER. */
export function realText(value: number): string {
  if (value === Number.POSITIVE_INFINITY) return 'Inf'
  if (value === Number.NEGATIVE_INFINITY) return '-Inf'
  return realLiteral(value)
}

/** As text, without quotes; a blob as X'…'. */
export function plainText(value: Value, nullText: string): string {
  switch (typeof value) {
    case 'bigint':
      return String(value)
    case 'number':
      return realText(value)
    case 'string':
      return value
    default:
      return value === null ? nullText : blobLiteral(value)
  }
}

/** As a literal of SQL. */
export function sqlLiteral(value: Value): string {
  switch (typeof value) {
    case 'bigint':
      return String(value)
    case 'number':
      return realLiteral(value)
    case 'string':
      return value.includes('\0')
        ? `CAST(${blobLiteral(Buffer.from(value))} AS TEXT)`
        : `'${value.replaceAll("'", "''")}'`
    default:
      return value === null ? 'NULL' : blobLiteral(value)
  }
}

/** As JSON; numbers in full, blobs as { "base64": … } as in every --json of this program. */
export function jsonText(value: Value): string {
  switch (typeof value) {
    case 'bigint':
      return String(value)
    case 'number':
      return Number.isFinite(value) ? realLiteral(value) : value > 0 ? '9e999' : '-9e999'
    case 'string':
      return JSON.stringify(value)
    default:
      if (value === null) return 'null'
      return JSON.stringify({ base64: Buffer.from(value).toString('base64') })
  }
}

function blobLiteral(value: Uint8Array): string {
  return `X'${Buffer.from(value).toString('hex').toUpperCase()}'`
}
