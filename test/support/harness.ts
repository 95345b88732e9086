/**
 * What many tests of the store need: a folder, a store on a faulty engine, the
 * log, and a way to wait for what happens in other fibers.
 */
import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as FileSystem from "effect/FileSystem"
import * as Logger from "effect/Logger"
import * as Engine from "../../src/Engine.ts"
import { Store, type StoreOptions } from "../../src/index.ts"
import { recordsDatabase } from "../../src/internal/databases.ts"
import type { ByteString } from "../../src/Key.ts"
import * as FaultyEngine from "./engines/faultyEngine.ts"

/** A folder that is removed with the scope. */
export const temporaryFolder = FileSystem.FileSystem.pipe(
  Effect.flatMap((fs) => fs.makeTempDirectoryScoped({ prefix: "effect-lmdb-test-" })),
  Effect.orDie,
  Effect.provide(NodeFileSystem.layer)
)

/** A store in a folder of its own, on an engine with faults on demand. */
export const faultyStore = Effect.fnUntraced(function*(options: Partial<StoreOptions> = {}) {
  const path = options.path ?? (yield* temporaryFolder)
  const faulty = yield* FaultyEngine.make
  const open = Effect.provideService(Store.makeWithEngine({ ...options, path }), Engine.Engine, faulty.engine)
  const store = yield* open
  return { faulty, open, path, store }
})

/** Opens a store, uses it, and closes it again. */
export const withStore = <A, E, R>(
  options: StoreOptions,
  use: (store: Store["Service"]) => Effect.Effect<A, E, R>
) => Effect.scoped(Effect.flatMap(Store.make(options), use))

/** Writes to the database of the records of a store, below it. */
export const writing =
  (...writes: ReadonlyArray<readonly [key: ByteString, value: Uint8Array | null]>): Engine.Plan => () =>
    Exit.succeed({ clear: [], writes: writes.map(([key, value]): Engine.Write => [recordsDatabase, key, value]) })

/** Starts a fiber and runs it until it waits for something. */
export const start = <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.forkChild(effect, { startImmediately: true })

/** Lets other fibers and the native engine run until something holds. */
export const until = (holds: () => boolean): Effect.Effect<void> =>
  Effect.suspend(() => holds() ? Effect.void : Effect.andThen(Effect.yieldNow, until(holds)))

/** Lets other fibers run for a number of turns. */
export const turns = (times: number): Effect.Effect<void> =>
  Effect.repeat(Effect.yieldNow, { times }).pipe(Effect.asVoid)

/** One message of the log. */
export interface LogEntry {
  readonly level: string
  readonly text: string
}

/** Runs an effect and gives what it logs, besides its result. */
export const withLog = <A, E, R>(
  use: (entries: ReadonlyArray<LogEntry>) => Effect.Effect<A, E, R>
): Effect.Effect<A, E, R> =>
  Effect.suspend(() => {
    const entries: Array<LogEntry> = []
    const logger = Logger.map(
      Logger.formatStructured,
      (entry) => void entries.push({ level: entry.level, text: [entry.message, entry.cause].flat().join("\n").trim() })
    )
    return Effect.provide(use(entries), Logger.layer([logger]))
  })
