/**
 * Converts values to JSON and back without loss.
 *
 * What JSON can express is written as it is. Anything else is an object with a single field whose name begins with `$`, a
 * tag. `TaggedJson.ts` lists the tags. A field of a stored object whose name begins with `$` gets one more `$`, so a
 * stored object is never taken for a tag.
 *
 * The conversion goes through the nodes of `valueGraph.ts`, which know all kinds of values. Neither direction is
 * recursive, so values of any depth work. An object that occurs several times, that contains itself, or that is nested
 * deeply is an element of the list `$graph`, and `{"$ref": n}` refers to it.
 */
import * as Result from "effect/Result"
import type { Json } from "effect/Schema"
import { Buffer } from "node:buffer"
import { define, fromNodes, isList, kinds, type Node, Refusal, toNodes } from "./valueGraph.ts"

/** `JSON.stringify` is recursive, so what is nested deeper than this moves to the list `$graph`. */
const maximumDepth = 100

/** The decimal digits of a longer `bigint` would take long to compute, so it is written in hexadecimal digits. */
const longestDecimalBits = 2048

// -----------------------------------------------------------------------------
// From values to JSON
// -----------------------------------------------------------------------------

const setField = (target: Record<string, Json>, name: string, value: Json): void => {
  // An assignment would set the prototype.
  if (name === "__proto__") define(target, name, value, true)
  else target[name] = value
}

/** The JSON form of bytes without a tag. */
const toBase64 = (bytes: Uint8Array): string =>
  Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("base64")

/** Returns the text of a slot. A binary may be in a pool of Node.js, so its own bytes are read. */
const textOf = (slot: unknown): string =>
  slot instanceof Uint8Array
    ? Buffer.from(slot.buffer, slot.byteOffset, slot.byteLength).toString("utf16le")
    : String(slot)

const digitsOf = (value: bigint): string => {
  if (BigInt.asIntN(longestDecimalBits, value) === value) return value.toString()
  return value < 0n ? `-0x${(-value).toString(16)}` : `0x${value.toString(16)}`
}

/** Converts a primitive. Text in a slot may be a binary. */
const primitiveToJson = (slot: unknown): Json => {
  switch (typeof slot) {
    case "boolean":
    case "string":
      return slot
    case "number":
      return Number.isFinite(slot) ? slot : { $number: String(slot) }
    case "bigint":
      return { $bigint: digitsOf(slot) }
    case "undefined":
      return { $undefined: true }
    default:
      return slot === null ? null : textOf(slot)
  }
}

const timeToJson = (time: unknown): Json =>
  typeof time === "number" && !Number.isNaN(time) ? new Date(time).toISOString() : null

type ToForm = (slot: unknown) => Json

const recordToJson = (slots: ReadonlyArray<unknown>, toForm: ToForm): Record<string, Json> => {
  const record: Record<string, Json> = {}
  for (let at = 0; at < slots.length; at += 2) {
    const name = textOf(slots[at])
    setField(record, name.startsWith("$") ? `$${name}` : name, toForm(slots[at + 1]))
  }
  return record
}

const bytesOf = (slot: unknown): Uint8Array => slot instanceof Uint8Array ? slot : new Uint8Array()

/** Converts a node. `toForm` returns the form of a slot. */
const nodeToJson = ([kind, ...slots]: Node, toForm: ToForm): Json => {
  const [first, second] = slots
  switch (kind) {
    case kinds.object:
      return recordToJson(slots, toForm)
    case kinds.array:
      return slots.map(toForm)
    case kinds.sparse:
      return { $sparse: [toForm(first), recordToJson(slots.slice(1), toForm)] }
    case kinds.map: {
      const entries: Array<Json> = []
      for (let at = 0; at < slots.length; at += 2) entries.push([toForm(slots[at]), toForm(slots[at + 1])])
      return { $map: entries }
    }
    case kinds.set:
      return { $set: slots.map(toForm) }
    case kinds.date:
      return { $date: timeToJson(first) }
    case kinds.regExp:
      return { $regexp: [toForm(first), toForm(second)] }
    case kinds.error: {
      const [name, message, stack, ...cause] = slots.map(toForm)
      return { $error: { name: name ?? "", message: message ?? "", stack: stack ?? "", ...causeField(cause) } }
    }
    case kinds.buffer:
      return { $buffer: toBase64(bytesOf(first)) }
    case kinds.view: {
      const base64 = toBase64(bytesOf(second))
      return first === "Uint8Array" ? { $bytes: base64 } : { $view: [toForm(first), base64] }
    }
    case kinds.boxed:
      return { $boxed: toForm(first) }
    default:
      return toForm(first)
  }
}

