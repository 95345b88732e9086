/**
 * Turns a value that MessagePack alone cannot express into a list of nodes that refer to each
 * other by index, and turns such a list into a value again. The nodes express cycles, shared
 * references, and types such as `Map` and `RegExp`.
 */
import { types } from "node:util"
import { withArticle } from "./kindOf.ts"
import { isError, type Lost, lostOf, lostOfError, tagOf } from "./lostState.ts"

/** Thrown inside the codec only. Its message is the `detail` of the error that the caller gets. */
export class Refusal extends Error {}

/** Whether MessagePack can express a text. UTF-8 has no lone surrogates, and msgpackr drops a leading U+FEFF. */
export const isPlainText = (text: string): boolean => text.isWellFormed() && text.charCodeAt(0) !== 0xfeff

/** Whether an array has all of its elements and no other property. `Object.keys` returns the indices first. */
export const isDense = (array: ReadonlyArray<unknown>): boolean => {
  const keys = Object.keys(array)
  return keys.length === array.length && (keys.length === 0 || keys[keys.length - 1] === String(keys.length - 1))
}

export const isRecord = (value: object): value is Record<string, unknown> =>
  Object.getPrototypeOf(value) === Object.prototype

// A graph is an array of nodes, and the first node is the value. A node is a kind followed by slots. A slot is a primitive
// of MessagePack, or one of the following, which differ from every primitive:
//   [index]    a reference to a node
//   []         negative zero
//   a binary   a string in UTF-16
/** A kind and its slots. */
export type Node = [kind: number, ...slots: Array<unknown>]

/** The kinds of nodes. */
export const kinds = {
  /** The whole value is a primitive. */
  primitive: 0,
  /** Keys and values alternate. */
  object: 1,
  array: 2,
  /** An array with holes or named properties: its length, then keys and values alternate. */
  sparse: 3,
  map: 4,
  set: 5,
  date: 6,
  regExp: 7,
  /** Name, message, stack, and the cause if there is one. */
  error: 8,
  buffer: 9,
  /** The name of its class, and its bytes. */
  view: 10,
  boxed: 11
}

/** Whether a slot is a reference or negative zero. */
export const isList: (value: unknown) => value is ReadonlyArray<unknown> = Array.isArray

/** The last step of the path to a slot. */
const stepInto = (node: Node, at: number): string => {
  switch (node[0]) {
    case kinds.array:
      return `[${at - 1}]`
    case kinds.map:
      return `(${at % 2 === 1 ? "key" : "value"} ${(at - 1) >> 1})`
    case kinds.set:
      return `(member ${at - 1})`
    case kinds.error:
      return ".cause"
    case kinds.object:
    case kinds.sparse:
      return `.${String(node[at - 1])}`
    default:
      return ""
  }
}

/** Finds the path to a node, for an error message. */
const pathOfNode = (nodes: ReadonlyArray<Node>, index: number): string => {
  const steps: Array<string> = []
  let child = index
  // Every node comes after the first node that refers to it.
  for (const [parent, node] of [...nodes.slice(0, index).entries()].toReversed()) {
    const at = node.findIndex((slot) => isList(slot) && slot[0] === child)
    if (at > 0) {
      steps.push(stepInto(node, at))
      child = parent
    }
  }
  return steps.toReversed().join("")
}

const maximumPath = 200

const refuse = ({ noun, remedy }: Lost, fullPath: string): never => {
  const what = withArticle(noun)
  const path = fullPath.replace(/^\./, "")
  const shown = path.length > maximumPath ? `...${path.slice(-maximumPath)}` : path
  const problem = path === "" ? `it is ${what}` : `it has ${what} at ${shown}`
  throw new Refusal(remedy === undefined ? problem : `${problem}: ${remedy}`)
}

const viewKinds: ReadonlyArray<new(buffer: ArrayBuffer) => ArrayBufferView> = [
  DataView,
  Int8Array,
  Uint8Array,
  Uint8ClampedArray,
  Int16Array,
  Uint16Array,
  Int32Array,
  Uint32Array,
  BigInt64Array,
  BigUint64Array,
  Float32Array,
  Float64Array,
  // Node.js 22 has no Float16Array.
  ...(typeof Float16Array === "undefined" ? [] : [Float16Array])
]

/** The name of the built-in class of a view. A subclass may have any name and any tag. */
const classNameOf = (view: ArrayBufferView): string =>
  viewKinds.find((Kind) => view instanceof Kind)?.name ?? tagOf(view)

/** A value that is being turned into nodes. */
interface GraphBuilder {
  readonly nodes: Array<Node>
  /** The objects of the value. Each has, or will have, the node at the same index. */
  readonly objects: Array<object>
  readonly indices: Map<object, number>
}

const addNode = ({ nodes }: GraphBuilder, kind: number, ...slots: Array<unknown>): Node => {
  const node: Node = [kind, ...slots]
  nodes.push(node)
  return node
}

