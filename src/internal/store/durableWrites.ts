/**
 * Runs a write of a single record as its options say: buffered, or on disk when it returns.
 */
import * as Effect from "effect/Effect"
import type { Closed, CommitError, KeyEncoding } from "../../StoreError.ts"
import type { WriteOptions } from "../../WriteOptions.ts"
import * as CallArguments from "../key/callArguments.ts"
import * as StoreAccess from "./storeAccess.ts"
import type { StoreInternals } from "./storeInternals.ts"

/** The call of a method with options. */
export interface Call {
  readonly name: string
  readonly options: WriteOptions
  /** The checks of its options. Default: those of `WriteOptions`. */
  readonly checks?: CallArguments.Checks
  readonly collection?: string
}

/** Runs a write by the options of its call. */
export const run = <A, E, R>(
  { access, transactions }: Pick<StoreInternals, "access" | "transactions">,
  { checks = CallArguments.writeChecks, collection, name, options }: Call,
  write: Effect.Effect<A, E, R>
): Effect.Effect<A, E | KeyEncoding | Closed | CommitError, R> =>
  StoreAccess.enter(access, () =>
    Effect.andThen(
      CallArguments.checked(`the options of ${name}`, options, checks, collection),
      Effect.suspend((): Effect.Effect<A, E | Closed | CommitError, R> =>
        options.durable === true ? transactions.durably(write) : write
      )
    ))
