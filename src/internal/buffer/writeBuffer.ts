/**
 * The write buffer of a store: the writes that LMDB does not have yet.
 *
 * It has at most two memtables. New writes go into the active one. A commit seals the active
 * memtable, which is flushing from then on, and an empty one becomes active, so that fibers
 * keep writing during the commit. After a commit that failed, its writes go back into the
 * active memtable, under the newer writes of the same keys.
 *
 * A `Ref` holds the two memtables. The writes inside a memtable are mutable for speed: every
 * method is synchronous, and no other fiber runs before it returns.
 */
import * as Ref from "effect/Ref"
import type { Batch, KeyRange, Write } from "../../Engine.ts"
import type { ByteString } from "../../Key.ts"
import * as Memtable from "./memtable.ts"
import { freeze, hasOnlyDeletions, inRange, type PendingEntry, type PendingWrite, type Writes } from "./writeSet.ts"

interface Memtables {
  /** Takes new writes. */
  readonly active: Memtable.Memtable
  /** Belongs to the commit that runs, if any. */
  readonly flushing: Memtable.Memtable | undefined
}

/** When a memtable is full. */
export interface Limits {
  /** How many distinct keys fill a memtable. */
  readonly batchSize: number
  /** How many bytes of keys and encoded values fill a memtable. */
  readonly batchBytes: number
}

const noEntries: ReadonlyArray<PendingEntry> = []

/** The pending writes of both memtables; a write of the active one hides an older write of the same key. */
const entriesOfBoth = function*({ active, flushing }: Memtables, database: string): Generator<PendingEntry> {
  const newer = active.writes.entriesOf(database)
  if (flushing !== undefined) {
    for (const entry of flushing.writes.entriesOf(database)) {
      if (!newer.has(entry[0])) yield entry
    }
  }
  yield* newer
}

/** The write buffer of a store. */
export class WriteBuffer implements Writes {
  readonly #limits: Limits
  readonly #memtables = Ref.makeUnsafe<Memtables>({ active: Memtable.make(), flushing: undefined })
  /** A copy of the pending writes, until the next write. */
  #frozen: Writes | undefined
  /** Whether a range was read after the last write. */
  #hasReadRange = false

  constructor(limits: Limits) {
    this.#limits = limits
  }

  get #current(): Memtables {
    return Ref.getUnsafe(this.#memtables)
  }