/** Refers to an object, which gets a node later if it has none yet. */
const referenceTo = ({ indices, objects }: GraphBuilder, value: object): [number] => {
  const known = indices.get(value)
  if (known !== undefined) return [known]
  indices.set(value, objects.length)
  return [objects.push(value) - 1]
}

/** The path to the slot that is added next. */
const pathOfNextSlot = ({ nodes }: GraphBuilder): string => {
  const node = nodes.at(-1)
  return node === undefined ? "" : pathOfNode(nodes, nodes.length - 1) + stepInto(node, node.length)
}

const toSlot = (self: GraphBuilder, value: unknown): unknown => {
  switch (typeof value) {
    case "string":
      return isPlainText(value) ? value : Buffer.from(value, "utf16le")
    case "number":
      return Object.is(value, -0) ? [] : value
    case "object":
      return value === null ? null : referenceTo(self, value)
    case "function":
      return refuse({ noun: "function", remedy: "store its name" }, pathOfNextSlot(self))
    case "symbol":
      return refuse({ noun: "symbol" }, pathOfNextSlot(self))
    default:
      return value
  }
}

const addSlot = (self: GraphBuilder, node: Node, value: unknown): void => {
  node.push(toSlot(self, value))
}

const addProperties = (self: GraphBuilder, node: Node, value: object): void => {
  for (const key of Object.keys(value)) {
    addSlot(self, node, key)
    addSlot(self, node, Reflect.get(value, key))
  }
}

/** Refuses the object whose node would be added next. */
const refuseLost = ({ nodes }: GraphBuilder, lost: Lost | undefined): void => {
  if (lost !== undefined) refuse(lost, pathOfNode(nodes, nodes.length))
}

const addArray = (self: GraphBuilder, value: ReadonlyArray<unknown>): void => {
  if (!isDense(value)) return addProperties(self, addNode(self, kinds.sparse, value.length), value)
  const node = addNode(self, kinds.array)
  for (const element of value) addSlot(self, node, element)
}

const addMap = (self: GraphBuilder, value: ReadonlyMap<unknown, unknown>): void => {
  const node = addNode(self, kinds.map)
  // The methods of a subclass may do anything.
  Map.prototype.forEach.call(value, (item, key) => {
    addSlot(self, node, key)
    addSlot(self, node, item)
  })
}

const addSet = (self: GraphBuilder, value: ReadonlySet<unknown>): void => {
  const node = addNode(self, kinds.set)
  Set.prototype.forEach.call(value, (member) => addSlot(self, node, member))
}

const addError = (self: GraphBuilder, value: Error): void => {
  refuseLost(self, lostOfError(value))
  const texts: ReadonlyArray<unknown> = [value.name, value.message, value.stack]
  const node = addNode(self, kinds.error, ...texts.map((text) => toSlot(self, typeof text === "string" ? text : "")))
  if (Object.hasOwn(value, "cause")) addSlot(self, node, value.cause)
}

/** Adds the node of an object. */
const addObject = (self: GraphBuilder, value: object): void => {
  if (types.isProxy(value)) refuseLost(self, { noun: "Proxy" })
  if (isRecord(value)) addProperties(self, addNode(self, kinds.object), value)
  else if (Array.isArray(value)) addArray(self, value)
  else if (types.isMap(value)) addMap(self, value)
  else if (types.isSet(value)) addSet(self, value)
  else if (types.isDate(value)) addNode(self, kinds.date, value.getTime())
  else if (types.isRegExp(value)) addNode(self, kinds.regExp, toSlot(self, value.source), value.flags)
  else if (types.isArrayBuffer(value)) addNode(self, kinds.buffer, new Uint8Array(value))
  else if (ArrayBuffer.isView(value)) {
    const bytes = new Uint8Array(value.buffer, value.byteOffset, value.byteLength)
    addNode(self, kinds.view, classNameOf(value), bytes)
  } else if (types.isBoxedPrimitive(value)) addSlot(self, addNode(self, kinds.boxed), value.valueOf())
  else if (isError(value)) addError(self, value)
  else {
    refuseLost(self, lostOf(value))
    addProperties(self, addNode(self, kinds.object), value)
  }
}

/** Turns a value into nodes, breadth first. It is not recursive, so any depth of nesting works. */
export const toNodes = (root: unknown): Array<Node> => {
  const self: GraphBuilder = { nodes: [], objects: [], indices: new Map() }
  if (typeof root === "object" && root !== null) referenceTo(self, root)
  else addSlot(self, addNode(self, kinds.primitive), root)
  // Adding the node of an object appends the objects that it refers to to the list.
  for (const object of self.objects) addObject(self, object)
  return self.nodes
}

// -----------------------------------------------------------------------------
// From nodes to values
// -----------------------------------------------------------------------------

export const malformed = (): never => {
  throw new Refusal("they are damaged, cut off, or were not written by this package")
}

const numberOf = (slot: unknown): number => typeof slot === "number" ? slot : malformed()

