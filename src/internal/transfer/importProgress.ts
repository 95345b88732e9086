/**
 * The progress of an import: how many lines of its file are imported. It is in the store until the import has ended, as a
 * record of the database `structures`, whose other keys have two bytes.
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { Buffer } from "node:buffer"
import type { Reader } from "../../Backend.ts"
import type { Write } from "../../Engine.ts"
import { fromBytes } from "../../Key.ts"
import type { EngineFailure } from "../../StoreError.ts"
import { structuresDatabase } from "../databases.ts"
import { copyOf } from "../engineBytes.ts"

const Progress = Schema.fromJsonString(Schema.Struct({
  /** The number of the last line that is imported. */
  number: Schema.Number,
  /** The digest of the file up to that line. */
  digest: Schema.Number
}))

/** The progress of an import. */
export type Progress = typeof Progress.Type

const key = fromBytes(Buffer.from("import"))

/** Whether a record of a database is the progress of an import. */
export const isProgress = (database: string, recordKey: string): boolean =>
  database === structuresDatabase && recordKey === key

const encode = Schema.encodeSync(Progress)
const decode = Schema.decodeUnknownOption(Progress)

/** Makes the write that stores the progress. */
export const toWrite = ({ digest, number }: Progress): Write => [
  structuresDatabase,
  key,
  Buffer.from(encode({ number, digest }))
]

/** The write that deletes it. */
export const deletion: Write = [structuresDatabase, key, null]

/** Reads the progress of an import that has not ended. */
export const read = (reader: Reader): Effect.Effect<Progress | undefined, EngineFailure> =>
  Effect.map(
    reader.get(structuresDatabase, key, copyOf),
    (bytes) => bytes === undefined ? undefined : Option.getOrUndefined(decode(Buffer.from(bytes).toString()))
  )
