/**
 * Checks the options of a store and fills in the defaults.
 */
import * as ByteSize from "effect/ByteSize"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import * as Redacted from "effect/Redacted"
import * as Result from "effect/Result"
import * as Schedule from "effect/Schedule"
import type { EngineOptions } from "../../Engine.ts"
import { OpenFailed } from "../../StoreError.ts"
import type { BackendStoreOptions, StoreOptions } from "../../StoreOptions.ts"
import type { KeyOptions } from "../key/keyCodec.ts"
import { pathProblem } from "../key/pathProblem.ts"
import { ownerOnly } from "../lmdb/file/fileAccess.ts"
import { count } from "../quantity.ts"
import { similarTo } from "../similarNames.ts"
import { describeKind } from "../value/kindOf.ts"

/** Options that were checked: sizes are numbers of bytes, defaults are filled in. */
export interface ResolvedOptions extends EngineOptions {
  /** What the program gave for `subdirectory`: the file may be opened as that of a folder all the same. */
  readonly givenSubdirectory: boolean
  readonly batchSize: number
  readonly batchBytes: number
  /** `undefined` when no time limit is wanted. */
  readonly flushInterval: Duration.Duration | undefined
  readonly autoFlushOnRead: boolean
  readonly key: Omit<KeyOptions, "maxBytes">
  readonly checksums: boolean
  readonly resize: Schedule.Schedule<unknown>
  readonly transactionRetry: Schedule.Schedule<unknown>
  readonly closeFailure: "die" | "log"
}

const mebibyte = 1024 * 1024
const smallestMap = mebibyte / 4
const encryptionKeyBytes = 32

/** The options of a store on any backend, besides the name of the store. */
const backendOptionNames = [
  "readOnly",
  "shared",
  "autoFlushOnRead",
  "keyEncoding",
  "keyErrors",
  "keyNormalization",
  "formatKey",
  "transactionRetry",
  "closeFailure",
  "checksums"
] as const satisfies ReadonlyArray<keyof StoreOptions & keyof BackendStoreOptions>

/** The compiler sees to it that none is missing. */
const optionNames = {
  path: true,
  subdirectory: true,
  readOnly: true,
  shared: true,
  batchSize: true,
  batchBytes: true,
  flushInterval: true,
  autoFlushOnRead: true,
  keyEncoding: true,
  keyErrors: true,
  keyNormalization: true,
  formatKey: true,
  mapSize: true,
  maxMapSize: true,
  resize: true,
  transactionRetry: true,
  durability: true,
  closeFailure: true,
  lockTimeout: true,
  lock: true,
  allowWorkerThread: true,
  fileMode: true,
  compression: true,
  checksums: true,
  verify: true,
  encryptionKey: true
} satisfies Record<keyof StoreOptions, true>

/** An option that there is not, or that is `null`. One that is `undefined` is not given. */
const strangeOption = (options: object): readonly [option: string, detail: string] | undefined => {
  for (const option in options) {
    if (!Object.hasOwn(optionNames, option)) {
      return [option, `there is no such option${similarTo(option, Object.keys(optionNames))}`]
    }
    if (Reflect.get(options, option) === null && option !== "path") {
      return [option, "it is null; leave it out for its default"]
    }
  }
  return undefined
}

/** Ten growths of at least twice the size reach a thousand times the map. */
const defaultResize = Schedule.recurs(10)

/**
 * At once: whoever was in conflict lost to a transaction that was committed, so that
 * one is made each time. Whoever has lost often is looked at first.
 */
const defaultTransactionRetry = Schedule.recurs(100)

const longestShown = 40

/** Shows a size that was refused. Units are told apart by upper and lower case. */
const foundNoSize = (given: ByteSize.Input | undefined): string => {
  if (!Predicate.isString(given)) return `, and is ${Predicate.isNumber(given) ? given : describeKind(given)}`
  const shown = JSON.stringify(given.length > longestShown ? `${given.slice(0, longestShown)}...` : given)
  return Option.isSome(ByteSize.fromInput(given))
    ? `, and is ${shown}`
    : `, and ${shown} is not a size: write a number and a unit, as in "64 MiB", "1 GiB" or "500 kB", or a number of bytes`
}