const causeField = ([cause]: ReadonlyArray<Json>): { readonly cause?: Json } => cause === undefined ? {} : { cause }

const referenceOf = (slot: unknown): number | undefined =>
  isList(slot) && typeof slot[0] === "number" ? slot[0] : undefined

/** Returns the position in the list `$graph` of each node that is there: those that occur twice or are nested deeply. */
const listedNodes = (nodes: ReadonlyArray<Node>): ReadonlyMap<number, number> => {
  const references = nodes.map((_, index): number => index === 0 ? 1 : 0)
  const depths = nodes.map((): number => 0)
  for (const [index, node] of nodes.entries()) {
    // A node comes after the first node that refers to it, so its depth is known.
    const isListed = references[index] !== 1 || depths[index] === maximumDepth
    const depth = isListed ? 1 : (depths[index] ?? 0) + 1
    for (const slot of node) {
      const child = referenceOf(slot)
      if (child !== undefined) {
        references[child] = (references[child] ?? 0) + 1
        depths[child] = depth
      }
    }
  }
  const listed = nodes.flatMap((_, index) => references[index] !== 1 || depths[index] === maximumDepth ? [index] : [])
  const first = listed.length > 0 && listed[0] !== 0 ? [0] : []
  return new Map([...first, ...listed].map((index, position) => [index, position]))
}

const toJsonOrThrow = (value: unknown): Json => {
  const nodes = toNodes(value)
  const listed = listedNodes(nodes)
  const forms: Array<Json> = nodes.map(() => null)
  const toForm = (slot: unknown): Json => {
    if (!isList(slot)) return primitiveToJson(slot)
    const index = referenceOf(slot)
    if (index === undefined) return { $number: "-0" }
    const position = listed.get(index)
    return position === undefined ? forms[index] ?? null : { $ref: position }
  }
  // A node that is not listed comes after the only node that refers to it.
  for (let index = nodes.length - 1; index >= 0; index--) {
    const node = nodes[index]
    if (node !== undefined) forms[index] = nodeToJson(node, toForm)
  }
  return listed.size === 0 ? forms[0] ?? null : { $graph: Array.from(listed.keys(), (index) => forms[index] ?? null) }
}

// -----------------------------------------------------------------------------
// From JSON to values
// -----------------------------------------------------------------------------

/** A document that is being converted. */
interface Reading {
  /** The JSON of each node, in the order of the nodes. */
  readonly forms: Array<Json>
  /** The node that contains each node, and the last step of the path to it. */
  readonly places: Array<readonly [parent: number, step: string]>
  /** The node that is being made. */
  current: number
  /** The elements of the list `$graph`. */
  graph: ReadonlyArray<number> | undefined
}

const maximumPath = 200

const pathOf = ({ places }: Reading, index: number): string => {
  const steps: Array<string> = []
  for (let place = places[index]; place !== undefined; place = places[place[0]]) steps.push(place[1])
  const path = steps.toReversed().join("").replace(/^\./, "")
  return path.length > maximumPath ? `...${path.slice(-maximumPath)}` : path
}

const refuse = (self: Reading, detail: string): never => {
  const path = pathOf(self, self.current)
  throw new Refusal(path === "" ? detail : `at ${path}: ${detail}`)
}

type JsonFields = { readonly [name: string]: Json }

const isJsonList = (json: Json | undefined): json is ReadonlyArray<Json> => Array.isArray(json)

const isFields = (json: Json | undefined): json is JsonFields =>
  typeof json === "object" && json !== null && !isJsonList(json)

/** Returns the tag of an object; `undefined` if it is a stored object. */
const tagOf = (self: Reading, fields: JsonFields): string | undefined => {
  const names = Object.keys(fields)
  const tag = names.find((name) => name.startsWith("$") && !name.startsWith("$$"))
  if (tag !== undefined && names.length > 1) {
    return refuse(
      self,
      `an object with the tag ${tag} has no other field; write $${tag} for a field of the name ${tag}`
    )
  }
  return tag
}

