/**
 * Bad files: what was a store and was cut, flipped, overwritten or swapped, and what
 * other programs wrote, is opened, read and written to. It ends in a result or a typed
 * error, and never with a dead process.
 *
 * Each file is opened in a child process, many by the same; when it dies, another one
 * goes on behind the file that it died of.
 */
import * as Effect from "effect/Effect"
import { chmodSync } from "node:fs"
import { join } from "node:path"
import * as process from "node:process"
import { temporaryFolder } from "../support/harness.ts"
import * as Children from "./children.ts"
import { record, type Recorder, type Section } from "./section.ts"
import * as Shapes from "./shapes.ts"

const programs = {
  openAs: new URL("../programs/openAs.ts", import.meta.url),
  openCorrupted: new URL("../programs/openCorrupted.ts", import.meta.url)
}

/** What came of one file, as the child said it. */
interface Outcome {
  readonly number: number
  readonly canBeKnown: boolean
  readonly what: string
  /** Nothing when the child died of it. */
  readonly came: string | undefined
}

const readOutcome = (line: string): Outcome => {
  const [, number = "", known = "", what = "", came] = /^(\d+) (\w+) (.*?)(?: => (.*))?$/.exec(line) ?? []
  return { number: Number(number), canBeKnown: known === "known", what, came }
}

const recordOutcome = (recorder: Recorder, name: string, { came = "", canBeKnown, number, what }: Outcome): void => {
  recorder.count("files")
  if (/^(bit|byte)/.test(what)) recorder.count("files with flipped bits")
  if (came === "right") recorder.count("right data")
  else if (came.startsWith("other data")) recorder.count("other data, nothing to see")
  else recorder.count("typed errors")
  recorder.expect(!came.startsWith("died"), `${name}, number ${number}, ${what}: ${came}`)
  recorder.expect(!canBeKnown || !came.startsWith("other data"), `${name}, number ${number}, ${what}: ${came}`)
}

/** Where the files of a round are, and from what they follow. */
interface Work {
  readonly shape: number
  readonly file: string
  readonly seed: number
  readonly onlyKnown: boolean
}

/** Opens the files from one number to another in a child. */
const openAll = Effect.fnUntraced(function*(work: Work, first: number, last: number) {
  return yield* Children.run(programs.openCorrupted, { ...work, folder: yield* temporaryFolder, first, last })
}, Effect.scoped)

/** Opens a file alone that a child died of: it may have died of an earlier one, which left its memory in disorder. */
const diesAlone = Effect.fnUntraced(function*(work: Work, number: number) {
  const { code } = yield* openAll(work, number, number)
  return code !== 0
})

/** Opens so many damaged copies of a store, whose shape follows from the seed. */
export const openDamaged = Effect.fnUntraced(
  function*(seed: number, files: number, options: { readonly onlyKnown: boolean }) {
    const recorder = record()
    const shape = Shapes.shapeAt(seed)
    const folder = yield* temporaryFolder
    yield* Shapes.make(shape, join(folder, "whole"))
    const work: Work = { shape: seed, file: join(folder, "whole", "data.mdb"), seed, ...options }
    const last = files - 1
    for (let first = 0; first <= last;) {
      const ending = yield* openAll(work, first, last)
      const outcomes = ending.lines.map(readOutcome)
      for (const outcome of outcomes) recordOutcome(recorder, shape.name, outcome)
      first += outcomes.length
      if (ending.code === 0) break
      recorder.count("dead processes")
      // The line that was begun has no end: what it tells of is what the child died of
      const culprit = first > last || !(yield* diesAlone(work, first)) ? "one of the files before" : ending.rest
      recorder.lose(`${shape.name}, number ${first}, ${culprit} -> ${Children.describe(ending)}`)
      first++
    }
    return recorder.report()
  }
)

const isRoot = process.getuid?.() === 0
const anotherUser = "65534"

/** A store whose files another user may read and write, but for its lock file. */
const openLockOfAnother = Effect.fnUntraced(function*(recorder: Recorder) {
  if (!isRoot) return recorder.skip("a lock file of another user needs a process that may change its user")
  const folder = yield* temporaryFolder
  const path = join(folder, "store")
  yield* Shapes.make(Shapes.shapeAt(0), path)
  for (const each of [folder, path]) chmodSync(each, 0o777)
  chmodSync(join(path, "data.mdb"), 0o666)
  chmodSync(join(path, "lock.mdb"), 0o600)
  const ending = yield* Children.runCommand(process.execPath, [programs.openAs.pathname, anotherUser, path], {})
  recorder.count("lock files of another user")
  recorder.expect(ending.code === 0 && /^(opened|OpenFailed)/.test(ending.lines[0] ?? ""), Children.describe(ending))
})

/** The section. */
export const section: Section = {
  rounds: { quick: Shapes.shapes.length, long: 6 * Shapes.shapes.length },
  round: Effect.fnUntraced(function*(seed, { quick }) {
    const recorder = record()
    yield* openLockOfAnother(recorder)
    recorder.add(yield* openDamaged(seed, quick ? 30 : 400, { onlyKnown: false }))
    return recorder.report()
  })
}