/** Says of an encryption key that was refused how long it is, and nothing else. */
const foundNoKey = (given: unknown): string => {
  if (!Redacted.isRedacted(given)) return `, and is ${describeKind(given)}; wrap a string with Redacted.make`
  const secret = Redacted.value(given)
  return Predicate.isString(secret)
    ? `, and has ${count(bytesOf(secret), "byte")}`
    : `, and has ${describeKind(secret)} in it`
}

const bytesOf = (text: string): number => new TextEncoder().encode(text).length

/** Checks options and fills in what was not given; fails with the first option that makes no sense. */
export const resolve = Effect.fnUntraced(function*(
  options: StoreOptions
): Effect.fn.Return<ResolvedOptions, OpenFailed> {
  const unchecked: unknown = options
  if (!Predicate.isObject(unchecked)) {
    return yield* new OpenFailed({
      reason: {
        _tag: "BadOption",
        option: "path",
        detail: `the options must be an object, and are ${describeKind(options)}`
      },
      path: ""
    })
  }
  const path = Predicate.isString(options.path) ? options.path : typeof options.path
  const refuse = (option: string, detail: string): OpenFailed =>
    new OpenFailed({ reason: { _tag: "BadOption", option, detail }, path })

  /** Reads an option; a value of another type may throw when it is looked at. */
  const read = <A>(
    option: keyof StoreOptions,
    wanted: string,
    look: () => Option.Option<A>,
    /** Says what was given instead. */
    found: () => string = () => ""
  ) =>
    Effect.suspend(() =>
      Option.match(Result.getOrElse(Result.try(look), () => Option.none<A>()), {
        onNone: () => {
          const given = Result.getOrElse(Result.try(found), () => "")
          return Effect.fail(refuse(option, `it must be ${wanted}${given}`))
        },
        onSome: (value) => Effect.succeed(value)
      })
    )

  const flag = <F extends boolean | undefined>(
    option:
      | "subdirectory"
      | "readOnly"
      | "shared"
      | "lock"
      | "allowWorkerThread"
      | "autoFlushOnRead"
      | "compression"
      | "checksums"
      | "verify",
    fallback: F
  ) =>
    read<boolean | F>(option, "true or false", () => {
      const value = options[option] ?? fallback
      return value === fallback ? Option.some(fallback) : Option.filter(Option.some(value), Predicate.isBoolean)
    })

  const oneOf = <A extends string, F extends A | undefined>(
    option: "keyEncoding" | "keyErrors" | "keyNormalization" | "durability" | "closeFailure",
    allowed: ReadonlyArray<A>,
    fallback: F
  ): Effect.Effect<A | F, OpenFailed> =>
    read<A | F>(option, `one of ${allowed.join(", ")}`, () => {
      const value = options[option]
      return value === undefined
        ? Option.some(fallback)
        : Option.fromUndefinedOr(allowed.find((each) => each === value))
    })

  const size = <F extends number | undefined>(
    option: "batchBytes" | "mapSize" | "maxMapSize",
    least: number,
    fallback: F
  ): Effect.Effect<number | F, OpenFailed> =>
    read<number | F>(
      option,
      `a size of at least ${ByteSize.format(ByteSize.bytes(least))}`,
      () => {
        const input = options[option]
        if (input === undefined) return Option.some(fallback)
        return Option.filter(Option.flatMap(ByteSize.fromInput(input), ByteSize.toNumber), (bytes) => bytes >= least)
      },
      () => foundNoSize(options[option])
    )

  const schedule = (option: "resize" | "transactionRetry", fallback: Schedule.Schedule<unknown>) =>
    read(option, "a Schedule", () => {
      const given = options[option] ?? fallback
      return Schedule.isSchedule(given) ? Option.some(given) : Option.none()
    })

  // One that throws as it is looked at is refused below.
  const strange = Result.getOrUndefined(Result.try(() => strangeOption(options)))
  if (strange !== undefined) return yield* refuse(...strange)

  const wrongPath = pathProblem(options.path)
  if (wrongPath !== undefined) return yield* refuse("path", wrongPath)

  const batchSize = yield* read(
    "batchSize",
    "a whole number of at least 1",
    () =>
      Option.some(options.batchSize ?? 1000).pipe(
        Option.filter((writes) => Number.isSafeInteger(writes) && writes >= 1)
      )
  )

  const fileMode = yield* read(
    "fileMode",
    "the permissions of a file, a number from 0o600 to 0o777 that has 0o600 in it",
    () =>
      Option.filter(
        Option.some(options.fileMode ?? ownerOnly),
        (mode) => Number.isInteger(mode) && mode >= ownerOnly && mode <= 0o777 && (mode & ownerOnly) === ownerOnly
      )
  )

  const interval = yield* read(
    "flushInterval",
    "a duration of more than zero, or an infinite one",
    () => Option.filter(Duration.fromInput(options.flushInterval ?? "1 second"), Duration.isPositive)
  )

  const lockTimeout = yield* read(
    "lockTimeout",
    "a duration of zero or more",
    () =>
      Option.filter(Duration.fromInput(options.lockTimeout ?? "3 seconds"), (timeout) => !Duration.isNegative(timeout))
  )

  const formatKey = yield* read("formatKey", "a function", () => {
    const format = options.formatKey
    return format === undefined || Predicate.isFunction(format) ? Option.some(format) : Option.none()
  })

  const encryptionKey = yield* read(
    "encryptionKey",
    `a Redacted string of ${encryptionKeyBytes} bytes`,
    () => {
      const key = options.encryptionKey
      if (key === undefined) return Option.some(key)
      const secret = Redacted.isRedacted(key) ? Redacted.value(key) : undefined
      return Predicate.isString(secret) && bytesOf(secret) === encryptionKeyBytes ? Option.some(key) : Option.none()
    },
    () => foundNoKey(options.encryptionKey)
  )

  const maxMapSize = yield* size("maxMapSize", smallestMap, undefined)
  const mapSize = yield* size("mapSize", smallestMap, Math.min(64 * mebibyte, maxMapSize ?? Infinity))
  if (maxMapSize !== undefined && maxMapSize < mapSize) {
    return yield* refuse("maxMapSize", `it is smaller than mapSize, which is ${mapSize} bytes`)
  }

  const subdirectory = yield* flag("subdirectory", true)
  return {
    path,
    subdirectory,
    givenSubdirectory: subdirectory,
    readOnly: yield* flag("readOnly", false),
    shared: yield* flag("shared", false),
    lockTimeout,
    lock: yield* flag("lock", true),
    allowWorkerThread: yield* flag("allowWorkerThread", false),
    batchSize,
    batchBytes: yield* size("batchBytes", 1, 4 * mebibyte),
    flushInterval: Duration.isFinite(interval) ? interval : undefined,
    autoFlushOnRead: yield* flag("autoFlushOnRead", false),
    key: {
      encoding: yield* oneOf("keyEncoding", ["utf8", "utf16le", "latin1", "ascii", "binary"], "utf8"),
      errors: yield* oneOf("keyErrors", ["strict", "replace", "ignore"], "strict"),
      normalization: yield* oneOf("keyNormalization", ["NFC", "NFD", "NFKC", "NFKD"], undefined),
      format: formatKey
    },
    mapSize,
    maxMapSize,
    resize: yield* schedule("resize", defaultResize),
    transactionRetry: yield* schedule("transactionRetry", defaultTransactionRetry),
    durability: yield* oneOf("durability", ["sync", "noSync"], "sync"),
    closeFailure: yield* oneOf("closeFailure", ["die", "log"], "die"),
    fileMode,
    compression: yield* flag("compression", false),
    checksums: yield* flag("checksums", false),
    verify: yield* flag("verify", undefined),
    encryptionKey
  }
})

/** Checks the options of a store on any backend. Its name takes the place of the path. */
export const resolveForBackend = Effect.fnUntraced(function*(
  options: BackendStoreOptions
): Effect.fn.Return<ResolvedOptions, OpenFailed> {
  const names: ReadonlyArray<string> = ["name", ...backendOptionNames]
  const given: unknown = options
  const { name, ...others } = Predicate.isObject(given) ? options : { name: "" }
  const refuse = (option: string, detail: string) =>
    new OpenFailed({ reason: { _tag: "BadOption", option, detail }, path: name })
  if (!Predicate.isString(name) || name === "") return yield* refuse("name", "it must be text that is not empty")
  const unknown = Object.keys(others).find((option) => !names.includes(option))
  if (unknown !== undefined) {
    return yield* refuse(unknown, `a store on a backend has no such option${similarTo(unknown, names)}`)
  }
  return yield* resolve({ ...others, path: name })
})
