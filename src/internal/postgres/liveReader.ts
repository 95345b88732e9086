/**
 * Reads the current state: what is committed on the server, and the pending writes of this process over it.
 */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type { Reader } from "../../Backend.ts"
import type { RangePart } from "../../Engine.ts"
import type { ByteString } from "../../Key.ts"
import { noBytes } from "../engineBytes.ts"
import { over } from "../reader/overlay.ts"
import * as PendingLayers from "./pendingLayers.ts"
import type { Found } from "./readBatches.ts"
import type { ServerReader } from "./serverReader.ts"

/** An answer of the server. */
export interface Answered {
  readonly part?: RangePart
  readonly count?: number
  readonly found?: ReadonlyMap<ByteString, Found>
}

const noPart: RangePart = { records: [], rest: undefined }

const bytesOf = (found: Found): Uint8Array | undefined => found === true ? noBytes : found

/** Makes a reader of one answer of the server, which has nothing else. */
export const answeredReader = ({ count = 0, found = new Map(), part = noPart }: Answered): Reader => {
  const get = <A>(key: ByteString, decode: (bytes: Uint8Array) => A): A | undefined => {
    const bytes = bytesOf(found.get(key))
    return bytes === undefined ? undefined : decode(bytes)
  }
  return {
    get: (_database, key, decode) => Exit.succeed(get(key, decode)),
    getMany: (_database, keys, decode) => Exit.succeed(keys.map((key, at) => get(key, (bytes) => decode(bytes, at)))),
    has: (_database, key) => Exit.succeed(found.get(key) !== undefined),
    read: () => Exit.succeed(part),
    count: () => Exit.succeed(count)
  }
}

/** Overlays the layers that an answer does not include. */
export const overlaid = (layers: ReadonlyArray<PendingLayers.Layer>, base: Reader, token: number): Reader =>
  layers.toReversed().reduce((reader, layer) => layer.isIncluded(token) ? reader : over(layer.writes, reader), base)

/** Makes the reader of the current state. */
export const make = (pending: PendingLayers.PendingLayers, committed: ServerReader): Reader => {
  const { buffer } = pending
  return {
    get: (database, key, decode) => {
      const write = buffer.get(database, key)
      if (write !== undefined) return Exit.succeed(write === null ? undefined : decode(write))
      return Effect.map(committed.keys(database, [key], true), ({ found: [value] }) => {
        const bytes = bytesOf(value)
        return bytes === undefined ? undefined : decode(bytes)
      })
    },
    getMany: (database, keys, decode) => {
      const layers = keys.some((key) => buffer.get(database, key) !== undefined) ? PendingLayers.layers(pending) : []
      return Effect.flatMap(committed.keys(database, keys, true), ({ found, token }) => {
        const byKey = new Map(keys.map((key, at) => [key, found[at]]))
        return overlaid(layers, answeredReader({ found: byKey }), token).getMany(database, keys, decode)
      })
    },
    has: (database, key) => {
      const write = buffer.get(database, key)
      return write === undefined
        ? Effect.map(committed.keys(database, [key], false), ({ found: [value] }) => value !== undefined)
        : Exit.succeed(write !== null)
    },
    read: (database, request) => {
      const layers = PendingLayers.layers(pending)
      return Effect.flatMap(
        committed.part(database, request),
        (part) => overlaid(layers, answeredReader({ part }), part.token).read(database, request)
      )
    },
    count: (database) => {
      const layers = PendingLayers.layers(pending)
      const keys = [...new Set(layers.flatMap(({ writes }) => Array.from(writes.entriesOf(database), ([key]) => key)))]
      return Effect.flatMap(committed.count(database, keys), ({ count, exist, token }) => {
        const found = new Map(keys.map((key, at): [ByteString, Found] => [key, exist[at] === true ? true : undefined]))
        return overlaid(layers, answeredReader({ count, found }), token).count(database)
      })
    }
  }
}
