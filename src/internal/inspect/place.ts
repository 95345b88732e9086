/**
 * Names the databases of the parts of a store that have records, and the parts in messages.
 */
import type { Place } from "../../StoreInspection.ts"
import { collectionDatabase, namespaceDatabase, recordsDatabase } from "../databases.ts"

/** The database of the records. */
export const databaseOf = (place: Place): string => {
  switch (place._tag) {
    case "Store":
      return recordsDatabase
    case "Namespace":
      return namespaceDatabase(place.name)
    case "Collection":
      return collectionDatabase(place.name)
  }
}

/** Names a place in a message. */
export const show = (place: Place): string =>
  place._tag === "Store" ? "the store" : `the ${place._tag.toLowerCase()} "${place.name}"`
