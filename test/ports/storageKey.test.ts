import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import { storageKey } from "../../src/internal/ports/storageKey.ts"

describe("the key of an id from outside", () => {
  it("is the id, if a key can hold it", () => {
    for (const id of ["", "a", "user/1", "é".repeat(256)]) assert.strictEqual(storageKey(id), id)
  })

  it("is a hash of a long id, so that it fits", () => {
    const key = storageKey("a".repeat(257))
    assert.match(key, /^sha256:[0-9a-f]{64}$/)
    assert.notStrictEqual(key, storageKey("b".repeat(257)))
  })

  it("is a hash of an id with half of a surrogate pair, which no key may contain", () => {
    assert.match(storageKey("\uD800"), /^sha256:/)
    assert.notStrictEqual(storageKey("\uD800"), storageKey("\uD801"))
  })

  it("is never the hash of another id", () => {
    const hash = storageKey("a".repeat(257))
    assert.notStrictEqual(storageKey(hash), hash)
  })

  it.prop("is the same for the same id only", [Schema.String, Schema.String], ([a, b]) => {
    assert.strictEqual(storageKey(a) === storageKey(b), a === b)
  })
})
