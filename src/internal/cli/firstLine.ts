/** Reads the first line of a file before the rest, so that the file is checked before a store is created. */
import * as Effect from "effect/Effect"
import * as Pull from "effect/Pull"
import * as Stream from "effect/Stream"

const lineFeed = 0x0a

/** Returns the first line, and the bytes of the whole file. They can be read until the scope closes. */
export const read = Effect.fnUntraced(function*<E, R>(bytes: Stream.Stream<Uint8Array, E, R>) {
  const pull = yield* Stream.toPull(bytes)
  const parts: Array<Uint8Array> = []
  let isFound = false
  while (!isFound) {
    const more: ReadonlyArray<Uint8Array> = yield* Pull.catchDone(pull, () => Effect.succeed([]))
    parts.push(...more)
    isFound = more.length === 0 || more.some((part) => part.includes(lineFeed))
  }
  const begin = Buffer.concat(parts)
  const end = begin.indexOf(lineFeed)
  return {
    line: end < 0 ? begin : begin.subarray(0, end + 1),
    bytes: Stream.concat(Stream.fromIterable(parts), Stream.fromPull(Effect.succeed(pull)))
  }
})
