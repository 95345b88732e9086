/**
 * The methods of a store that read ranges, for one of its holders.
 *
 * A stream reads part by part and yields between the parts, so that it holds up
 * neither memory nor other fibers. Its snapshot is released with its scope.
 */
import * as Arr from "effect/Array"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import type * as Pull from "effect/Pull"
import * as Result from "effect/Result"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { type ByteString, toBytes } from "../Key.ts"
import { type Range, type StreamRange, toKeyRange } from "../Range.ts"
import type { Closed, EngineFailure, KeyEncoding, ValueDecoding } from "../StoreError.ts"
import type { CommitError } from "./committer.ts"
import * as RangeReader from "./rangeReader.ts"
import * as StoreAccess from "./storeAccess.ts"

interface OpenSource extends RangeReader.Source {
  readonly isReleased: () => boolean
}

type ReadError = KeyEncoding | Closed | EngineFailure

type Part = ReadonlyArray<RangeReader.KeyAndBytes>

/** Turns a record into what a stream gives. */
type Project<A, E> = (key: ByteString, bytes: Uint8Array) => Result.Result<A, E>

const toCount = (n: number): number => Math.max(0, Math.floor(n)) || 0

/** Cuts parts as `offset` and `limit` want it. */
const makeCut = ({ limit = Infinity, offset = 0 }: Range) => {
  let passOver = toCount(offset)
  let left = toCount(limit)
  return {
    isDone: () => left === 0,
    apply: (part: Part): Part => {
      const kept = part.slice(passOver, passOver + left)
      passOver = Math.max(0, passOver - part.length)
      left -= kept.length
      return kept
    }
  }
}

/** Projects records up to the first that cannot be. */
const projectAll = <A, E>(part: Part, project: Project<A, E>): { readonly good: Array<A>; readonly failure?: E } => {
  const good: Array<A> = []
  for (const [key, bytes] of part) {
    const projected = project(key, bytes)
    if (Result.isFailure(projected)) return { good, failure: projected.failure }
    good.push(projected.success)
  }
  return { good }
}

const bytesOf: Project<Uint8Array, never> = (key) => Result.succeed(toBytes(key))

/** Makes the methods of one holder. */
export const make = (holder: StoreAccess.Holder) => {
  const { core, isClosed } = holder
  const { keys, options } = core
  const { closed, decode, whenReadable, whenWritable } = StoreAccess.make(holder)

  /** What is read from: the store as it is now, for as long as the scope is open, or as it is each time. */
  const openSource = (snapshot: boolean): Effect.Effect<OpenSource, EngineFailure, Scope.Scope> =>
    snapshot
      ? Effect.acquireRelease(
        Effect.suspend(() => Effect.fromResult(core.openSnapshot())),
        (opened) => Effect.sync(opened.release)
      )
      : Effect.succeed({ read: core.environment.read, pending: core.buffer.entries, isReleased: () => false })

  /** Pulls a range out of a source, part by part. */
  const pullFrom = <A, E>(
    source: OpenSource,
    read: RangeReader.RangeReader,
    range: Range,
    project: Project<A, E>
  ): Pull.Pull<Arr.NonEmptyReadonlyArray<A>, E | Closed | EngineFailure> => {
    const cut = makeCut(range)
    let failure: { readonly error: E } | undefined
    const readPart = (): Pull.Pull<Array<A>, E | Closed | EngineFailure> => {
      if (failure !== undefined) return Effect.fail(failure.error)
      if (cut.isDone()) return Cause.done()
      if (isClosed() || source.isReleased()) return closed
      const part = read()
      if (Result.isFailure(part)) return Effect.fail(part.failure)
      if (part.success === undefined) return Cause.done()
      const { good, ...rest } = projectAll(cut.apply(part.success), project)
      // What comes before a record that fails is given first.
      if (rest.failure !== undefined) failure = { error: rest.failure }
      return Effect.succeed(good)
    }
    const next: Pull.Pull<Arr.NonEmptyReadonlyArray<A>, E | Closed | EngineFailure> = Effect.yieldNow.pipe(
      Effect.andThen(Effect.suspend(() => whenReadable(() => true, false, readPart))),
      Effect.flatMap((good) => Arr.isArrayNonEmpty(good) ? Effect.succeed(good) : next)
    )
    return next
  }

  const stream = <A, E>(
    range: StreamRange,
    values: boolean,
    project: Project<A, E>
  ): Stream.Stream<A, E | ReadError> =>
    Stream.unwrap(
      Effect.suspend((): Effect.Effect<Stream.Stream<A, E | Closed | EngineFailure>, ReadError, Scope.Scope> => {
        if (isClosed()) return closed
        const keyRange = toKeyRange(range, keys)
        if (Result.isFailure(keyRange)) return Effect.fail(keyRange.failure)
        const hasSnapshot = range.snapshot !== false
        const open = whenReadable(() => false, options.autoFlushOnRead, () => openSource(hasSnapshot))
        return Effect.map(
          hasSnapshot ? Effect.andThen(core.beforeSnapshot, open) : open,
          (source) => {
            const read = RangeReader.make(source, { ...keyRange.success, values, reverse: range.reverse === true })
            return Stream.fromPull(Effect.succeed(pullFrom(source, read, range, project)))
          }
        )
      })
    )

  const withValue =
    <K, E>(nameOf: Project<K, E>): Project<readonly [K, unknown], E | ValueDecoding> => (key, bytes) => {
      const name = nameOf(key, bytes)
      if (Result.isFailure(name)) return Result.fail(name.failure)
      return Result.map(decode(key, bytes), (value) => [name.success, value])
    }

  type BytesKeys = StreamRange & { readonly decodeKeys: false }
  type TextKeys = StreamRange & { readonly decodeKeys?: true | undefined }
  type AnyKeys = StreamRange & { readonly decodeKeys?: boolean | undefined }

  function keysIn(range: BytesKeys): Stream.Stream<Uint8Array, ReadError>
  function keysIn(range?: TextKeys): Stream.Stream<string, ReadError>
  function keysIn(range: AnyKeys = {}): Stream.Stream<string | Uint8Array, ReadError> {
    return range.decodeKeys === false ? stream(range, false, bytesOf) : stream(range, false, keys.decode)
  }

  type EntriesError = ReadError | ValueDecoding

  function entriesIn(range: BytesKeys): Stream.Stream<readonly [Uint8Array, unknown], EntriesError>
  function entriesIn(range?: TextKeys): Stream.Stream<readonly [string, unknown], EntriesError>
  function entriesIn(range: AnyKeys = {}): Stream.Stream<readonly [string | Uint8Array, unknown], EntriesError> {
    return range.decodeKeys === false
      ? stream(range, true, withValue(bytesOf))
      : stream(range, true, withValue(keys.decode))
  }

  const valuesIn = (range: StreamRange = {}) => stream(range, true, decode)

  const count = (range: Range = {}): Effect.Effect<number, ReadError> => Stream.runCount(stream(range, false, bytesOf))

  const deleteRange = (range: Range) =>
    whenWritable((): Effect.Effect<number, ReadError | CommitError> =>
      Effect.flatMap(Stream.runCollect(stream(range, false, Result.succeed)), (unwanted) =>
        unwanted.length === 0
          ? Effect.succeed(0)
          : Effect.as(core.commitUnit(unwanted.map((key) => [key, null] as const)), unwanted.length))
    )

  return { keys: keysIn, values: valuesIn, entries: entriesIn, count, deleteRange }
}
