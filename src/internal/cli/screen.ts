/**
 * Draws lines that change, again and again in the same place of a terminal.
 */
import * as Effect from "effect/Effect"
import type { Output } from "./output.ts"
import { cut } from "./table.ts"

/** Draws lines over those that it has drawn before, each cut to the width of the terminal. */
export const make = ({ width = 80, write }: Output) => {
  let drawn = 0
  return (lines: ReadonlyArray<string>) =>
    Effect.suspend(() => {
      const up = drawn === 0 ? "" : `\u001b[${drawn}A\u001b[J`
      drawn = lines.length
      return write(up + lines.map((line) => `${cut(line, width)}\n`).join(""))
    })
}
