/**
 * Computes how large a map this process can have.
 *
 * The engine maps the whole file, and ends the process if the system refuses the map. A map takes addresses
 * and not memory. A process has about 128 TiB of addresses, with gaps between maps, and fewer under a
 * limit (`ulimit -v`).
 */
import * as ByteSize from "effect/ByteSize"
import * as Result from "effect/Result"
import { readFileSync } from "node:fs"
import { EngineFailure } from "../../StoreError.ts"

/** The errno `ENOMEM`. */
const noMemory = 12

/** Maps larger than this (64 GiB) need a search for a gap. Every system has a gap for a smaller map. */
const largeMap = 2 ** 36

/** The largest map (16 TiB) that is allowed if the system does not list the maps of the process. */
const largestMap = 2 ** 44

/** Addresses that stay free for other uses: the heap of JavaScript, stacks of threads. */
const otherBytes = 128 * 1024 * 1024

/** The first address of the kernel. */
const kernelStart = 2 ** 63

/** Reads a file of Linux about this process; returns an empty text on other systems. */
const read = (name: string): string =>
  Result.getOrElse(Result.try(() => readFileSync(`/proc/self/${name}`, "utf8")), () => "")

/** The number that a pattern captures; `undefined` if it does not match. */
const numberIn = (text: string, pattern: RegExp): number | undefined => {
  const [, digits] = pattern.exec(text) ?? []
  return digits === undefined ? undefined : Number(digits)
}

/** The limit on the address space of this process, in bytes. */
const limitOfProcess = (): number => numberIn(read("limits"), /^Max address space +(\d+)/m) ?? Infinity

/** How many more bytes this process may map. */
const freeBytes = (): number => {
  const limit = limitOfProcess()
  if (limit === Infinity) return Infinity
  return limit - 1024 * (numberIn(read("status"), /^VmSize:\s+(\d+) kB/m) ?? 0)
}

/** The longest range of consecutive addresses to which nothing is mapped. */
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

/**
 * The size of the largest possible map after `unmapped` bytes are unmapped, with `kept` bytes left for other uses. Looks
 * for a gap only if `bytes` is large.
 */
const mostBytes = (bytes: number, unmapped: number, kept = otherBytes): number => {
  const free = Math.max(0, freeBytes() + unmapped - kept)
  return bytes < largeMap ? free : Math.min(free, longestGap())
}

const explain = (bytes: number, most: number): string => {
  const [wanted, possible] = [bytes, most].map((size) => ByteSize.format(ByteSize.bytes(Math.max(0, Math.floor(size)))))
  return `a map of ${wanted} does not fit into the address space of this process, where at most ${possible} are free` +
    (isLimited() ? "; it runs under a limit (ulimit -v)" : "")
}

/** Says why a map of a size is not possible. `replaced` is the size of the map that it replaces. */
export const refusal = (bytes: number, replaced = 0): string | undefined => {
  const most = mostBytes(bytes, replaced)
  return bytes <= most ? undefined : explain(bytes, most)
}

/** Says why a map cannot be opened again after it was closed. No addresses are then left for other uses. */
export const refusalAfterClosing = (bytes: number): string | undefined => {
  const most = mostBytes(bytes, 0, 0)
  return bytes <= most ? undefined : explain(bytes, most)
}

/** Says why an additional map of a size is not possible. */
export const noRoomFor = (bytes: number): string => explain(bytes, mostBytes(bytes, 0))

/** The error of a store that cannot grow its map. Trying again may help: the process may have more addresses later. */
export const failure = (operation: string, detail: string): EngineFailure =>
  new EngineFailure({ operation, code: noMemory, detail, isRetryable: true })

let isLimitedOnce: boolean | undefined

/** Whether the address space of this process is limited. The limit is read only once. */
export const isLimited = (): boolean => {
  isLimitedOnce ??= limitOfProcess() !== Infinity
  return isLimitedOnce
}

/** Whether this process can map this many more bytes. */
export const hasRoomFor = (bytes: number): boolean => bytes <= freeBytes() - otherBytes
