/**
 * Completes a line of the shell: names of commands and flags, of collections, namespaces and indexes, and keys.
 */
import * as Effect from "effect/Effect"
import * as Predicate from "effect/Predicate"
import * as Stream from "effect/Stream"
import * as Inspect from "../../Inspect.ts"
import type { Store } from "../../Store.ts"
import * as Keys from "./keys.ts"
import { quoted, split } from "./words.ts"

/** The words that can replace the last word of a line. */
export interface Completion {
  /** The completions, as they are written in a line. */
  readonly candidates: ReadonlyArray<string>
  /** The part of the line that they replace. */
  readonly replaced: string
}

/** The words of the shell itself. */
const ownWords = ["help", "exit"]

const placeFlags = ["-c", "--collection", "-n", "--namespace"]

const boundFlags = ["--prefix", "--starts-with", "--equals", "--gte", "--gt", "--lte", "--lt"]

/** The flags of each command that are completed, besides those of the place of the store and those that all commands have. */
const flags: ReadonlyMap<string, ReadonlyArray<string>> = new Map([
  ["get", [...placeFlags, "--raw", "--hex", "--schema"]],
  ["scan", [
    ...placeFlags,
    ...boundFlags,
    "--index",
    "--keys",
    "--count",
    "--limit",
    "--offset",
    "--reverse",
    "--schema"
  ]],
  ["put", [...placeFlags, "--write", "--if-absent", "--text", "--from-file", "--schema"]],
  ["del", [...placeFlags, ...boundFlags, "--write", "--yes"]],
  ["stat", ["--watch"]],
  ["watch", [...placeFlags, ...boundFlags, "--values", "--poll"]],
  ["readers", ["--clean"]],
  ["export", [...placeFlags, "--format", "--gzip", "--overwrite", "--out", "--no-snapshot"]],
  ["import", [
    "--write",
    "--format",
    "--mode",
    "--batch",
    "--dry-run",
    "--schema",
    "--rejects",
    "--resume",
    "--from-line"
  ]],
  ["verify", ["--deep", "--schema"]],
  ["backup", ["--compact", "--verify", "--keep"]],
  ["restore", ["--write", "--overwrite"]],
  ["compact", ["--write"]],
  ["copy", ["--write", "--to-key-file", "--to-table", "--plain", "--compression"]],
  ["queue", ["--name", "--state", "--limit", "--all", "--write", "--yes"]],
  ["workflow", ["--name", "--state", "--limit", "--write"]]
])

/** Returns the flags of a command that are completed. */
export const flagsOf = (command: string): ReadonlyArray<string> => flags.get(command) ?? []

const everywhere = ["--json", "--ndjson", "--quiet", "--help"]

const after = (words: ReadonlyArray<string>, names: ReadonlyArray<string>): string | undefined => {
  const at = words.findLastIndex((word) => names.includes(word))
  return at < 0 ? undefined : words[at + 1]
}

const placeOf = (words: ReadonlyArray<string>): Inspect.Place => {
  const collection = after(words, placeFlags.slice(0, 2))
  if (collection !== undefined) return Inspect.collection(collection)
  const namespace = after(words, placeFlags.slice(2))
  return namespace === undefined ? Inspect.own : Inspect.namespace(namespace)
}

/** The most keys that are looked at, and that are offered. */
const readKeys = 2000
const offeredKeys = 50

/** The keys of a place that begin with a text, as they are written. */
const keysOf = Effect.fnUntraced(function*(place: Inspect.Place, start: string) {
  const [example] = yield* Keys.examplesOf(place)
  const range = Predicate.isString(example) ? { prefix: start } : {}
  return yield* Inspect.records(place, { ...range, values: false, limit: readKeys }).pipe(
    Stream.map(({ key }) => Keys.show(key)),
    Stream.filter((shown) => shown.startsWith(start)),
    Stream.take(offeredKeys),
    Stream.runCollect
  )
})

/** All words that may stand where the last word of a line is. */
const possible = Effect.fnUntraced(function*(
  words: ReadonlyArray<string>,
  start: string,
  commands: ReadonlyArray<string>
) {
  const [command = ""] = words
  if (words.length === 0) return [...commands, ...ownWords]
  if (start.startsWith("-")) return [...flagsOf(command), ...everywhere]
  const previous = words.at(-1) ?? ""
  if (previous === "-c" || previous === "--collection") {
    return (yield* Inspect.contents).collections.map(({ name }) => name)
  }
  if (previous === "-n" || previous === "--namespace") {
    return (yield* Inspect.contents).namespaces.map(({ name }) => name)
  }
  if (previous === "--index") {
    const place = placeOf(words)
    const { collections } = yield* Inspect.contents
    const found = collections.find(({ name }) => place._tag === "Collection" && name === place.name)
    return found?.indexes.map(({ name }) => name) ?? []
  }
  const takesKey = command === "get" || command === "del" || boundFlags.includes(previous)
  return takesKey ? yield* keysOf(placeOf(words), start) : []
})

/** Completes the last word of a line. A line with an error in it has no completions. */
export const complete = (line: string, commands: ReadonlyArray<string>): Effect.Effect<Completion, never, Store> => {
  const { isOpen, last, words } = split(line)
  const start = last === line.length ? "" : words.at(-1) ?? ""
  const before = last === line.length ? words : words.slice(0, -1)
  const replaced = line.slice(last)
  return possible(before, start, commands).pipe(
    Effect.map((found) => ({
      candidates: isOpen ? [] : found.filter((word) => word.startsWith(start)).map((word) => `${quoted(word)} `),
      replaced
    })),
    Effect.orElseSucceed(() => ({ candidates: [], replaced }))
  )
}
