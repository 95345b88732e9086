/**
 * The names of the collections in which the ports keep their records. A program that opened one of them with other schemas
 * would migrate or replace these records.
 */
import * as Context from "effect/Context"

/** What these names begin with. */
export const ownPrefix = "effect."

/** Whether a collection with such a name can be opened: the ports open theirs with `true`. */
export const OwnNames = Context.Reference<boolean>("effect-lmdb/OwnNames", { defaultValue: () => false })
