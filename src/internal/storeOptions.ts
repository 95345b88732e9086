/**
 * Checks the options of a store and fills in the defaults.
 */
import * as ByteSize from "effect/ByteSize"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Equal from "effect/Equal"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import * as Redacted from "effect/Redacted"
import * as Schedule from "effect/Schedule"
import type { EngineOptions } from "../Engine.ts"
import type { KeyOptions } from "../Key.ts"
import { OpenFailed } from "../StoreError.ts"
import type { StoreOptions } from "../StoreOptions.ts"

/** Options that were checked: sizes are numbers of bytes, defaults are filled in. */
export interface ResolvedOptions extends EngineOptions {
  readonly batchSize: number
  readonly batchBytes: number
  /** `undefined` when no time limit is wanted. */
  readonly flushInterval: Duration.Duration | undefined
  readonly autoFlushOnRead: boolean
  readonly key: Omit<KeyOptions, "maxBytes">
  readonly resize: Schedule.Schedule<unknown>
  readonly transactionRetry: Schedule.Schedule<unknown>
}

const mebibyte = 1024 * 1024
const smallestMap = mebibyte / 4
const encryptionKeyBytes = 32

/** Ten growths of at least twice the size reach a thousand times the map. */
const defaultResize = Schedule.recurs(10)

/**
 * At once: whoever was in conflict lost to a transaction that was committed, so that
 * one is made each time. Whoever has lost often is looked at first.
 */
const defaultTransactionRetry = Schedule.recurs(100)

/** Checks options and fills in what was not given; fails with the first option that makes no sense. */
export const resolve = Effect.fnUntraced(function*(
  options: StoreOptions
): Effect.fn.Return<ResolvedOptions, OpenFailed> {
  const path = Predicate.isString(options.path) ? options.path : String(options.path)
  const refuse = (option: keyof StoreOptions, detail: string): OpenFailed =>
    new OpenFailed({ reason: "BadOption", path, option, detail })

  const flag = (option: "subdirectory" | "readOnly" | "autoFlushOnRead" | "compression", fallback: boolean) => {
    const value = options[option] ?? fallback
    return Predicate.isBoolean(value) ? Effect.succeed(value) : Effect.fail(refuse(option, "true or false is wanted"))
  }

  const oneOf = <A extends string, F extends A | undefined>(
    option: "keyEncoding" | "keyErrors" | "keyNormalization" | "durability",
    value: A | undefined,
    allowed: ReadonlyArray<A>,
    fallback: F
  ): Effect.Effect<A | F, OpenFailed> => {
    if (value === undefined) return Effect.succeed(fallback)
    return allowed.includes(value)
      ? Effect.succeed(value)
      : Effect.fail(refuse(option, `one of ${allowed.join(", ")} is wanted, not ${value}`))
  }

  const size = (option: "batchBytes" | "mapSize" | "maxMapSize", least: number) => {
    const input = options[option]
    if (input === undefined) return Effect.undefined
    const bytes = Option.flatMap(ByteSize.fromInput(input), ByteSize.toNumber)
    return Option.isSome(bytes) && bytes.value >= least
      ? Effect.succeed(bytes.value)
      : Effect.fail(refuse(option, `a size of at least ${ByteSize.format(ByteSize.bytes(least))} is wanted`))
  }

  if (!Predicate.isString(options.path) || options.path === "" || options.path.includes("\0")) {
    return yield* refuse("path", "the path of a folder or file is wanted")
  }

  const batchSize = options.batchSize ?? 1000
  if (!Number.isSafeInteger(batchSize) || batchSize < 1) {
    return yield* refuse("batchSize", "a whole number of at least 1 is wanted")
  }

  const interval = Duration.fromInput(options.flushInterval ?? "1 second")
  if (Option.isNone(interval) || !Duration.isPositive(interval.value)) {
    return yield* refuse("flushInterval", "a duration of more than zero is wanted, or an infinite one")
  }

  if (options.formatKey !== undefined && !Predicate.isFunction(options.formatKey)) {
    return yield* refuse("formatKey", "a function is wanted")
  }

  for (const option of ["resize", "transactionRetry"] as const) {
    if (options[option] !== undefined && !Schedule.isSchedule(options[option])) {
      return yield* refuse(option, "a Schedule is wanted")
    }
  }

  const { encryptionKey } = options
  if (encryptionKey !== undefined) {
    if (!Redacted.isRedacted(encryptionKey)) return yield* refuse("encryptionKey", "a Redacted string is wanted")
    const secret = Redacted.value(encryptionKey)
    if (!Predicate.isString(secret) || new TextEncoder().encode(secret).length !== encryptionKeyBytes) {
      return yield* refuse("encryptionKey", `a string of ${encryptionKeyBytes} bytes is wanted`)
    }
  }

  const maxMapSize = yield* size("maxMapSize", smallestMap)
  const mapSize = (yield* size("mapSize", smallestMap)) ?? Math.min(64 * mebibyte, maxMapSize ?? Infinity)
  if (maxMapSize !== undefined && maxMapSize < mapSize) {
    return yield* refuse("maxMapSize", `it is smaller than mapSize, which is ${mapSize} bytes`)
  }

  return {
    path,
    subdirectory: yield* flag("subdirectory", true),
    readOnly: yield* flag("readOnly", false),
    batchSize,
    batchBytes: (yield* size("batchBytes", 1)) ?? 4 * mebibyte,
    flushInterval: Duration.isFinite(interval.value) ? interval.value : undefined,
    autoFlushOnRead: yield* flag("autoFlushOnRead", false),
    key: {
      encoding: yield* oneOf(
        "keyEncoding",
        options.keyEncoding,
        ["utf8", "utf16le", "latin1", "ascii", "binary"],
        "utf8"
      ),
      errors: yield* oneOf("keyErrors", options.keyErrors, ["strict", "replace", "ignore"], "strict"),
      normalization: yield* oneOf(
        "keyNormalization",
        options.keyNormalization,
        ["NFC", "NFD", "NFKC", "NFKD"],
        undefined
      ),
      format: options.formatKey
    },
    mapSize,
    maxMapSize,
    resize: options.resize ?? defaultResize,
    transactionRetry: options.transactionRetry ?? defaultTransactionRetry,
    durability: yield* oneOf("durability", options.durability, ["sync", "noSync"], "sync"),
    compression: yield* flag("compression", false),
    encryptionKey
  }
})

/** Whether two stores may share one core: every option is the same, functions and schedules by identity. */
export const isSame: (a: ResolvedOptions, b: ResolvedOptions) => boolean = Equal.equals
