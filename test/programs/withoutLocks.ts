/**
 * Opens a store where the library of locks cannot be loaded, as on a platform that it has no build for.
 *
 * Arguments: those of `openStore.ts`.
 */
import { registerHooks } from "node:module"

registerHooks({
  resolve: (specifier, context, next) => {
    if (specifier === "fs-native-extensions") throw new Error("no build for this platform")
    return next(specifier, context)
  }
})

await import("./openStore.ts")
