/**
 * Opens a store on PostgreSQL with the client of `@effect/sql-pg`. Only `openStore` loads this module, because the package
 * of the client is optional.
 */
import { PgClient } from "@effect/sql-pg"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as PostgresStore from "../../Postgres.ts"

/** Opens a store until the scope closes. */
export const open = (url: string, table: string, write: boolean) =>
  Effect.flatMap(
    Layer.build(PgClient.layer({ url: Redacted.make(url) })),
    (context) => Effect.provideContext(PostgresStore.make({ table, readOnly: !write }), context)
  )
