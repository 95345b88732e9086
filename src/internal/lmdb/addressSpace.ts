/**
 * How much can be mapped into the memory of this process.
 *
 * The engine maps all of a file and ends the process where the system refuses that. The file takes no
 * memory by that, but addresses: of these a process has about 128 TiB in several parts, and less under a limit
 * (`ulimit -v`).
 */
import * as ByteSize from "effect/ByteSize"
import * as Result from "effect/Result"
import { readFileSync } from "node:fs"
import { EngineFailure } from "../../StoreError.ts"

const noMemory = 12

/** Larger maps are looked for a place for. Every system has one for smaller ones. */
const largeMap = 2 ** 36

/** What is taken to be possible where the system does not say what is. */
const largestMap = 2 ** 44

/** What else this process needs addresses for: memory of JavaScript, stacks of threads. */
const otherBytes = 128 * 1024 * 1024

/** From here on addresses are those of the kernel. */
const kernelStart = 2 ** 63

/** A file that describes this process; empty where the system has none. */
const read = (name: string): string =>
  Result.getOrElse(Result.try(() => readFileSync(`/proc/self/${name}`, "utf8")), () => "")

/** The number in the first match of a pattern. */
const numberIn = (text: string, pattern: RegExp): number | undefined => {
  const [, digits] = pattern.exec(text) ?? []
  return digits === undefined ? undefined : Number(digits)
}

/** The limit on the addresses of this process, in bytes. */
const limitOfProcess = (): number => numberIn(read("limits"), /^Max address space +(\d+)/m) ?? Infinity

/** How many bytes this process may map besides those that it has mapped. */
const freeBytes = (): number => {
  const limit = limitOfProcess()
  if (limit === Infinity) return Infinity
  return limit - 1024 * (numberIn(read("status"), /^VmSize:\s+(\d+) kB/m) ?? 0)
}

/** The longest row of addresses that nothing is mapped to. */
const longestGap = (): number => {
  let end = 0
  let longest = 0
  for (const [, from = "", to = ""] of read("maps").matchAll(/^([0-9a-f]+)-([0-9a-f]+) /gm)) {
    const start = Number.parseInt(from, 16)
    if (start >= kernelStart) break
    longest = Math.max(longest, start - end)
    end = Number.parseInt(to, 16)
  }
  return end === 0 ? largestMap : longest
}

/** The largest map that this process can have, where one of a size is asked for; `given` bytes are given back before. */
const mostBytes = (bytes: number, given: number, kept = otherBytes): number => {
  const free = Math.max(0, freeBytes() + given - kept)
  return bytes < largeMap ? free : Math.min(free, longestGap())
}

const explain = (bytes: number, most: number): string => {
  const [wanted, possible] = [bytes, most].map((size) => ByteSize.format(ByteSize.bytes(Math.max(0, Math.floor(size)))))
  return `a map of ${wanted} has no place among the addresses of this process, at most ${possible} have` +
    (isLimited() ? "; it runs under a limit (ulimit -v)" : "")
}

/** Says why a map of a size cannot be; `given` is the size of the map in whose place it comes. */
export const refusal = (bytes: number, given = 0): string | undefined => {
  const most = mostBytes(bytes, given)
  return bytes <= most ? undefined : explain(bytes, most)
}

/** Says why a map cannot be opened again after it was closed: nothing is kept for other needs then. */
export const refusalAfterClosing = (bytes: number): string | undefined => {
  const most = mostBytes(bytes, 0, 0)
  return bytes <= most ? undefined : explain(bytes, most)
}

/** Says why a map of a size cannot be in addition to what is mapped. */
export const noRoomFor = (bytes: number): string => explain(bytes, mostBytes(bytes, 0))

/** The error of a store that cannot grow. A process may have more addresses later. */
export const failure = (operation: string, detail: string): EngineFailure =>
  new EngineFailure({ operation, code: noMemory, detail, isRetryable: true })

let isLimitedOnce: boolean | undefined

/** Whether this process runs under a limit. It is looked up once. */
export const isLimited = (): boolean => {
  isLimitedOnce ??= limitOfProcess() !== Infinity
  return isLimitedOnce
}

/** Whether this process can map this many more bytes. */
export const hasRoomFor = (bytes: number): boolean => bytes <= freeBytes() - otherBytes
