/**
 * Opens the collections of the ports, whose names no program can use.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Collection from "../../Collection.ts"
import { OwnNames } from "../ownNames.ts"

/** Opens a collection of a port. It does what `Collection.make` does. */
export const make: typeof Collection.make = (name, options) =>
  Effect.updateContext(Collection.make(name, options), Context.add(OwnNames, true))
