/**
 * Opens copies of a database that are damaged one after the other, each in its own
 * way, and prints what came of each. In a process of its own: what it tries out is
 * how to bring a process down.
 *
 * Arguments: the file, a folder to work in, and the damages as JSON.
 */
import { Effect } from "effect"
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import * as process from "node:process"
import { Store } from "../../src/index.ts"
import * as Damage from "../support/damage.ts"
import { say } from "../torture/say.ts"

const [, , file = "", folder = "", json = "[]"] = process.argv
const whole = new Uint8Array(readFileSync(file))
const damages = Damage.fromJson(json)

/** `right` where the database opens and all of its records are as they were. */
const open = (path: string, readOnly: boolean) =>
  Store.make({ path, readOnly, durability: "noSync" }).pipe(
    Effect.flatMap((store) =>
      Effect.gen(function*() {
        const { found, missing } = yield* store.getMany(Damage.records.map(([key]) => key))
        const isRight = missing.length === 0 && Damage.records.every(([key, value]) => found.get(key) === value)
        if (!readOnly) {
          yield* store.putMany({ more: 1 })
          yield* store.delete("more")
          yield* store.flush
        }
        return isRight ? "right" : `${missing.length} missing`
      })
    ),
    Effect.catch((error) => Effect.succeed("reason" in error ? `${error._tag} ${error.reason._tag}` : error._tag)),
    Effect.catchDefect((defect) => Effect.succeed(`defect ${String(defect)}`)),
    Effect.scoped
  )

const program = Effect.forEach(damages, (damage, index) =>
  Effect.gen(function*() {
    // Said first, so that it is known what a process died of
    say(`${JSON.stringify(damage)}: `)
    const outcomes: Array<string> = []
    for (const readOnly of "cutAt" in damage ? [true, false] : [false]) {
      const path = join(folder, `${index} ${readOnly}`)
      mkdirSync(path)
      writeFileSync(join(path, "data.mdb"), Damage.apply(whole, damage))
      outcomes.push(yield* open(path, readOnly))
      rmSync(path, { recursive: true })
    }
    say(`${outcomes.join(", ")}\n`)
  }))

await Effect.runPromise(program)
