/**
 * Moves money between accounts of a store, and audits it, while other processes do the
 * same.
 *
 * Prints `open`, `done` after each transfer that was acknowledged, `gave up` where one
 * was in conflict too often, and `wrong` with what an audit found.
 *
 * Argument: the path, the name of the process, how often it is done, and a seed, as
 * JSON.
 */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as process from "node:process"
import { Store, TransactionConflict } from "../../src/index.ts"
import * as Bank from "../torture/bank.ts"
import * as Random from "../torture/random.ts"
import * as Say from "../torture/say.ts"

const { name, path, seed, times } = Schema.decodeUnknownSync(
  Schema.fromJsonString(
    Schema.Struct({ path: Schema.String, name: Schema.String, times: Schema.Int, seed: Schema.Int })
  )
)(process.argv[2])

const say = (line: string) => Effect.sync(() => Say.say(`${line}\n`))

/** Tries again after saying so, as a program does that has the time. */
const untilDone = <A, E>(transaction: Effect.Effect<A, E | TransactionConflict>): Effect.Effect<A, E> =>
  Effect.catchIf(
    transaction,
    (error): error is TransactionConflict => error instanceof TransactionConflict,
    () => Effect.andThen(say("gave up"), untilDone(transaction))
  )

const sayWrong = (differences: ReadonlyArray<string>) => Effect.forEach(differences, (each) => say(`wrong ${each}`))

const program = Effect.gen(function*() {
  const store = yield* Store.make({ path, shared: true, durability: "noSync" })
  const bank = yield* Bank.open(store)
  const random = Random.make(seed)
  yield* say("open")
  for (let count = 1; count <= times; count++) {
    yield* untilDone(Bank.transfer(bank, name, random))
    yield* say("done")
    if (random.oneIn(10)) yield* Effect.flatMap(untilDone(Bank.audit(bank)), sayWrong)
    if (random.oneIn(20)) yield* Effect.flatMap(untilDone(Bank.auditAndNote(bank, name)), sayWrong)
  }
}).pipe(Effect.scoped)

NodeRuntime.runMain(program)
