/**
 * Changes the limit of an open file: closes the file, and opens it with another map size.
 */
import * as Effect from "effect/Effect"
import { statSync } from "node:fs"
import type { EngineFailure } from "../../StoreError.ts"
import * as AddressSpace from "./addressSpace.ts"
import { closeMapped, type LmdbEnvironment } from "./lmdbEnvironment.ts"
import { failure } from "./lmdbErrors.ts"
import { openFiles } from "./lmdbFiles.ts"
import { mapSizeFor, openedMapSizeFor } from "./mapSize.ts"
import { figure } from "./pageCount.ts"

/** Whether the map grew while snapshots were open, and can be resized now that they are released. */
export const mustResize = ({ mapped: { files }, openSnapshots }: LmdbEnvironment): boolean =>
  files !== undefined && files.isPinned && !files.isShared && openSnapshots === 0

/** Says why the file cannot be reopened with another size. Ask before closing it, so that it can still be read. */
const refusalToResize = ({ identity, mapped: { files } }: LmdbEnvironment, size: number): EngineFailure | undefined => {
  const unmappable = files === undefined
    ? AddressSpace.refusalAfterClosing(size)
    : AddressSpace.refusal(size, figure(files.root.getStats(), "mapSize"))
  if (unmappable === undefined) return identity.refusalToReopen("resize")
  return AddressSpace.failure("resize", unmappable)
}

/** Closes the file, and opens it with another size. */
const reopen = (self: LmdbEnvironment, newMapSize: number, useReserve: boolean): Effect.Effect<void, EngineFailure> =>
  Effect.andThen(
    closeMapped(self.mapped),
    Effect.try({
      try: () => {
        // Other fibers ran while the file was being closed.
        const refused = refusalToResize(self, newMapSize)
        if (refused !== undefined) throw refused
        self.mapped.files = openFiles(
          self.options,
          mapSizeFor(newMapSize, useReserve),
          openedMapSizeFor(newMapSize, useReserve, statSync(self.file).size)
        )
      },
      catch: failure("resize")
    })
  )

/** Changes the limit of the file. The file cannot be closed while snapshots are open; then only the limit changes. */
export const resize = (
  self: LmdbEnvironment,
  newMapSize: number,
  useReserve: boolean
): Effect.Effect<void, EngineFailure> =>
  Effect.uninterruptible(Effect.suspend(() => {
    const { lock, mapped, openSnapshots } = self
    const pinned = openSnapshots > 0 ? mapped.files : undefined
    const refused = pinned === undefined ? refusalToResize(self, newMapSize) : undefined
    if (refused !== undefined) return Effect.fail(refused)
    mapped.mapSize = newMapSize
    if (pinned === undefined) return lock.alone(reopen(self, newMapSize, useReserve))
    mapped.files = { ...pinned, wantedMapSize: mapSizeFor(newMapSize, useReserve), isPinned: true }
    return Effect.void
  }))
