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
import type { ChangeLogOptions } from "../commit/changeLog.ts"
import type { KeyOptions } from "../key/keyCodec.ts"
import { pathProblem } from "../key/pathProblem.ts"
import { ownerOnly } from "../lmdb/file/fileAccess.ts"
import { count } from "../quantity.ts"
import { similarTo } from "../similarNames.ts"
import { describeKind } from "../value/kindOf.ts"
import * as ChangeLogOption from "./changeLogOption.ts"

/** Options that were checked: sizes are numbers of bytes, defaults are filled in. */
export interface ResolvedOptions extends EngineOptions {
  /** The option `subdirectory` as the program gave it. A path to the file inside a folder is opened as the folder. */
  readonly givenSubdirectory: boolean
  readonly batchSize: number
  readonly batchBytes: number
  /** `undefined`: a write may stay pending for any time. */
  readonly flushInterval: Duration.Duration | undefined
  readonly autoFlushOnRead: boolean
  readonly key: Omit<KeyOptions, "maxBytes">
  readonly checksums: boolean
  readonly resize: Schedule.Schedule<unknown>
  readonly transactionRetry: Schedule.Schedule<unknown>
  readonly closeFailure: "die" | "log"
  /** `undefined`: the store keeps no change log. */
  readonly changeLog: ChangeLogOptions | undefined
}

const mebibyte = 1024 * 1024
const smallestMap = mebibyte / 4
const encryptionKeyBytes = 32

/** The names of the options of a store on any backend, except the name of the store. */
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

/** The names of all options. The compiler checks that none is missing. */
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
  changeLog: true,
  encryptionKey: true
} satisfies Record<keyof StoreOptions, true>