const specialNumbers = new Map([["NaN", NaN], ["Infinity", Infinity], ["-Infinity", -Infinity], ["-0", -0]])

const toBigInt = (self: Reading, content: Json | undefined): bigint => {
  if (typeof content !== "string" || !/^-?(\d+|0x[\da-f]+)$/.test(content)) {
    return refuse(self, "$bigint must be text of decimal digits, or 0x and hexadecimal digits")
  }
  return content.startsWith("-") ? -BigInt(content.slice(1)) : BigInt(content)
}

const toReference = (self: Reading, content: Json | undefined): [number] => {
  const index = typeof content === "number" ? self.graph?.[content] : undefined
  return index === undefined ? refuse(self, "$ref must be the position of an element of $graph") : [index]
}

const notPrimitive = Symbol("notPrimitive")

/** Converts an object whose tag is that of a primitive or of a reference. */
const toTagged = (self: Reading, fields: JsonFields): unknown => {
  const tag = tagOf(self, fields)
  const content = tag === undefined ? undefined : fields[tag]
  switch (tag) {
    case "$undefined":
      return content === true ? undefined : refuse(self, "$undefined must be true")
    case "$number": {
      const special = typeof content === "string" ? specialNumbers.get(content) : undefined
      return special ?? refuse(self, `$number must be one of ${Array.from(specialNumbers.keys()).join(", ")}`)
    }
    case "$bigint":
      return toBigInt(self, content)
    case "$ref":
      return toReference(self, content)
    default:
      return notPrimitive
  }
}

/** Returns the slot of a part of the document. An array or an object gets a node. */
const toSlot = (self: Reading, json: Json | undefined, step: string): unknown => {
  if (typeof json !== "object" || json === null) return json
  const slot = isJsonList(json) ? notPrimitive : toTagged(self, json)
  if (slot !== notPrimitive) return slot
  self.places.push([self.current, step])
  return [self.forms.push(json) - 1]
}

const toFields = (self: Reading, fields: JsonFields): ReadonlyArray<unknown> =>
  Object.keys(fields).flatMap((name) => [
    name.startsWith("$") ? name.slice(1) : name,
    toSlot(self, fields[name], `.${name}`)
  ])

const toBytes = (self: Reading, tag: string, content: Json | undefined): Uint8Array => {
  const bytes = typeof content === "string" ? Buffer.from(content, "base64") : undefined
  if (bytes?.toString("base64") !== content) return refuse(self, `${tag} must be text in Base64`)
  // The node takes the whole buffer of the bytes.
  return new Uint8Array(bytes ?? [])
}

const isoTime = /^([+-]\d{6}|\d{4})-\d\d-\d\d(T\d\d:\d\d(:\d\d(\.\d{1,3})?)?(Z|[+-]\d\d:\d\d))?$/

/** Parses a time in the format of ISO 8601. Returns NaN if it is not one. */
const parseTime = (content: Json | undefined): number =>
  typeof content === "string" && isoTime.test(content) ? Date.parse(content) : NaN

const toTime = (self: Reading, content: Json | undefined): number => {
  if (content === null) return NaN
  const time = parseTime(content)
  return Number.isNaN(time)
    ? refuse(self, "$date must be a time such as \"2026-03-01T12:00:00.000Z\", or null for an invalid date")
    : time
}

const toElements = (self: Reading, tag: string, content: Json | undefined): ReadonlyArray<unknown> =>
  isJsonList(content)
    ? content.map((element, index) => toSlot(self, element, `[${index}]`))
    : refuse(self, `${tag} must be an array`)

const toMap = (self: Reading, content: Json | undefined): ReadonlyArray<unknown> =>
  isJsonList(content) && content.every((entry) => isJsonList(entry) && entry.length === 2)
    ? content.flatMap((entry) => toElements(self, "$map", entry))
    : refuse(self, "$map must be an array of arrays of a key and a value")

const toSparse = (self: Reading, content: Json | undefined): ReadonlyArray<unknown> => {
  const [length, fields] = isJsonList(content) && content.length === 2 ? content : []
  if (typeof length !== "number" || !(length >>> 0 === length) || !isFields(fields)) {
    return refuse(self, "$sparse must be an array of a length and an object with the elements")
  }
  const beyond = Object.keys(fields).find((name) => name === "length" || (/^\d+$/.test(name) && Number(name) >= length))
  if (beyond !== undefined) return refuse(self, `$sparse has an element "${beyond}" and the length ${length}`)
  return [length, ...toFields(self, fields)]
}

