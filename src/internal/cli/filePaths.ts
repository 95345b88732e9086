/**
 * Checks the files that a command line names before the command begins, so that a mistake is told in plain words and
 * nothing was changed.
 */
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Path from "effect/Path"
import type { PlatformError } from "effect/PlatformError"
import { Usage } from "./failures.ts"

const isAbsent = ({ reason }: PlatformError): boolean => reason._tag === "NotFound"

const typeOf = (path: string) =>
  Effect.flatMap(FileSystem.FileSystem, (fs) =>
    Effect.matchEffect(fs.stat(path), {
      onSuccess: ({ type }) => Effect.succeed(type),
      onFailure: (error) =>
        isAbsent(error)
          ? Effect.succeed(undefined)
          : Effect.fail(new Usage({ message: `${path} cannot be used: the system denies access to it.` }))
    }))

/** Fails unless a file can be read. `-` is standard input. */
export const checkReadable = Effect.fnUntraced(function*(path: string) {
  if (path === "-") return
  const fs = yield* FileSystem.FileSystem
  const type = yield* typeOf(path)
  if (type === undefined) return yield* new Usage({ message: `${path} does not exist.` })
  if (type === "Directory") return yield* new Usage({ message: `${path} is a directory. Give the path of a file.` })
  yield* Effect.mapError(
    fs.access(path, { readable: true }),
    () => new Usage({ message: `${path} cannot be read: the system denies access to it.` })
  )
})

/** Fails unless the file of an option can be written. Returns whether it exists. */
export const checkWritable = Effect.fnUntraced(function*(option: string, path: string) {
  const fs = yield* FileSystem.FileSystem
  const type = yield* typeOf(path)
  const cannot = (why: string) => new Usage({ message: `${path} of ${option} cannot be written: ${why}.` })
  if (type === "Directory") return yield* cannot("it is a directory")
  const folder = (yield* Path.Path).dirname(path)
  const isThere = type !== undefined || (yield* typeOf(folder)) === "Directory"
  if (!isThere) return yield* cannot(`the folder ${folder} does not exist`)
  yield* Effect.mapError(
    fs.access(type === undefined ? folder : path, { writable: true }),
    () => cannot("the system denies access to it")
  )
  return type !== undefined
})
