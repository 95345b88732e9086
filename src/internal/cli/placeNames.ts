/**
 * Lists the places of a store, for a user who may have forgotten to name one.
 */
import * as Effect from "effect/Effect"
import * as Inspect from "../../Inspect.ts"

/** The flags that name the collections and namespaces of a store. Empty if it has none. */
export const placeNames = Effect.map(
  Inspect.contents,
  ({ collections, namespaces }) =>
    [...collections.map(({ name }) => `-c ${name}`), ...namespaces.map(({ name }) => `-n ${name}`)].join(", ")
)
