/** Cursors of pages, as text that a program hands out and gets back. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as PageCursor from "../../src/internal/collection/pageCursor.ts"
import { indexDatabase } from "../../src/internal/databases.ts"
import { keyArbitrary } from "../support/fixtures/byteKeys.ts"

const source: PageCursor.PageSource = { database: indexDatabase("issues", "status"), reverse: false }

describe("a cursor", () => {
  it.effect.prop(
    "decodes to the entry from which it was made, and is safe in a URL",
    [keyArbitrary],
    ([entry]) =>
      Effect.sync(() => {
        const cursor = PageCursor.make(source, entry)
        assert.match(cursor, /^[\w-]+$/)
        assert.deepStrictEqual(PageCursor.entryOf(source, cursor), Result.succeed(entry))
      })
  )

  it.effect.prop("is refused in another range than its own", [keyArbitrary], ([entry]) =>
    Effect.sync(() => {
      const cursor = PageCursor.make(source, entry)
      const others: ReadonlyArray<PageCursor.PageSource> = [
        { ...source, reverse: true },
        { ...source, database: indexDatabase("issues", "title") }
      ]
      for (const other of others) assert.isTrue(Result.isFailure(PageCursor.entryOf(other, cursor)))
    }))

  it.effect.prop("that does not come from a page is refused", [Schema.String], ([text]) =>
    Effect.sync(() => {
      const entry = PageCursor.entryOf(source, text)
      if (Result.isSuccess(entry)) assert.strictEqual(PageCursor.make(source, entry.success), text)
    }))
})