const bufferOf = (slot: unknown): ArrayBuffer =>
  slot instanceof Uint8Array && slot.buffer instanceof ArrayBuffer ? slot.buffer : malformed()

const textOf = (slot: unknown): string =>
  typeof slot === "string" ? slot : Buffer.from(bufferOf(slot)).toString("utf16le")

const primitiveOf = (slot: unknown): unknown => {
  if (typeof slot !== "object" || slot === null) return slot
  return isList(slot) ? -0 : textOf(slot)
}

const viewOf = (name: string, buffer: ArrayBuffer): ArrayBufferView => {
  const View = viewKinds.find((kind) => kind.name === name)
  if (View === undefined) throw new Refusal(`this version of Node.js has no ${name}`)
  return new View(buffer)
}

const errorKinds = new Map(
  [Error, EvalError, RangeError, ReferenceError, SyntaxError, TypeError, URIError].map((Kind) => [Kind.name, Kind])
)

/** Defines a property that an assignment could not make. */
export const define = (target: object, key: string, value: unknown, enumerable: boolean): void => {
  Object.defineProperty(target, key, { value, enumerable, configurable: true, writable: true })
}

/** The object of a node. All objects are made empty before the first one is filled, because they can refer to each other. */
interface Shell {
  readonly value: unknown
  readonly fill?: (resolve: (slot: unknown) => unknown) => void
}

const objectShell = (slots: ReadonlyArray<unknown>): Shell => {
  const value: Record<string, unknown> = {}
  return {
    value,
    fill: (resolve) => {
      for (let at = 0; at < slots.length; at += 2) {
        const key = textOf(slots[at])
        if (key === "__proto__") define(value, key, resolve(slots[at + 1]), true)
        else value[key] = resolve(slots[at + 1])
      }
    }
  }
}

const sparseShell = ([length, ...slots]: ReadonlyArray<unknown>): Shell => {
  // V8 keeps an array of this length as a hash table, which takes memory for its elements and not for its length. The
  // length may come from damaged bytes.
  const value: Array<unknown> = []
  value.length = 2 ** 32 - 1
  value.length = numberOf(length)
  return {
    value,
    fill: (resolve) => {
      for (let at = 0; at < slots.length; at += 2) define(value, textOf(slots[at]), resolve(slots[at + 1]), true)
    }
  }
}

const arrayShell = (slots: ReadonlyArray<unknown>): Shell => {
  const value: Array<unknown> = []
  return { value, fill: (resolve) => slots.forEach((slot) => value.push(resolve(slot))) }
}

const mapShell = (slots: ReadonlyArray<unknown>): Shell => {
  const value = new Map<unknown, unknown>()
  return {
    value,
    fill: (resolve) => {
      for (let at = 0; at < slots.length; at += 2) value.set(resolve(slots[at]), resolve(slots[at + 1]))
    }
  }
}

const setShell = (slots: ReadonlyArray<unknown>): Shell => {
  const value = new Set<unknown>()
  return { value, fill: (resolve) => slots.forEach((slot) => value.add(resolve(slot))) }
}

const errorShell = ([name, message, stack, ...cause]: ReadonlyArray<unknown>): Shell => {
  const kind = textOf(name)
  const Kind = errorKinds.get(kind)
  const value = new (Kind ?? Error)(textOf(message))
  if (Kind === undefined) define(value, "name", kind, false)
  define(value, "stack", textOf(stack), false)
  return { value, fill: (resolve) => cause.forEach((slot) => define(value, "cause", resolve(slot), false)) }
}

const shellOf = (node: unknown): Shell => {
  if (!isList(node)) return malformed()
  const [kind, ...slots] = node
  switch (kind) {
    case kinds.primitive:
      return { value: primitiveOf(slots[0]) }
    case kinds.object:
      return objectShell(slots)
    case kinds.array:
      return arrayShell(slots)
    case kinds.sparse:
      return sparseShell(slots)
    case kinds.map:
      return mapShell(slots)
    case kinds.set:
      return setShell(slots)
    case kinds.date:
      return { value: new Date(numberOf(slots[0])) }
    case kinds.regExp:
      return { value: new RegExp(textOf(slots[0]), textOf(slots[1])) }
    case kinds.error:
      return errorShell(slots)
    case kinds.buffer:
      return { value: bufferOf(slots[0]) }
    case kinds.view:
      return { value: viewOf(textOf(slots[0]), bufferOf(slots[1])) }
    case kinds.boxed:
      return { value: Object(primitiveOf(slots[0])) }
    default:
      return malformed()
  }
}

/** Makes the value that nodes describe. */
export const fromNodes = (nodes: unknown): unknown => {
  if (!isList(nodes)) return malformed()
  const shells = nodes.map(shellOf)
  const resolve = (slot: unknown): unknown => {
    if (!isList(slot) || slot.length === 0) return primitiveOf(slot)
    return (shells[numberOf(slot[0])] ?? malformed()).value
  }
  for (const shell of shells) shell.fill?.(resolve)
  return (shells[0] ?? malformed()).value
}
