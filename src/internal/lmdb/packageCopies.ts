/**
 * Keeps several copies of this package in one process from opening the same file.
 *
 * A process has several copies if a bundle is reloaded, or if its dependencies include two
 * versions. Each copy knows only its own open stores. Two copies that open the same file
 * deadlock: one blocks the main thread until a transaction ends that the other can end only
 * on the main thread. The copies share a registry under a global symbol.
 */

/** Identifies this copy. */
const thisCopy = Symbol("effect-lmdb")

/** The key of the registry in `globalThis`. Change the number if the type of the registry changes. */
const registryKey = Symbol.for("effect-lmdb/openFiles@1")

/** The copies by the files that they have open. A copy of another version may have made the map. */
const registry = (): Map<unknown, unknown> => {
  const known: unknown = Reflect.get(globalThis, registryKey)
  if (known instanceof Map) return known
  const made = new Map<unknown, unknown>()
  Object.defineProperty(globalThis, registryKey, { value: made })
  return made
}

/** Whether another copy of the package in this process has a file open. */
export const isOpenElsewhere = (file: string): boolean => {
  const holder = registry().get(file)
  return holder !== undefined && holder !== thisCopy
}

/** Records that this copy has opened a file. */
export const enter = (file: string): void => void registry().set(file, thisCopy)

/** Records that this copy has closed a file. */
export const leave = (file: string): void => void registry().delete(file)
