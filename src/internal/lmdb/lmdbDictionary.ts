/**
 * Loads the dictionary with which the library compresses values, for a store that is open without `compression`.
 */
import * as Predicate from "effect/Predicate"

/**
 * The compression options that make the library load its dictionary for a database without compressing
 * anything: no value reaches the threshold.
 */
export const loadsDictionary = { threshold: 2 ** 31 - 1 }

const noDictionary = new Uint8Array(0)

/** The dictionary of a database that was opened with `loadsDictionary`; empty for any other. */
export const dictionaryOf = (database: object | undefined): Uint8Array => {
  const compression = Predicate.hasProperty(database, "compression") ? database.compression : undefined
  const dictionary = Predicate.hasProperty(compression, "dictionary") ? compression.dictionary : undefined
  // The library uses only whole words of 8 bytes.
  return dictionary instanceof Uint8Array ? dictionary.subarray(0, dictionary.length & ~7) : noDictionary
}
