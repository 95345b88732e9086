/** Stores on PostgreSQL that cannot be opened: the reason is typed and says what to do. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as SqlClient from "effect/sql/SqlClient"
import * as PostgresStore from "../../src/Postgres.ts"
import * as PostgresStores from "../support/postgresStore.ts"

const failure = (options: object, sql: Effect.Success<typeof PostgresStores.connect>) =>
  Effect.scoped(Effect.flip(Effect.provideService(PostgresStore.make(options), SqlClient.SqlClient, sql)))

describe("opening a store on PostgreSQL fails", () => {
  it.effect("with BadOption, which names the option", () =>
    Effect.gen(function*() {
      const sql = yield* PostgresStores.connect
      for (
        const [option, value] of Object.entries({
          table: "Not a name",
          snapshots: 1000,
          maxValueBytes: "20 MiB",
          patience: "soon",
          notify: 1,
          batchSize: 0,
          mapSize: "1 GiB",
          compression: true,
          shared: true
        })
      ) {
        const { reason } = yield* failure({ [option]: value }, sql)
        assert.strictEqual(reason._tag, "BadOption", option)
        assert.propertyVal(reason, "option", option)
      }
    }))

  it.effect("with Unreachable if the server does not answer", () =>
    Effect.gen(function*() {
      const error = yield* Effect.scoped(Effect.flip(Effect.flatMap(
        PostgresStores.connectTo("postgres://postgres@127.0.0.1:1/postgres"),
        (sql) => Effect.provideService(PostgresStore.make({ patience: "10 millis" }), SqlClient.SqlClient, sql)
      )))
      assert.strictEqual("reason" in error ? error.reason._tag : "", "Unreachable")
    }))

  it.effect("with Missing if the store only reads and there are no tables", () =>
    Effect.gen(function*() {
      const table = yield* PostgresStores.freshTable
      const sql = yield* PostgresStores.connect
      assert.strictEqual((yield* failure({ table, readOnly: true }, sql)).reason._tag, "Missing")
    }))

  it.effect("with UnsupportedFormat if a later version has made the tables, and changes nothing", () =>
    Effect.gen(function*() {
      const table = yield* PostgresStores.freshTable
      const sql = yield* PostgresStores.connect
      yield* Effect.scoped(PostgresStores.openOn({ table }))
      yield* PostgresStores.run(sql, `UPDATE ${table}_store SET format = 2`)
      assert.strictEqual((yield* failure({ table }, sql)).reason._tag, "UnsupportedFormat")
    }))

  it.effect("with Unsupported if Citus distributes the table", () =>
    Effect.gen(function*() {
      const table = yield* PostgresStores.freshTable
      const sql = yield* PostgresStores.connect
      yield* Effect.scoped(PostgresStores.openOn({ table }))
      assert.strictEqual((yield* failure({ table }, withAnswers(sql, citus(sql)))).reason._tag, "Unsupported")
    }))

  it.effect("with Unsupported if the server has an older version of PostgreSQL", () =>
    Effect.gen(function*() {
      const table = yield* PostgresStores.freshTable
      const sql = yield* PostgresStores.connect
      const { reason } = yield* failure({ table }, withAnswers(sql, older(sql)))
      assert.strictEqual(reason._tag, "Unsupported")
      assert.include("detail" in reason ? reason.detail : "", "version 13")
      assert.deepStrictEqual(yield* tablesLike(sql, table), [])
    }))

  it.effect("by two processes at the same time succeeds for both", () =>
    Effect.gen(function*() {
      const table = yield* PostgresStores.freshTable
      const stores = yield* Effect.all(
        Array.from({ length: 6 }, () => PostgresStores.openOn({ table })),
        { concurrency: "unbounded" }
      )
      for (const [number, store] of stores.entries()) yield* store.put(`k${number}`, number, { durable: true })
      for (const store of stores) assert.strictEqual(yield* store.size, 6)
    }))
})

/** The client of a server that gives other answers. */
const withAnswers = (sql: SqlClient.SqlClient, reserve: SqlClient.SqlClient["reserve"]) =>
  new Proxy(sql, {
    get: (target, property, receiver): unknown =>
      property === "reserve" ? reserve : Reflect.get(target, property, receiver)
  })

const tablesLike = (sql: SqlClient.SqlClient, name: string) =>
  Effect.scoped(
    Effect.flatMap(sql.reserve, (connection) =>
      connection.executeValues("SELECT relname FROM pg_class WHERE relname LIKE $1 || '%'", [name]))
  )

/** A server with an older version of PostgreSQL. */
const older = (sql: SqlClient.SqlClient): SqlClient.SqlClient["reserve"] =>
  Effect.map(sql.reserve, (connection) => ({
    ...connection,
    executeValues: (text, parameters) =>
      Effect.map(
        connection.executeValues(text, parameters),
        (rows) => text.includes("server_version_num") ? [[130_021, ...rows[0]?.slice(1) ?? []]] : rows
      )
  }))

/** A server that has the catalog of Citus, with every table in it. */
const citus = (sql: SqlClient.SqlClient): SqlClient.SqlClient["reserve"] =>
  Effect.map(sql.reserve, (connection) => ({
    ...connection,
    executeValues: (text, parameters) =>
      text.includes("logicalrel")
        ? Effect.succeed([[true]])
        : Effect.map(
          connection.executeValues(text, parameters),
          (rows) => text.includes("pg_dist_partition") ? [[...rows[0]?.slice(0, 3) ?? [], true]] : rows
        )
  }))
