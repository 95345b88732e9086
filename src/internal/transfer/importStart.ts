/**
 * Where an import begins: at the first line, at a given line, or after the last line of an import that was interrupted.
 */
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as Stream from "effect/Stream"
import type { Closed, EngineFailure } from "../../StoreError.ts"
import { ImportMismatch } from "../../StoreImport.ts"
import * as StoreAccess from "../store/storeAccess.ts"
import type { Importing, ImportItem } from "./importLines.ts"
import * as ImportProgress from "./importProgress.ts"
import * as ImportTarget from "./importTarget.ts"

/** The lines that are left out. */
export interface Skipped {
  /** The number of the last line that is left out. */
  readonly number: number
  /** The digest of the file up to that line, if it is known. */
  readonly digest: number | undefined
}

const nothing: Skipped = { number: 0, digest: undefined }

/** Finds the lines to leave out. */
export const find = (
  access: StoreAccess.StoreAccess,
  { fromLine, resume }: { readonly fromLine: number | undefined; readonly resume: boolean }
): Effect.Effect<Skipped, Closed | EngineFailure> => {
  if (fromLine !== undefined) return Effect.succeed({ number: fromLine - 1, digest: undefined })
  if (!resume) return Effect.succeed(nothing)
  return Effect.map(StoreAccess.readLive(access, ImportProgress.read), (progress) => progress ?? nothing)
}

/** Notes what later lines need of a line that is left out: the definition of a collection. */
const note = ({ exported, typed }: Importing, { line }: ImportItem): void => {
  if (Result.isFailure(line) || line.success._tag !== "Collection" || typed.has(line.success.name)) return
  const definition = ImportTarget.definitionOf(line.success.definition)
  if (definition !== undefined) exported.set(line.success.name, definition)
}

/** Leaves lines out. If their digest is known, they must be the lines that were imported. */
export const after = <E, R>(
  self: Importing,
  items: Stream.Stream<ImportItem, E, R>,
  { digest, number }: Skipped
): Stream.Stream<ImportItem, E | ImportMismatch, R> => {
  if (number === 0) return items
  const mismatch = Effect.suspend(() => Effect.fail(new ImportMismatch({ lines: number })))
  let last = 0
  const checked = Stream.chunks(items).pipe(
    Stream.mapEffect((part) => {
      const skipped = part.filter((item) => item.number <= number)
      for (const item of skipped) note(self, item)
      last = part.at(-1)?.number ?? last
      const end = skipped.find((item) => item.number === number)
      const isOther = digest !== undefined && end !== undefined && end.digest !== digest
      return isOther ? mismatch : Effect.succeed(part.slice(skipped.length))
    }),
    Stream.flattenIterable
  )
  // A file that ends earlier is another one.
  return Stream.concat(
    checked,
    Stream.unwrap(Effect.suspend(() => last < number ? mismatch : Effect.succeed(Stream.empty)))
  )
}
