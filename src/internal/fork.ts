/**
 * The type of the functions that start background fibers of a store. It is a module of its own, so that
 * modules which start fibers do not have to import the module that opens stores.
 */
import type * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"

/** Runs an effect in a fiber that ends with the store. */
export type Fork = (effect: Effect.Effect<void>) => Fiber.Fiber<void>
