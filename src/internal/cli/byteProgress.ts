/**
 * Draws the progress of a command that writes a file, by the length of the file, on standard error if that is a terminal.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as FileSystem from "effect/FileSystem"
import * as Path from "effect/Path"
import * as Schedule from "effect/Schedule"
import * as Format from "./format.ts"
import { clearLine, type Output } from "./output.ts"

/** How far a command is. */
export interface Progress {
  readonly bytes: number
  /** How many bytes there will be; `undefined` if that is not known. */
  readonly total: number | undefined
  readonly elapsedMillis: number
}

const cells = 20

const minutes = (seconds: number): string => `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`

/** Shows progress as a bar with the rate and the remaining time. Without a total, it shows the bytes and the rate. */
export const show = ({ bytes, elapsedMillis, total }: Progress): string => {
  const perSecond = elapsedMillis === 0 ? 0 : 1000 * bytes / elapsedMillis
  const rate = perSecond === 0 ? "" : `  ${Format.bytes(Math.round(perSecond))}/s`
  if (total === undefined || total === 0) return `${Format.bytes(bytes)}${rate}`
  const done = Math.min(1, bytes / total)
  const full = Math.floor(done * cells)
  const left = perSecond === 0 ? "" : `  ${minutes(Math.ceil(Math.max(0, total - bytes) / perSecond))} left`
  const bar = `[${"#".repeat(full)}${"-".repeat(cells - full)}] ${Math.floor(100 * done)} %`
  return `${bar}  ${Format.bytes(bytes)} of ${Format.bytes(total)}${rate}${left}`
}

/** Runs an effect, and draws meanwhile how many bytes it has written. */
export const during = Effect.fnUntraced(function*<A, E, R, R2>(
  output: Pick<Output, "canDraw" | "draw">,
  { bytes, total }: { readonly bytes: Effect.Effect<number, never, R2>; readonly total?: number | undefined },
  use: Effect.Effect<A, E, R>
): Effect.fn.Return<A, E, R | R2> {
  if (!output.canDraw) return yield* use
  const start = yield* Clock.currentTimeMillis
  const draw = Effect.gen(function*() {
    const elapsedMillis = (yield* Clock.currentTimeMillis) - start
    yield* output.draw(`${clearLine}${show({ bytes: yield* bytes, total, elapsedMillis })}`)
  })
  const drawing = yield* Effect.forkChild(Effect.repeat(draw, Schedule.spaced("200 millis")))
  return yield* Effect.ensuring(use, Effect.andThen(Fiber.interrupt(drawing), output.draw(clearLine)))
})

/** Reads the length of a file that is being written. 0 if it does not exist yet. */
export const lengthOf = Effect.fnUntraced(function*(file: string) {
  const fs = yield* FileSystem.FileSystem
  return yield* Effect.match(fs.stat(file), { onFailure: () => 0, onSuccess: ({ size }) => Number(size) })
})

/** Reads the length of the file that a backup or a restore writes: it is in a temporary folder of this name until it is complete. */
export const lengthOfTemporary = Effect.fnUntraced(function*(folder: string, prefix: string) {
  const fs = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  const names = yield* Effect.orElseSucceed(fs.readDirectory(folder), () => [])
  const lengths = yield* Effect.forEach(
    names.filter((name) => name.startsWith(prefix)),
    (name) => lengthOf(path.join(folder, name, "data.mdb"))
  )
  return Math.max(0, ...lengths)
})