/** Finds an option with an unknown name or the value `null`. The value `undefined` is the same as no option. */
const unknownOption = (options: object): readonly [option: string, detail: string] | undefined => {
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

/** Each growth at least doubles the map, so ten growths make it a thousand times as large. */
const defaultResize = Schedule.recurs(10)

/**
 * Without a delay: each conflict means that another transaction was committed. A transaction that has conflicted more
 * often is decided first.
 */
const defaultTransactionRetry = Schedule.recurs(100)

/** How many characters of a refused text a message shows. */
const longestShown = 40

/** Describes a value that is not a valid size. Upper and lower case matter in units. */
const describeNoSize = (given: ByteSize.Input | undefined): string => {
  if (!Predicate.isString(given)) return `, and is ${Predicate.isNumber(given) ? given : describeKind(given)}`
  const shown = JSON.stringify(given.length > longestShown ? `${given.slice(0, longestShown)}...` : given)
  return Option.isSome(ByteSize.fromInput(given))
    ? `, and is ${shown}`
    : `, and ${shown} is not a size: write a number and a unit, as in "64 MiB", "1 GiB" or "500 kB", or a number of bytes`
}

/** Describes a value that is not a valid encryption key. A key is secret, so only its length is shown. */
const describeNoKey = (given: unknown): string => {
  if (!Redacted.isRedacted(given)) return `, and is ${describeKind(given)}; wrap a string with Redacted.make`
  const secret = Redacted.value(given)
  return Predicate.isString(secret)
    ? `, and has ${count(bytesOf(secret), "byte")}`
    : `, and has ${describeKind(secret)} in it`
}

const bytesOf = (text: string): number => new TextEncoder().encode(text).length

// ---------------------------------------------------------------------------
// reading one option
// ---------------------------------------------------------------------------

/** Options that are being checked. */
interface Given {
  readonly options: StoreOptions
  /** The path, for error messages. */
  readonly path: string
}

const refuse = ({ path }: Pick<Given, "path">, option: string, detail: string): OpenFailed =>
  new OpenFailed({ reason: { _tag: "BadOption", option, detail }, path })

/** What a valid value of an option is. */
interface Rule<A> {
  /** Completes the sentence "it must be ...". */
  readonly expected: string
  /** Returns the resolved value; `none` if it is not valid. It may throw: a value of a wrong type can have any getters. */
  readonly check: () => Option.Option<A>
  /** Describes what was given instead. */
  readonly describe?: () => string
}

const read = <A>(
  given: Given,
  option: keyof StoreOptions,
  { check, describe = () => "", expected }: Rule<A>
): Effect.Effect<A, OpenFailed> =>
  Effect.suspend(() =>
    Option.match(Result.getOrElse(Result.try(check), () => Option.none<A>()), {
      onNone: () => {
        const instead = Result.getOrElse(Result.try(describe), () => "")
        return Effect.fail(refuse(given, option, `it must be ${expected}${instead}`))
      },
      onSome: (value) => Effect.succeed(value)
    })
  )

type FlagName =
  | "subdirectory"
  | "readOnly"
  | "shared"
  | "lock"
  | "allowWorkerThread"
  | "autoFlushOnRead"
  | "compression"
  | "checksums"
  | "verify"

const readFlag = <F extends boolean | undefined>(given: Given, option: FlagName, fallback: F) =>
  read<boolean | F>(given, option, {
    expected: "true or false",
    check: () => {
      const value = given.options[option] ?? fallback
      return value === fallback ? Option.some(fallback) : Option.filter(Option.some(value), Predicate.isBoolean)
    }
  })

const readOneOf = <A extends string, F extends A | undefined>(
  given: Given,
  option: "keyEncoding" | "keyErrors" | "keyNormalization" | "durability" | "closeFailure",
  allowed: ReadonlyArray<A>,
  fallback: F
): Effect.Effect<A | F, OpenFailed> =>
  read<A | F>(given, option, {
    expected: `one of ${allowed.join(", ")}`,
    check: () => {
      const value = given.options[option]
      return value === undefined
        ? Option.some(fallback)
        : Option.fromUndefinedOr(allowed.find((each) => each === value))
    }
  })

const readSize = <F extends number | undefined>(
  given: Given,
  option: "batchBytes" | "mapSize" | "maxMapSize",
  least: number,
  fallback: F
): Effect.Effect<number | F, OpenFailed> =>
  read<number | F>(given, option, {
    expected: `a size of at least ${ByteSize.format(ByteSize.bytes(least))}`,
    check: () => {
      const input = given.options[option]
      if (input === undefined) return Option.some(fallback)
      return Option.filter(Option.flatMap(ByteSize.fromInput(input), ByteSize.toNumber), (bytes) => bytes >= least)
    },
    describe: () => describeNoSize(given.options[option])
  })

const readSchedule = (
  given: Given,
  option: "resize" | "transactionRetry",
  fallback: Schedule.Schedule<unknown>
): Effect.Effect<Schedule.Schedule<unknown>, OpenFailed> =>
  read(given, option, {
    expected: "a Schedule",
    check: () => {
      const schedule = given.options[option] ?? fallback
      return Schedule.isSchedule(schedule) ? Option.some(schedule) : Option.none()
    }
  })

const readDuration = (
  given: Given,
  option: "flushInterval" | "lockTimeout",
  fallback: Duration.Input,
  { expected, isValid }: { readonly expected: string; readonly isValid: (duration: Duration.Duration) => boolean }
): Effect.Effect<Duration.Duration, OpenFailed> =>
  read(given, option, {
    expected,
    check: () => Option.filter(Duration.fromInput(given.options[option] ?? fallback), isValid)
  })

const readBatchSize = (given: Given): Effect.Effect<number, OpenFailed> =>
  read(given, "batchSize", {
    expected: "a whole number of at least 1",
    check: () =>
      Option.filter(
        Option.some(given.options.batchSize ?? 1000),
        (writes) => Number.isSafeInteger(writes) && writes >= 1
      )
  })

const readFileMode = (given: Given): Effect.Effect<number, OpenFailed> =>
  read(given, "fileMode", {
    expected: "the permissions of a file, a number from 0o600 to 0o777 that has 0o600 in it",
    check: () =>
      Option.filter(
        Option.some(given.options.fileMode ?? ownerOnly),
        (mode) => Number.isInteger(mode) && mode >= ownerOnly && mode <= 0o777 && (mode & ownerOnly) === ownerOnly
      )
  })

const readFormatKey = (given: Given): Effect.Effect<StoreOptions["formatKey"], OpenFailed> =>
  read(given, "formatKey", {
    expected: "a function",
    check: () => {
      const { formatKey } = given.options
      return formatKey === undefined || Predicate.isFunction(formatKey) ? Option.some(formatKey) : Option.none()
    }
  })

const readEncryptionKey = (given: Given): Effect.Effect<StoreOptions["encryptionKey"], OpenFailed> =>
  read(given, "encryptionKey", {
    expected: `a Redacted string of ${encryptionKeyBytes} bytes`,
    check: () => {
      const key = given.options.encryptionKey
      if (key === undefined) return Option.some(key)
      const secret = Redacted.isRedacted(key) ? Redacted.value(key) : undefined
      return Predicate.isString(secret) && bytesOf(secret) === encryptionKeyBytes ? Option.some(key) : Option.none()
    },
    describe: () => describeNoKey(given.options.encryptionKey)
  })

// ---------------------------------------------------------------------------
// all options
// ---------------------------------------------------------------------------

/** Checks that the options are an object with known names and a path. */
const checkGiven = Effect.fnUntraced(function*(options: StoreOptions): Effect.fn.Return<Given, OpenFailed> {
  const unchecked: unknown = options
  if (!Predicate.isObject(unchecked)) {
    return yield* refuse({ path: "" }, "path", `the options must be an object, and are ${describeKind(options)}`)
  }
  const given: Given = { options, path: Predicate.isString(options.path) ? options.path : typeof options.path }
  // An option whose getter throws is refused when it is read.
  const unknown = Result.getOrUndefined(Result.try(() => unknownOption(options)))
  if (unknown !== undefined) return yield* refuse(given, ...unknown)
  const problem = pathProblem(options.path)
  if (problem !== undefined) return yield* refuse(given, "path", problem)
  return given
})

const resolveMapSizes = Effect.fnUntraced(function*(given: Given) {
  const maxMapSize = yield* readSize(given, "maxMapSize", smallestMap, undefined)
  const mapSize = yield* readSize(given, "mapSize", smallestMap, Math.min(64 * mebibyte, maxMapSize ?? Infinity))
  if (maxMapSize !== undefined && maxMapSize < mapSize) {
    return yield* refuse(given, "maxMapSize", `it is smaller than mapSize, which is ${mapSize} bytes`)
  }
  return { mapSize, maxMapSize }
})

const resolveKeyOptions = Effect.fnUntraced(function*(given: Given, format: StoreOptions["formatKey"]) {
  return {
    encoding: yield* readOneOf(given, "keyEncoding", ["utf8", "utf16le", "latin1", "ascii", "binary"], "utf8"),
    errors: yield* readOneOf(given, "keyErrors", ["strict", "replace", "ignore"], "strict"),
    normalization: yield* readOneOf(given, "keyNormalization", ["NFC", "NFD", "NFKC", "NFKD"], undefined),
    format
  }
})

/** Checks options and fills in the defaults. Fails with the first option that is not valid. */
export const resolve = Effect.fnUntraced(function*(
  options: StoreOptions
): Effect.fn.Return<ResolvedOptions, OpenFailed> {
  const given = yield* checkGiven(options)
  const batchSize = yield* readBatchSize(given)
  const fileMode = yield* readFileMode(given)
  const interval = yield* readDuration(given, "flushInterval", "1 second", {
    expected: "a duration of more than zero, or an infinite one",
    isValid: Duration.isPositive
  })
  const lockTimeout = yield* readDuration(given, "lockTimeout", "3 seconds", {
    expected: "a duration of zero or more",
    isValid: (timeout) => !Duration.isNegative(timeout)
  })
  const formatKey = yield* readFormatKey(given)
  const encryptionKey = yield* readEncryptionKey(given)
  const mapSizes = yield* resolveMapSizes(given)
  const subdirectory = yield* readFlag(given, "subdirectory", true)
  return {
    path: given.path,
    subdirectory,
    givenSubdirectory: subdirectory,
    readOnly: yield* readFlag(given, "readOnly", false),
    shared: yield* readFlag(given, "shared", false),
    lockTimeout,
    lock: yield* readFlag(given, "lock", true),
    allowWorkerThread: yield* readFlag(given, "allowWorkerThread", false),
    batchSize,
    batchBytes: yield* readSize(given, "batchBytes", 1, 4 * mebibyte),
    flushInterval: Duration.isFinite(interval) ? interval : undefined,
    autoFlushOnRead: yield* readFlag(given, "autoFlushOnRead", false),
    key: yield* resolveKeyOptions(given, formatKey),
    ...mapSizes,
    resize: yield* readSchedule(given, "resize", defaultResize),
    transactionRetry: yield* readSchedule(given, "transactionRetry", defaultTransactionRetry),
    durability: yield* readOneOf(given, "durability", ["sync", "relaxed", "noSync"], "sync"),
    closeFailure: yield* readOneOf(given, "closeFailure", ["die", "log"], "die"),
    fileMode,
    compression: yield* readFlag(given, "compression", false),
    checksums: yield* readFlag(given, "checksums", false),
    verify: yield* readFlag(given, "verify", undefined),
    changeLog: yield* read(given, "changeLog", {
      expected: ChangeLogOption.expected,
      check: () => ChangeLogOption.resolve(options.changeLog)
    }),
    encryptionKey
  }
})

/** Checks the options of a store on any backend. The name of the store is used in place of a path. */
export const resolveForBackend = Effect.fnUntraced(function*(
  options: BackendStoreOptions
): Effect.fn.Return<ResolvedOptions, OpenFailed> {
  const names: ReadonlyArray<string> = ["name", ...backendOptionNames]
  const unchecked: unknown = options
  const { name, ...others } = Predicate.isObject(unchecked) ? options : { name: "" }
  if (!Predicate.isString(name) || name === "") {
    return yield* refuse({ path: name }, "name", "it must be text that is not empty")
  }
  const unknown = Object.keys(others).find((option) => !names.includes(option))
  if (unknown !== undefined) {
    return yield* refuse({ path: name }, unknown, `a store on a backend has no such option${similarTo(unknown, names)}`)
  }
  return yield* resolve({ ...others, path: name })
})