const toTexts = (self: Reading, tag: string, content: Json | undefined): ReadonlyArray<string> => {
  const texts = isJsonList(content) ? content.filter((text) => typeof text === "string") : []
  return isJsonList(content) && texts.length === 2 && content.length === 2
    ? texts
    : refuse(self, `${tag} must be an array of two texts`)
}

const toError = (self: Reading, content: Json | undefined): ReadonlyArray<unknown> => {
  const { cause, message = "", name = "Error", stack = "", ...others } = isFields(content) ? content : { $: null }
  const texts = [name, message, stack]
  if (Object.keys(others).length > 0 || texts.some((text) => typeof text !== "string")) {
    return refuse(self, "$error must have the texts name, message and stack, and may have a cause")
  }
  return cause === undefined ? texts : [...texts, toSlot(self, cause, ".cause")]
}

const toBoxed = (self: Reading, content: Json | undefined): unknown => {
  const slot = toSlot(self, content, "")
  return isList(slot) || slot === null || slot === undefined
    ? refuse(self, "$boxed must be text, a number, a boolean or a $bigint")
    : slot
}

/** Makes the node of an array or an object. */
const toNode = (self: Reading, json: Json): Node => {
  if (isJsonList(json)) return [kinds.array, ...toElements(self, "", json)]
  if (!isFields(json)) return refuse(self, "an element of $graph must be an array or an object")
  const tag = tagOf(self, json)
  if (tag === undefined) return [kinds.object, ...toFields(self, json)]
  const content = json[tag]
  switch (tag) {
    case "$sparse":
      return [kinds.sparse, ...toSparse(self, content)]
    case "$map":
      return [kinds.map, ...toMap(self, content)]
    case "$set":
      return [kinds.set, ...toElements(self, tag, content)]
    case "$date":
      return [kinds.date, toTime(self, content)]
    case "$regexp":
      return [kinds.regExp, ...toTexts(self, tag, content)]
    case "$error":
      return [kinds.error, ...toError(self, content)]
    case "$buffer":
      return [kinds.buffer, toBytes(self, tag, content)]
    case "$bytes":
      return [kinds.view, "Uint8Array", toBytes(self, tag, content)]
    case "$view": {
      const [name = "", base64] = toTexts(self, tag, content)
      return [kinds.view, name, toBytes(self, tag, base64)]
    }
    case "$boxed":
      return [kinds.boxed, toBoxed(self, content)]
    default:
      return refuse(self, `there is no tag ${tag}; write $${tag} for a field of this name`)
  }
}

const readRoot = (self: Reading, json: Json): unknown => {
  if (!isFields(json) || tagOf(self, json) !== "$graph") return toSlot(self, json, "")
  const elements = json["$graph"]
  if (!isJsonList(elements) || elements.length === 0) {
    return refuse(self, "$graph must be an array of objects and arrays")
  }
  self.graph = elements.map((element, index) => {
    const reference = referenceOf(toSlot(self, element, `$graph[${index}]`))
    return reference ?? refuse(self, "an element of $graph must be an array or an object")
  })
  return [0]
}

const fromJsonOrThrow = (json: Json): unknown => {
  const self: Reading = { forms: [], places: [], current: -1, graph: undefined }
  const root = readRoot(self, json)
  if (!isList(root)) return fromNodes([[kinds.primitive, root]])
  const nodes: Array<Node> = []
  // Making a node appends the arrays and objects in it to the list.
  for (const form of self.forms) {
    self.current = nodes.length
    nodes.push(toNode(self, form))
  }
  return fromNodes(nodes)
}

const detailOf = (cause: unknown): string => cause instanceof Error ? cause.message : "converting it threw"

/** Converts a value to JSON, or says why the value cannot be stored. */
export const toJson = (value: unknown): Result.Result<Json, string> =>
  Result.try({ try: () => toJsonOrThrow(value), catch: detailOf })

/** Converts JSON to a value, or says what is wrong, and at which place. */
export const fromJson = (json: Json): Result.Result<unknown, string> =>
  Result.try({ try: () => fromJsonOrThrow(json), catch: detailOf })
