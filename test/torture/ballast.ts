/**
 * A file that takes up the room of a small disk.
 */
import * as Effect from "effect/Effect"
import { closeSync, openSync, rmSync, statfsSync, writeSync } from "node:fs"
import { join } from "node:path"

const blockBytes = 65_536

/** The ballast of the disk that a folder is on. */
export const ballastIn = (folder: string) => {
  const path = join(folder, "ballast")
  return {
    /** Leaves so many bytes of the disk free. */
    fillUp: (free: number): void => {
      const { bavail, bsize } = statfsSync(folder)
      const file = openSync(path, "w")
      for (let left = bavail * bsize - free; left > 0; left -= blockBytes) {
        writeSync(file, Buffer.alloc(Math.min(left, blockBytes)))
      }
      closeSync(file)
    },
    /** Makes room again. */
    remove: Effect.sync(() => rmSync(path, { force: true }))
  }
}
