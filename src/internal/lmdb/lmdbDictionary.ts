/**
 * The dictionary with which the library compresses values.
 */
import * as Predicate from "effect/Predicate"

/**
 * Has the library load its dictionary for a database, without compressing what is put there. No
 * value is that long.
 */
export const loadsDictionary = { threshold: 2 ** 31 - 1 }

const none = new Uint8Array(0)

/** The dictionary of a database that was opened with it. */
export const dictionaryOf = (database: object | undefined): Uint8Array => {
  const compression = Predicate.hasProperty(database, "compression") ? database.compression : undefined
  const dictionary = Predicate.hasProperty(compression, "dictionary") ? compression.dictionary : undefined
  // The library uses whole words of it.
  return dictionary instanceof Uint8Array ? dictionary.subarray(0, dictionary.length & ~7) : none
}
