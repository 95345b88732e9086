/**
 * Makes `UniqueViolation`: a record cannot be written, because another record has the same key in a unique index.
 */
import * as Effect from "effect/Effect"
import * as Predicate from "effect/Predicate"
import { UniqueViolation } from "../../CollectionError.ts"
import type { ValueSchema } from "../../CollectionOptions.ts"
import type { UniqueViolationOf } from "../../CollectionService.ts"
import type { KeySchema } from "../../KeySchema.ts"
import type { KeyEncoding, ShownKey } from "../../StoreError.ts"
import type { Definition } from "./collectionDefinition.ts"
import type { TakenIndexKey } from "./indexMaintainer.ts"

/** The services that decode the keys of a collection and of its indexes. */
export type KeyServices<K extends KeySchema, I extends Record<string, KeySchema>> =
  | K["DecodingServices"]
  | I[keyof I]["DecodingServices"]

const isTaken = (error: unknown): error is TakenIndexKey => Predicate.isTagged(error, "TakenIndexKey")

/** Runs a write. If it fails because an index key is taken, runs `onTaken` instead. */
export const catchTakenIndexKey = <A, E, E2>(
  write: Effect.Effect<A, E | TakenIndexKey>,
  onTaken: (taken: TakenIndexKey) => Effect.Effect<never, E2>
): Effect.Effect<A, E | E2> =>
  Effect.catch(write, (error): Effect.Effect<never, E | E2> => isTaken(error) ? onTaken(error) : Effect.fail(error))

/** Tests the name of the index. Every violation of an index of the collection has the type of the collection. */
const isOfCollection = <K extends KeySchema, V extends ValueSchema, I extends Record<string, KeySchema>>(
  { indexes }: Definition<K, V, I>,
  violation: UniqueViolation
): violation is UniqueViolationOf<K, I> => indexes.has(violation.index)

/** Decodes the keys of a violation, and fails with `UniqueViolation`. `shownKey` is that of the refused record. */
export const fail = Effect.fnUntraced(
  function*<K extends KeySchema, V extends ValueSchema, I extends Record<string, KeySchema>>(
    definition: Definition<K, V, I>,
    { existing, index: indexName, indexKey }: TakenIndexKey,
    shownKey: ShownKey<K["Type"]>
  ): Effect.fn.Return<never, UniqueViolationOf<K, I> | KeyEncoding, KeyServices<K, I>> {
    const { indexes, key: keyCodec, name } = definition
    const index = indexes.get(indexName)
    if (index === undefined) {
      return yield* Effect.die("bug: a key is taken in an index that the collection does not have")
    }
    const violation: UniqueViolation = new UniqueViolation({
      ...shownKey,
      collection: name,
      index: indexName,
      indexKey: yield* index.key.decode(indexKey),
      shownIndexKey: index.key.show(indexKey),
      existingKey: yield* keyCodec.decode(existing),
      shownExistingKey: keyCodec.show(existing)
    })
    return yield* isOfCollection(definition, violation) ? violation : Effect.die(violation)
  }
)
