/**
 * Record structures: the field names that many records share, in their order.
 *
 * The writer replaces the field names of a record by the number of its structure, if the
 * structure is known. A small record then takes half the bytes, and two thirds of the time
 * to read.
 *
 * A structure has three states. While it is not known, `observe` counts the records that
 * have it. A structure that occurs in many records becomes a candidate: the store takes
 * the candidates and commits a definition for each. After that commit the store adds the
 * structure here, and it is known. The definition is therefore on disk before the first
 * record that refers to it. A number is never given to another structure, so a definition
 * that was read once stays right.
 */

/** The field names of a record, in their order. */
export type Structure = ReadonlyArray<string>

/** A node in a tree of field names. The path from the root to a node spells the first fields of a record. */
export interface FieldTrie {
  /** The nodes with one more field, by the name of that field. */
  readonly next: Map<string, FieldTrie>
  /** The number of the structure that has exactly the fields of the path, if it is known. */
  number: number | undefined
  /** How many observed records had exactly the fields of the path. */
  count: number
}

/** The structures of a store. Only the functions of this module change it. */
export interface RecordStructures {
  /** The known structures. The index of a structure is its number. An empty structure replaces a damaged definition. */
  readonly known: Array<Structure>
  /** The structures that are worth a definition, until the store takes them. */
  candidates: Array<Structure>
  /** The root of the trie of all known and counted structures. */
  root: FieldTrie
  /** How many nodes the trie got since it was last emptied. */
  nodes: number
  /** How many records were observed. */
  observed: number
  /** How many records are skipped after each observed one. */
  pause: number
  /** How many records are skipped before the next one is observed. */
  untilNext: number
}

/** The first byte that stands for a structure. In the structured format the bytes from 64 to 127 do. */
export const firstStructureByte = 0x40

/** How many structure numbers fit into one byte. */
export const shortNumbers = 32

/** The most structures of a store. Two bytes could express 8,224 numbers. */
export const mostStructures = 1024

/** The first 256 records are all observed. Writing an observed record takes a third longer. */
const firstObserved = 256

/** After the first 256 records, one record in sixteen is observed. */
const shortestPause = 15

/** A structure becomes a candidate with its sixteenth observed record. */
export const candidateCount = 16

/** A record with more than 64 fields is probably a table, whose field names are data. */
const mostFields = 64

/** The most characters in all field names of a structure together. */
const mostCharacters = 1024

/** The trie is emptied when it has more than 2,048 nodes and no structure became a candidate. */
const mostNodes = 2048

/** The most records that are skipped after an observed one, when the records have nothing in common. */
const longestPause = 1023

const makeNode = (): FieldTrie => ({ next: new Map(), number: undefined, count: 0 })

/** Whether a stored definition is a structure. The writer never writes `__proto__` as the field of a structure. */
export const isStructure = (names: unknown): names is Structure =>
  Array.isArray(names) && names.length > 0 && names.length <= mostFields && new Set(names).size === names.length &&
  names.every((name) => typeof name === "string" && name !== "__proto__")

/** Makes the structures of a store whose `known` definitions are committed already. */
export const make = (known: ReadonlyArray<Structure> = []): RecordStructures => {
  const self: RecordStructures = {
    known: [],
    candidates: [],
    root: makeNode(),
    nodes: 0,
    observed: 0,
    pause: shortestPause,
    untilNext: 0
  }
  for (const structure of known) add(self, structure)
  return self
}

/** Finds or makes the node of a structure. */
const nodeOf = (self: RecordStructures, structure: Structure): FieldTrie => {
  let node = self.root
  for (const name of structure) {
    let next = node.next.get(name)
    if (next === undefined) {
      next = makeNode()
      node.next.set(name, next)
      self.nodes++
    }
    node = next
  }
  return node
}

const setNumber = (self: RecordStructures, structure: Structure, number: number): void => {
  if (structure.length > 0) nodeOf(self, structure).number = number
}

/** Adds a structure whose definition is committed. It gets the next number. */
export const add = (self: RecordStructures, structure: Structure): void => {
  setNumber(self, structure, self.known.push(structure) - 1)
}

/** Removes all counted structures from the trie, keeps the known ones, and observes fewer records from now on. */
const forgetCounts = (self: RecordStructures): void => {
  self.root = makeNode()
  for (const [number, structure] of self.known.entries()) setNumber(self, structure, number)
  self.nodes = 0
  self.pause = Math.min(2 * self.pause + 1, longestPause)
}

/** Counts the structure of a record that is written with its field names. Skips most records. */
export const observe = (self: RecordStructures, record: Record<string, unknown>): void => {
  if (self.untilNext > 0) {
    self.untilNext--
    return
  }
  self.untilNext = self.observed++ < firstObserved ? 0 : self.pause
  const names: Array<string> = []
  for (const name in record) {
    if (names.push(name) > mostFields) return
  }
  if (names.length === 0 || self.known.length >= mostStructures) return
  if (self.nodes > mostNodes) forgetCounts(self)
  const node = nodeOf(self, names)
  node.count++
  if (node.count !== candidateCount || names.join("").length > mostCharacters) return
  self.pause = shortestPause
  self.candidates.push(names)
}

/** Takes the candidates. The caller must commit a definition for each, or postpone it. */
export const takeCandidates = (self: RecordStructures): ReadonlyArray<Structure> => {
  const { candidates } = self
  self.candidates = []
  return candidates
}

/** Makes a structure that was not defined a candidate again after `count` more observed records. */
export const postpone = (self: RecordStructures, structure: Structure, count: number): void => {
  nodeOf(self, structure).count = candidateCount - count
}