  /** Notes that the pending writes change. */
  #noteChange(): void {
    this.#frozen = undefined
    this.#hasReadRange = false
  }

  #replace(memtables: Memtables): void {
    this.#noteChange()
    this.#memtables.ref.current = memtables
  }

  /** The memtable that takes new writes. */
  get active(): Memtable.Memtable {
    return this.#current.active
  }

  /** The memtable of the commit that runs, if any. */
  get flushing(): Memtable.Memtable | undefined {
    return this.#current.flushing
  }

  // ---------------------------------------------------------------------------
  // reading
  // ---------------------------------------------------------------------------

  get(database: string, key: ByteString): PendingWrite | undefined {
    const { active, flushing } = this.#current
    const write = active.writes.get(database, key)
    return write === undefined && flushing !== undefined ? flushing.writes.get(database, key) : write
  }

  /** Always `false`: only an atomic batch clears a database, and it is not part of the buffer. */
  isCleared(): boolean {
    return false
  }

  entriesOf(database: string): Iterable<PendingEntry> {
    return entriesOfBoth(this.#current, database)
  }

  /**
   * Searching all pending writes takes less time than sorting them. So they are sorted when a second range is read before
   * the next write.
   */
  range(database: string, range: KeyRange): ReadonlyArray<PendingEntry> {
    const { active, flushing } = this.#current
    if (active.writes.size === 0 && (flushing === undefined || flushing.writes.size === 0)) return noEntries
    if (this.#frozen !== undefined || this.#hasReadRange) return this.freeze().range(database, range)
    this.#hasReadRange = true
    return inRange(entriesOfBoth(this.#current, database), range)
  }

  /** Copies the pending writes, so that later writes do not change the copy. */
  freeze(): Writes {
    if (this.#frozen === undefined) {
      const { active, flushing } = this.#current
      this.#frozen = freeze(flushing === undefined ? [active.writes] : [flushing.writes, active.writes])
    }
    return this.#frozen
  }

  /** How many distinct keys are pending. */
  get size(): number {
    const { active, flushing } = this.#current
    if (flushing === undefined) return active.writes.size
    let distinct = flushing.writes.size
    for (const [database, key] of active.writes) {
      if (flushing.writes.get(database, key) === undefined) distinct++
    }
    return distinct
  }

  /** The size of all pending writes, in bytes of keys and encoded values. */
  get bytes(): number {
    const { active, flushing } = this.#current
    return active.writes.bytes + (flushing?.writes.bytes ?? 0)
  }

  // ---------------------------------------------------------------------------
  // writing
  // ---------------------------------------------------------------------------

  /** Whether the active memtable is full, which starts a commit. */
  get isFull(): boolean {
    const { writes } = this.#current.active
    return writes.size >= this.#limits.batchSize || writes.bytes >= this.#limits.batchBytes
  }

  #hasRoom(): boolean {
    if (this.isFull) return false
    const { active, flushing } = this.#current
    if (flushing === undefined) return true
    const { batchBytes, batchSize } = this.#limits
    return active.writes.size + flushing.writes.size < 2 * batchSize &&
      // An empty memtable takes a value of any size: a value may be larger than `batchBytes`.
      (active.writes.size === 0 || active.writes.bytes + flushing.writes.bytes < 2 * batchBytes)
  }

  /** Deletions are refused only if the active memtable is full and waits for its commit. */
  #acceptsDeletions(): boolean {
    const { active, flushing } = this.#current
    return !this.isFull || (flushing === undefined && !Memtable.isRequested(active))
  }

  /** By how many bytes the active memtable would grow; `undefined` if a key is not in it yet. */
  #growthOf(added: ReadonlyArray<Write>): number | undefined {
    const { writes } = this.#current.active
    let growth = 0
    for (const [database, key, write] of added) {
      const replaced = writes.get(database, key)
      if (replaced === undefined) return undefined
      growth += (write?.length ?? 0) - (replaced?.length ?? 0)
    }
    return growth
  }

  /**
   * Whether the buffer can take the writes of one call now. It takes at most two batches,
   * by keys and by bytes. If all keys are in the active memtable already, only the bytes
   * count.
   */
  accepts(added: ReadonlyArray<Write>): boolean {
    if (this.#hasRoom() || (this.#acceptsDeletions() && hasOnlyDeletions(added))) return true
    const growth = this.#growthOf(added)
    return growth !== undefined &&
      (growth <= 0 || this.#current.active.writes.bytes + growth < this.#limits.batchBytes)
  }

  /** Takes the writes of one call. With `isFreeing`, a commit may write the deletions among them before other writes. */
  write(added: ReadonlyArray<Write>, isFreeing: boolean): void {
    this.#noteChange()
    Memtable.add(this.#current.active, added, isFreeing)
  }

  // ---------------------------------------------------------------------------
  // commits
  // ---------------------------------------------------------------------------

  /**
   * Seals the active memtable for a commit and makes an empty one active. Returns `undefined`
   * if nothing is pending. The caller makes sure that no memtable is flushing.
   */
  seal(foreignAtStart: number): Memtable.Memtable | undefined {
    const { active } = this.#current
    if (active.writes.size === 0) {
      active.foreignAtStart = foreignAtStart
      return undefined
    }
    active.state = { _tag: "Flushing" }
    this.#replace({ active: Memtable.make(foreignAtStart), flushing: active })
    return active
  }

  /** Removes the keys of a committed batch from the flushing memtable, because LMDB has these writes or later ones. */
  applied({ clear, writes }: Batch): void {
    const { flushing } = this.#current
    if (flushing === undefined) return
    this.#noteChange()
    // The whole memtable was committed, which is the usual case.
    if (writes === flushing.taken) return Memtable.removeAll(flushing)
    for (const database of clear) flushing.writes.removeAll(database)
    for (const [database, key] of writes) flushing.writes.remove(database, key)
  }

  /** Discards the flushing memtable: its writes are on disk. */
  discard(): void {
    const { active, flushing } = this.#current
    if (flushing !== undefined) flushing.state = { _tag: "Committed" }
    this.#replace({ active, flushing: undefined })
  }

  /** Moves the writes of the flushing memtable back into the active one, under the newer writes. */
  restore(): void {
    const { active, flushing } = this.#current
    if (flushing !== undefined) {
      flushing.state = { _tag: "Failed" }
      Memtable.addOlder(active, flushing)
    }
    this.#replace({ active, flushing: undefined })
  }
}
