/**
 * Runs effects in the background of a store.
 */
import type * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"

/** Runs an effect in a fiber that ends with the store. */
export type Fork = (effect: Effect.Effect<void>) => Fiber.Fiber<void>
