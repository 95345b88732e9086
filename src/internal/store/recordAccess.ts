/**
 * Says which database the untyped records of a handle use: the one of the store, or the one of a namespace. Decodes these
 * records, and shows their keys in errors.
 */
import type * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import { type ByteString, type Key, toBytes } from "../../Key.ts"
import type { EngineFailure, ShownKey, ValueDecoding } from "../../StoreError.ts"
import * as StructureTable from "../commit/structureTable.ts"
import { namespaceDatabase, recordsDatabase } from "../databases.ts"
import type { KeyCodec } from "../key/keyCodec.ts"
import type { StoreAccess } from "./storeAccess.ts"

/** What the methods for untyped records share. */
export interface RecordAccess extends StoreAccess {
  /** The database of the records. */
  readonly database: string
  /** The name of the namespace; `undefined` for the records of the store itself. */
  readonly namespace: string | undefined
}

/** The records of the store itself. */
export const ofStore = (access: StoreAccess): RecordAccess => ({
  ...access,
  database: recordsDatabase,
  namespace: undefined
})

/** The records of a namespace. */
export const ofNamespace = (access: StoreAccess, namespace: string): RecordAccess => ({
  ...access,
  database: namespaceDatabase(namespace),
  namespace
})

/** A key in an error, and the namespace that it belongs to. */
export interface NamespacedKey extends ShownKey<Key> {
  readonly namespace?: string
}

const inNamespace = ({ namespace }: RecordAccess, shownKey: ShownKey<Key>): NamespacedKey =>
  namespace === undefined ? shownKey : { ...shownKey, namespace }

/** Formats the key of a call for an error about it. */
export const shown = (self: RecordAccess, key: Key): NamespacedKey =>
  inNamespace(self, { key, shownKey: self.handle.keys.show(key) })

/** Decodes a stored key to text; to bytes if encoding the text would not give the same bytes again. */
const storedKey = (keys: KeyCodec, bytes: ByteString): string | Uint8Array =>
  Result.filterOrFail(
    keys.decode(bytes),
    (text) => Result.getOrUndefined(keys.encode(text)) === bytes,
    () => undefined
  ).pipe(Result.getOrElse(() => toBytes(bytes)))

/**
 * Decodes a value. `given` is the key in the form of the caller, if there is one. The bytes need to be valid only during the
 * call. Call it inside an effect: it decodes at once.
 */
export const decode = (
  self: RecordAccess,
  key: ByteString,
  bytes: Uint8Array,
  given?: Key
): Effect.Effect<unknown, ValueDecoding<Key> | EngineFailure> => {
  const { core, keys } = self.handle
  return StructureTable.decode(core.structures, bytes, () =>
    inNamespace(self, {
      key: given ?? storedKey(keys, key),
      shownKey: keys.show(toBytes(key))
    }))
}
