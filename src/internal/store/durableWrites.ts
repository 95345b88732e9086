/**
 * Runs a write of a single record as its options say: buffered, or on disk when it returns.
 */
import * as Effect from "effect/Effect"
import type { Closed, CommitError, KeyEncoding } from "../../StoreError.ts"
import type { WriteOptions } from "../../WriteOptions.ts"
import * as CallArguments from "../key/callArguments.ts"
import * as StoreAccess from "./storeAccess.ts"
import type { StoreInternals } from "./storeInternals.ts"

/** Runs a write by the options of the method `name`. */
export const run = <A, E, R>(
  { access, transactions }: Pick<StoreInternals, "access" | "transactions">,
  name: string,
  options: WriteOptions,
  write: Effect.Effect<A, E, R>,
  collection?: string
): Effect.Effect<A, E | KeyEncoding | Closed | CommitError, R> =>
  StoreAccess.enter(access, () =>
    Effect.andThen(
      CallArguments.checked(`the options of ${name}`, options, CallArguments.writeChecks, collection),
      Effect.suspend((): Effect.Effect<A, E | Closed | CommitError, R> =>
        options.durable === true ? transactions.durably(write) : write
      )
    ))
