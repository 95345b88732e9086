/**
 * What every method of a store looks at first, for one of its holders: whether the
 * store is closed, read-only, or cannot be read at this moment.
 */
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import { type ByteString, toBytes } from "../Key.ts"
import { Closed, ReadOnly, ValueDecoding } from "../StoreError.ts"
import type { StoreCore } from "./storeCore.ts"

/** A holder of an open store. */
export interface Holder {
  readonly core: StoreCore
  readonly isClosed: () => boolean
}

/** Makes what the methods of one holder begin with. */
export const make = ({ core, isClosed }: Holder) => {
  const { keys, options, values } = core
  const { path } = options

  const closed = Effect.suspend(() => Effect.fail(new Closed({ path })))

  return {
    closed,

    /** Decodes a value that was read. */
    decode: (key: ByteString, bytes: Uint8Array): Result.Result<unknown, ValueDecoding> =>
      Result.mapError(
        values.decode(bytes, bytes.length),
        (failure) => new ValueDecoding({ key: keys.show(toBytes(key)), ...failure })
      ),

    /** Waits for what must happen before a read, where something must, and reads. */
    whenReadable: <A, E, R>(
      isPending: () => boolean,
      flush: boolean,
      use: () => Effect.Effect<A, E, R>
    ): Effect.Effect<A, E | Closed, R> => {
      if (!flush && core.isReadable()) return use()
      // A read that came before the close is answered, as long as there is something to read from.
      const useLater = core.whileReadable(
        Effect.suspend((): Effect.Effect<A, E | Closed, R> => core.isOpen() ? use() : closed)
      )
      return flush && !options.readOnly && !isPending() ? Effect.andThen(core.flushQuietly, useLater) : useLater
    },

    /** Begins a write. */
    whenWritable: <A, E>(use: () => Effect.Effect<A, E>): Effect.Effect<A, E | Closed | ReadOnly> =>
      Effect.suspend((): Effect.Effect<A, E | Closed | ReadOnly> => {
        if (isClosed()) return closed
        return options.readOnly ? Effect.fail(new ReadOnly({ path })) : use()
      })
  }
}
