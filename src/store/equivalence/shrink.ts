/** Makes a failing script short: drops whatever it fails without. */
import type { Item, Script, ScriptProgram, Sql } from './script.ts'

/** Whether a script still fails in the same way. */
export type Fails = (script: Script) => boolean

/**
 * Drops items, then programs and statements, in ever smaller pieces, until nothing can go or the
 * budget is used up.
 *
 * @param runsMax how often a script may be tried
 */
export function shrink(script: Script, fails: Fails, runsMax: number): Script {
  let runs = 0
  const within: Fails = (shorter) => {
    runs += 1
    return runs <= runsMax && fails(shorter)
  }
  let best = script
  for (;;) {
    const before = sizeOf(best)
    best = shrinkOnce(best, within)
    if (sizeOf(best) === before || runs >= runsMax) return best
  }
}

function shrinkOnce(script: Script, fails: Fails): Script {
  let best = script
  best = { ...best, items: dropPieces(best.items, (items) => fails({ ...best, items })) }
  best = { ...best, prepare: dropPieces(best.prepare, (prepare) => fails({ ...best, prepare })) }
  for (let i = 0; i < best.items.length; i += 1) {
    const withItem = (item: Item): Script => ({ ...best, items: best.items.with(i, item) })
    best = withItem(shrinkItem(best.items[i] as Item, (item) => fails(withItem(item))))
  }
  return best
}

function shrinkItem(item: Item, fails: (item: Item) => boolean): Item {
  switch (item.kind) {
    case 'batch': {
      const try_ = (programs: readonly ScriptProgram[]) => fails({ kind: 'batch', programs })
      let programs = dropPieces(item.programs, try_)
      for (const [i, program] of programs.entries()) {
        const within = (statements: readonly Sql[]) => programs.with(i, { ...program, statements })
        programs = within(dropPieces(program.statements, (list) => try_(within(list))))
      }
      return { kind: 'batch', programs }
    }
    case 'stream': {
      const try_ = (rounds: readonly (readonly Sql[])[]) => fails({ kind: 'stream', rounds })
      let rounds = dropPieces(item.rounds, try_)
      for (const [i, round] of rounds.entries()) {
        rounds = rounds.with(
          i,
          dropPieces(round, (list) => try_(rounds.with(i, list))),
        )
      }
      return { kind: 'stream', rounds }
    }
    default:
      return item
  }
}

/** Drops halves, quarters, and so on, down to single members, while it still fails; keeps one. */
function dropPieces<T>(list: readonly T[], fails: (list: readonly T[]) => boolean): readonly T[] {
  let best = list
  for (
    let size = Math.ceil(list.length / 2);
    size >= 1;
    size = size === 1 ? 0 : Math.ceil(size / 2)
  ) {
    for (let at = best.length - size; at > -size; at -= size) {
      const from = Math.max(0, at)
      const shorter = best.toSpliced(from, at + size - from)
      if (shorter.length > 0 && fails(shorter)) best = shorter
    }
  }
  return best
}

function sizeOf({ prepare, items }: Script): number {
  const inner = (item: Item): number => {
    if (item.kind === 'batch') return item.programs.flatMap((one) => one.statements).length
    return item.kind === 'stream' ? item.rounds.flat().length : 0
  }
  return prepare.length + items.length + items.reduce((sum, item) => sum + inner(item), 0)
}
