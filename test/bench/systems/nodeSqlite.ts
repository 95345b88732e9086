/** SQLite by the binding that comes with Node. */
import * as Effect from "effect/Effect"
import { join } from "node:path"
import { DatabaseSync } from "node:sqlite"
import type { Open } from "../driver.ts"
import { driver } from "./sqlite.ts"

/** Opens a file of SQLite. */
export const open: Open = (folder, { indexed = false }) =>
  Effect.map(
    Effect.acquireRelease(
      Effect.sync(() => new DatabaseSync(join(folder, "records.sqlite"))),
      (database) => Effect.sync(() => database.close())
    ),
    (database) => driver(database, indexed)
  )
