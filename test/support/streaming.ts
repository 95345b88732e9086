/**
 * What tests of streams need: a stream that is read by hand, a store whose engine is
 * in the test's hands, and a simple model of ranges.
 */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Pull from "effect/Pull"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { Buffer } from "node:buffer"
import { Engine, type Environment, type RangePart } from "../../src/Engine.ts"
import { type EngineFailure, type Range, Store, type StoreOptions } from "../../src/index.ts"
import * as LmdbEngine from "../../src/internal/lmdb/lmdbEngine.ts"
import { temporaryFolder } from "./harness.ts"

/** A stream that is read when the test says so. */
export interface HandRead<A, E> {
  /** The next part; nothing when the stream has ended. */
  readonly next: Effect.Effect<ReadonlyArray<A>, E>
  /** All that is left; ends it. */
  readonly rest: Effect.Effect<ReadonlyArray<A>, E>
  /** Reads no more of it. */
  readonly end: Effect.Effect<void>
}

/** Begins to read a stream by hand; the scope ends it at the latest. It starts with the first `next`. */
export const readByHand: <A, E>(
  stream: Stream.Stream<A, E>
) => Effect.Effect<HandRead<A, E>, never, Scope.Scope> = Effect.fnUntraced(function*<A, E>(
  stream: Stream.Stream<A, E>
) {
  const scope = yield* Effect.acquireRelease(Scope.make(), (made) => Scope.close(made, Exit.void))
  const pull = yield* Scope.provide(Stream.toPull(stream), scope)
  const next: Effect.Effect<ReadonlyArray<A>, E> = Pull.catchDone(
    pull,
    (): Effect.Effect<ReadonlyArray<A>> => Effect.succeed([])
  )
  const end = Scope.close(scope, Exit.void)
  const rest = Effect.gen(function*() {
    const all: Array<A> = []
    for (let part = yield* next; part.length > 0; part = yield* next) all.push(...part)
    return all
  })
  const read: HandRead<A, E> = { next, rest: Effect.ensuring(rest, end), end }
  return read
})

/** A store on the LMDB engine, and the environment that it is on. */
export const openWith = Effect.fnUntraced(function*(
  options: Partial<StoreOptions> = {},
  change: (environment: Environment) => Partial<Environment> = () => ({})
) {
  const path = options.path ?? (yield* temporaryFolder)
  const real = yield* Effect.provide(Engine, LmdbEngine.layer)
  const opened: Array<Environment> = []
  const engine: Engine["Service"] = {
    ...real,
    open: (engineOptions) =>
      Effect.map(real.open(engineOptions), (environment) => {
        opened.push(environment)
        return { ...environment, ...change(environment) }
      })
  }
  const store = yield* Effect.provideService(Store.makeWithEngine({ ...options, path }), Engine, engine)
  const [environment] = opened
  return { environment: environment ?? (yield* Effect.die("no environment was opened")), path, store }
})

/** The environment, with its reads in the test's hands. */
export const withReads = (
  environment: Environment,
  change: (part: Exit.Exit<RangePart, EngineFailure>) => Exit.Exit<RangePart, EngineFailure>
): Partial<Environment> => ({
  read: (database, request) => change(environment.read(database, request)),
  snapshot: () =>
    Exit.map(environment.snapshot(), (snapshot) => ({
      ...snapshot,
      read: (database, request) => change(snapshot.read(database, request))
    }))
})

/** How a test writes a key. */
export type TestKey = string | Uint8Array

/** A range whose ends are written like that. */
export interface TestRange extends Range {
  readonly prefix?: TestKey
  readonly gt?: TestKey
  readonly gte?: TestKey
  readonly lt?: TestKey
  readonly lte?: TestKey
}

/** The records of a range as a reader expects them: sorted, those that fit, from one end, some of them. */
export const inRange = <A>(
  records: Iterable<readonly [key: Uint8Array, value: A]>,
  range: TestRange,
  encoding: "utf8" | "utf16le" = "utf8"
): ReadonlyArray<readonly [Uint8Array, A]> => {
  const bytesOf = (key: TestKey): Buffer => typeof key === "string" ? Buffer.from(key, encoding) : Buffer.from(key)
  const holds = (end: TestKey | undefined, check: (end: Buffer) => boolean): boolean =>
    end === undefined || check(bytesOf(end))
  const wanted = [...records]
    .filter(([key]) =>
      holds(range.prefix, (prefix) => prefix.equals(Buffer.from(key).subarray(0, prefix.length))) &&
      holds(range.gt, (end) => Buffer.compare(key, end) > 0) &&
      holds(range.gte, (end) => Buffer.compare(key, end) >= 0) &&
      holds(range.lt, (end) => Buffer.compare(key, end) < 0) &&
      holds(range.lte, (end) => Buffer.compare(key, end) <= 0)
    )
    .toSorted(([a], [b]) => Buffer.compare(a, b))
  if (range.reverse === true) wanted.reverse()
  const { limit = Infinity, offset = 0 } = range
  return wanted.slice(offset, offset + limit)
}
