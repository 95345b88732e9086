/**
 * Parses JSON exactly. `JSON.parse` rounds an integer that a number cannot hold, and says nothing.
 */
import * as Result from "effect/Result"
import type * as Schema from "effect/Schema"

/** Texts, which are passed over, and numbers. */
const tokens = /"(?:[^"\\]|\\.)*"|-?\d[\d.eE+-]*/g

/** The first integer of a text that a number cannot hold. */
const roundedIn = (text: string): string | undefined =>
  /\d{16}/.test(text)
    ? text.match(tokens)?.find((token) => /^-?\d{16,}$/.test(token) && String(Number(token)) !== token)
    : undefined

const parseUnknown = (text: string): unknown => JSON.parse(text)

const isJson = (parsed: unknown): parsed is Schema.Json => parsed !== undefined

/** Parses JSON, or says what is wrong with it. */
export const parse = (text: string): Result.Result<Schema.Json, string> => {
  const parsed = Result.try({
    try: () => parseUnknown(text),
    catch: (cause) => `it is not JSON${cause instanceof Error ? `: ${cause.message}` : ""}`
  })
  return Result.flatMap(parsed, (json) => {
    if (!isJson(json)) return Result.fail("it is not JSON")
    const rounded = roundedIn(text)
    return rounded === undefined
      ? Result.succeed(json)
      : Result.fail(`a number cannot hold ${rounded}: write {"$bigint":"${rounded}"}, or text in quotes`)
  })
}
