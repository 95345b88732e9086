/** JSON that is typed or read from a file is parsed exactly, or refused. */
import { assert, describe, it } from "@effect/vitest"
import * as Result from "effect/Result"
import * as Inspect from "../../src/Inspect.ts"

describe("parseJson", () => {
  it("refuses an integer that a number cannot hold, and says what to write", () => {
    for (const text of ["12345678901234567890", "{\"a\":[1,-9007199254740993]}"]) {
      const failure = Result.getFailure(Inspect.parseJson(text))
      assert.include(String(failure), "$bigint")
    }
  })

  it("takes every other JSON, also digits in texts and large numbers that are exact", () => {
    for (
      const text of [
        "\"12345678901234567890\"",
        "100000000000000000000",
        "1.5e300",
        "{\"12345678901234567890\":\"\\\"9\"}"
      ]
    ) {
      assert.deepStrictEqual(Result.getOrThrow(Inspect.parseJson(text)), JSON.parse(text))
    }
  })
})
