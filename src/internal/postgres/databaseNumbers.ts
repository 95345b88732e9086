/**
 * The numbers of the named databases of a store. A number never changes, so each is read once.
 */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type { EngineFailure } from "../../StoreError.ts"
import { numberIn, run, type Server, textIn } from "./server.ts"

/** The known numbers. */
export interface DatabaseNumbers {
  readonly server: Server
  readonly byName: Map<string, number>
  readonly byNumber: Map<number, string>
}

/** Makes the numbers of a store; none is known yet. */
export const make = (server: Server): DatabaseNumbers => ({ server, byName: new Map(), byNumber: new Map() })

/** Reads all numbers. */
export const load = ({ byName, byNumber, server }: DatabaseNumbers): Effect.Effect<void, EngineFailure> =>
  Effect.map(
    run(server, "read the databases", `SELECT id::float8, name FROM ${server.tables.databases}`, []),
    (rows) => {
      for (const [id, name] of rows) {
        const number = numberIn(id)
        if (number === undefined) continue
        byName.set(textIn(name), number)
        byNumber.set(number, textIn(name))
      }
    }
  )

/** Returns the number of a database; `undefined` if it does not exist. */
export const find = (
  self: DatabaseNumbers,
  name: string
): Effect.Effect<number | undefined, EngineFailure> => {
  const known = self.byName.get(name)
  return known === undefined ? Effect.map(load(self), () => self.byName.get(name)) : Exit.succeed(known)
}

/** Creates the databases that do not exist, all of them or none. */
export const create = (
  self: DatabaseNumbers,
  names: ReadonlyArray<string>
): Effect.Effect<void, EngineFailure> =>
  Effect.suspend(() => {
    const missing = names.filter((name) => !self.byName.has(name))
    if (missing.length === 0) return Effect.void
    const { server } = self
    return Effect.andThen(
      run(
        server,
        "create databases",
        `INSERT INTO ${server.tables.databases} (name) SELECT DISTINCT unnest($1::text[]) EXCEPT
           SELECT name FROM ${server.tables.databases} ON CONFLICT DO NOTHING`,
        [missing]
      ),
      load(self)
    )
  })

/** Creates the databases of writes, and returns their numbers. */
export const ensure = (
  self: DatabaseNumbers,
  names: ReadonlyArray<string>
): Effect.Effect<ReadonlyMap<string, number>, EngineFailure> => Effect.as(create(self, names), self.byName)
