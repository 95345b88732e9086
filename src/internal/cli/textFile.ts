/**
 * Reads the text files that flags name.
 */
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import { Usage } from "./failures.ts"

/** Reads the file of a flag. */
export const read = Effect.fnUntraced(function*(
  flag: string,
  path: string
): Effect.fn.Return<string, Usage, FileSystem.FileSystem> {
  const fs = yield* FileSystem.FileSystem
  return yield* Effect.mapError(fs.readFileString(path), ({ message, reason }) =>
    new Usage({
      message: reason._tag === "NotFound"
        ? `The file of ${flag} does not exist: ${path}`
        : `The file of ${flag} cannot be read: ${message}`
    }))
})
