/**
 * A long time: all kinds of calls by turns, of the store and of the implementations of
 * Effect's storage interfaces, with flat memory and a flat file, in a process that has
 * done nothing else.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import { rmSync } from "node:fs"
import { join } from "node:path"
import * as process from "node:process"
import { Store, type StoreService } from "../../src/index.ts"
import * as LmdbPersistedQueue from "../../src/PersistedQueue.ts"
import { temporaryFolder } from "../support/harness.ts"
import * as Place from "../support/place.ts"
import * as MixedPorts from "./mixedPorts.ts"
import * as Random from "./random.ts"
import { record, type RoundOptions, type Section } from "./section.ts"

const step = (store: StoreService, random: Random.Random, folder: string) => {
  const key = () => `key ${random.below(2000)}`
  const value = () => ({ text: "x".repeat(random.below(random.oneIn(20) ? 20_000 : 500)) })
  const choice = random.below(1000)
  if (choice < 450) return store.put(key(), value())
  if (choice < 550) return store.delete(key())
  if (choice < 650) return Effect.asVoid(store.get(key()))
  if (choice < 700) return Effect.asVoid(store.getMany(random.many(10, key)))
  if (choice < 800) return Effect.asVoid(store.update(key(), Option.map((current) => current)))
  if (choice < 880) return store.putMany(random.many(10, () => [key(), value()] as const))
  if (choice < 920) return store.deleteMany(random.many(10, key))
  if (choice < 940) return Effect.asVoid(Stream.runCount(store.entries({ gte: key(), limit: 100 })))
  if (choice < 960) {
    return store.withTransaction(
      Effect.flatMap(store.get(key()), (found) => store.put(key(), Option.getOrElse(found, value)))
    )
  }
  if (choice < 990) return store.flush
  if (choice < 998) return Effect.asVoid(store.stats)
  const copy = join(folder, `copy ${random.below(1e9)}`)
  return Effect.andThen(store.backup(copy), Effect.sync(() => rmSync(copy, { recursive: true })))
}

const mebibyte = 1024 * 1024

const inMebibytes = (bytes: number): number => Math.round(bytes / mebibyte)

/** What a process holds in memory beside its heap, which is where a leak of the engine would be, and its heap. */
const memory = (): number => process.memoryUsage().rss

/** The most that was held at a time in a part of the work. */
interface Part {
  readonly memory: number
  readonly file: number
}

const atOnce = 500

/** Works until a time has come. */
const workUntil = Effect.fnUntraced(function*(
  end: number,
  doStep: () => Effect.Effect<void, unknown>,
  bytes: Effect.Effect<number, unknown>
) {
  let steps = 0
  let most: Part = { memory: 0, file: 0 }
  while ((yield* Clock.currentTimeMillis) < end) {
    for (let at = 0; at < atOnce; at++) yield* doStep()
    steps += atOnce
    most = { memory: Math.max(most.memory, memory()), file: Math.max(most.file, yield* bytes) }
  }
  return { ...most, steps }
})

/** A short run is still filling up: what a garbage collector leaves lying about is no leak. */
const mostGrowth = (minutes: number): number => minutes < 10 ? 2 : 1.1

/** One call in so many is one of the implementations of Effect's interfaces: most of them wait for the disk. */
const callsPerPortCall = 20

/** Works for a time, in two halves. */
const work = Effect.fnUntraced(
  function*(
    store: StoreService,
    folder: string,
    bytes: Effect.Effect<number, unknown>,
    seed: number,
    half: number
  ) {
    const recorder = record()
    const random = Random.make(seed)
    const portStep = yield* MixedPorts.open(random, recorder)
    const doStep = () => random.oneIn(callsPerPortCall) ? Effect.asVoid(portStep()) : step(store, random, folder)
    const start = yield* Clock.currentTimeMillis
    const first = yield* workUntil(start + half, doStep, bytes)
    const second = yield* workUntil(start + 2 * half, doStep, bytes)
    return { first, second, recorder }
  }
)

/** The section. The second half of the work needs no more memory and no longer file than the first. */
export const section: Section = {
  rounds: { quick: 1, long: 1 },
  runsOnPostgres: true,
  round: Effect.fnUntraced(function*(seed, { minutes, store: kind }: RoundOptions) {
    const folder = yield* temporaryFolder
    const place = yield* Place.make(kind)
    // A log that keeps everything would grow for the whole time
    const store = yield* Place.open(place, kind === "lmdb" ? {} : { changeLog: { retention: "10 seconds" } })
    const { first, recorder, second } = yield* Effect.scoped(
      work(store, folder, Place.bytesOf(place, store), seed, minutes * 30_000)
    ).pipe(
      Effect.provide(LmdbPersistedQueue.layer()),
      Effect.provideService(Store, store)
    )
    recorder.count("minutes", minutes)
    recorder.count("steps", first.steps + second.steps)
    for (const what of ["memory", "file"] as const) {
      recorder.count(`most MiB of ${what}, first half`, inMebibytes(first[what]))
      recorder.count(`most MiB of ${what}, second half`, inMebibytes(second[what]))
      recorder.expect(
        second[what] <= mostGrowth(minutes) * first[what] + 64 * mebibyte,
        `${what}: ${first[what]} bytes in the first half, ${second[what]} in the second`
      )
    }
    return recorder.report()
  })
}
