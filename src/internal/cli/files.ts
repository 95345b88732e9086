/**
 * Reads and writes the files of `export` and `import`, compressed or not.
 */
import * as NodeStream from "@effect/platform-node/NodeStream"
import * as Arr from "effect/Array"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Pull from "effect/Pull"
import * as Stdio from "effect/Stdio"
import * as Stream from "effect/Stream"
import { createGunzip, createGzip } from "node:zlib"
import { FileFailed, fileFailed } from "./failures.ts"

type Bytes<E, R> = Stream.Stream<Uint8Array, E, R>

/** Compresses bytes with gzip. */
export const gzip = <E, R>(bytes: Bytes<E, R>): Bytes<E | FileFailed, R> =>
  NodeStream.pipeThroughDuplex(bytes, {
    evaluate: () => createGzip(),
    onError: () => new FileFailed({ message: "The output cannot be compressed." })
  })

/** The first bytes of a file that gzip has compressed. */
const isGzip = (part: Uint8Array): boolean => part[0] === 0x1f && part[1] === 0x8b

/** Decompresses bytes if gzip has compressed them. */
export const gunzip = <E, R>(bytes: Bytes<E, R>): Bytes<E | FileFailed, R> =>
  Stream.unwrap(Effect.gen(function*() {
    const pull = yield* Stream.toPull(bytes)
    const first: ReadonlyArray<Uint8Array> = yield* Pull.catchDone(pull, () => Effect.succeed([]))
    const all: Bytes<E, R> = Stream.concat(Stream.fromArray(first), Stream.fromPull(Effect.succeed(pull)))
    if (!Arr.isReadonlyArrayNonEmpty(first) || !isGzip(first[0])) return all
    return NodeStream.pipeThroughDuplex(all, {
      evaluate: () => createGunzip(),
      onError: () => new FileFailed({ message: "The compressed file is damaged or cut off." })
    })
  }))

/** Reads a file; `-` is standard input. */
export const read = (path: string): Bytes<FileFailed, FileSystem.FileSystem | Stdio.Stdio> =>
  Stream.unwrap(Effect.gen(function*() {
    if (path === "-") return (yield* Stdio.Stdio).stdin
    return (yield* FileSystem.FileSystem).stream(path, { chunkSize: 256 * 1024 })
  })).pipe(Stream.mapError(fileFailed(path === "-" ? "Standard input cannot be read" : `${path} cannot be read`)))

/** The file of a path, with its links followed, and whether it can be replaced: not a device, a pipe or a terminal. */
const targetOf = Effect.fnUntraced(function*(path: string) {
  const fs = yield* FileSystem.FileSystem
  const file = yield* Effect.orElseSucceed(fs.realPath(path), () => path)
  const isReplaceable = yield* Effect.match(fs.stat(file), {
    onFailure: () => true,
    onSuccess: ({ type }) => type === "File"
  })
  return { file, isReplaceable }
})

/** Writes a file. It has its name only when it is complete. A device and a pipe are written to. */
export const write = Effect.fnUntraced(function*<E, R>(
  path: string,
  bytes: Bytes<E, R>
): Effect.fn.Return<void, E | FileFailed, R | FileSystem.FileSystem> {
  const fs = yield* FileSystem.FileSystem
  const { file: target, isReplaceable } = yield* targetOf(path)
  const part = isReplaceable ? `${target}.part` : target
  const cannot = fileFailed(`${path} cannot be written`)
  yield* Effect.scoped(Effect.gen(function*() {
    const file = yield* Effect.mapError(fs.open(part, { flag: "w" }), cannot)
    yield* Stream.runForEachArray(bytes, (parts) => Effect.mapError(file.writeAll(Buffer.concat(parts)), cannot))
    if (isReplaceable) yield* Effect.mapError(file.sync, cannot)
  })).pipe(Effect.onError(() => isReplaceable ? Effect.ignore(fs.remove(part)) : Effect.void))
  if (isReplaceable) yield* Effect.mapError(fs.rename(part, target), cannot)
})

/** Opens a file to which lines are added, until the scope closes. It is created with the first line. */
export const appender = (path: string) =>
  Effect.map(
    FileSystem.FileSystem,
    (fs) => (lines: ReadonlyArray<string>): Effect.Effect<void, FileFailed> =>
      Effect.mapError(
        fs.writeFileString(path, lines.map((line) => `${line}\n`).join(""), { flag: "a" }),
        fileFailed(`${path} cannot be written`)
      )
  )
