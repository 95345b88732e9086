/**
 * The copies of this package in one process, and the files that each has open.
 *
 * A process has several copies when a bundle is reloaded, or when two versions are in
 * its tree of dependencies. Each has its own list of open stores, so that it does not
 * know what the others have open. Two copies that share a file stop the event loop for
 * good: one waits, on the main thread, for a transaction that the other can only end
 * there. The copies find each other through a symbol that all of them know.
 */

/** This copy. */
const thisCopy = Symbol("effect-lmdb")

/** Change the number when what is kept under the symbol changes. */
const registryKey = Symbol.for("effect-lmdb/openFiles@1")

/** The copies by the files that they have open. Another version may have made it. */
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

/** Notes that this copy has a file open. */
export const enter = (file: string): void => void registry().set(file, thisCopy)

/** Notes that this copy has closed a file. */
export const leave = (file: string): void => void registry().delete(file)
