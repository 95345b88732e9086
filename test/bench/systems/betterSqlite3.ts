/** SQLite by the binding of the package better-sqlite3, which has native code that not every machine can load. */
import Database from "better-sqlite3"
import * as Effect from "effect/Effect"
import { join } from "node:path"
import type { Open } from "../driver.ts"
import { driver } from "./sqlite.ts"

/** Fails where the native code cannot be loaded. */
export const probe = Effect.try({
  try: (): void => void new Database(":memory:").close(),
  // What follows in the text is where it was looked for
  catch: (cause) => String(cause).split("\n")[0]
})

/** Opens a file of SQLite. */
export const open: Open = (folder, { indexed = false }) =>
  Effect.map(
    Effect.acquireRelease(
      Effect.sync(() => new Database(join(folder, "records.sqlite"))),
      (database) => Effect.sync(() => database.close())
    ),
    (database) =>
      driver({
        exec: (sql) => database.exec(sql),
        prepare: (sql) => database.prepare<Array<string | number>>(sql)
      }, indexed)
  )
