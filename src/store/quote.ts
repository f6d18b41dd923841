/** Names in SQL text. */

/** An identifier as SQL. */
export function quote(name: string): string {
  return `"${name.replaceAll('"', '""')}"`
}
