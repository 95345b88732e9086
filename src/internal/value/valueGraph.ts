/**
 * Takes a value that MessagePack alone cannot hold apart into a list of nodes, which refer
 * to each other by index, and puts it together again.
 */
import { types } from "node:util"
import { withArticle } from "./kindOf.ts"
import { isError, type Lost, lostOf, lostOfError, tagOf } from "./lostState.ts"

/** Thrown inside the codec only. Its message is the `detail` of the error that the caller gets. */
export class Refusal extends Error {}

/** Whether MessagePack can hold a text. Its UTF-8 has no lone surrogates, and msgpackr drops a leading U+FEFF. */
export const isPlainText = (text: string): boolean => text.isWellFormed() && text.charCodeAt(0) !== 0xfeff

/** Whether an array has all its elements and no other property. `Object.keys` gives the indices first. */
export const isDense = (array: ReadonlyArray<unknown>): boolean => {
  const keys = Object.keys(array)
  return keys.length === array.length && (keys.length === 0 || keys[keys.length - 1] === String(keys.length - 1))
}

export const isRecord = (value: object): value is Record<string, unknown> =>
  Object.getPrototypeOf(value) === Object.prototype

// A graph is an array of nodes, and the first node is the value. A node is a kind followed by slots. A slot is a primitive
// of MessagePack, or one of these, which no primitive looks like:
//   [index]    a reference to a node
//   []         negative zero
//   a binary   a string in UTF-16
type Node = [kind: number, ...slots: Array<unknown>]

const kinds = {
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

const isList: (value: unknown) => value is ReadonlyArray<unknown> = Array.isArray

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

/** Finds the path to a node. Only an error needs it, so the nodes do not keep it. */
const placeOfNode = (nodes: ReadonlyArray<Node>, index: number): string => {
  const steps: Array<string> = []
  let child = index
  // A node stands after the one that first refers to it.
  for (const [parent, node] of [...nodes.slice(0, index).entries()].toReversed()) {
    const at = node.findIndex((slot) => isList(slot) && slot[0] === child)
    if (at > 0) {
      steps.push(stepInto(node, at))
      child = parent
    }
  }
  return steps.toReversed().join("")
}

const maximumPlace = 200

const refuse = ({ noun, remedy }: Lost, place: string): never => {
  const what = withArticle(noun)
  const path = place.replace(/^\./, "")
  const shown = path.length > maximumPlace ? `...${path.slice(-maximumPlace)}` : path
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

/** Gives the name of the class of the platform: a subclass may have any name and any tag. */
const viewKindOf = (view: ArrayBufferView): string =>
  viewKinds.find((Kind) => view instanceof Kind)?.name ?? tagOf(view)

/** Takes a value apart, breadth first. It is not recursive, so any depth works. */
export const takeApart = (root: unknown): Array<Node> => {
  const nodes: Array<Node> = []
  const objects: Array<object> = []
  const indices = new Map<object, number>()

  const open = (kind: number, ...slots: Array<unknown>): Node => {
    const node: Node = [kind, ...slots]
    nodes.push(node)
    return node
  }

  const reference = (value: object): [number] => {
    const known = indices.get(value)
    if (known !== undefined) return [known]
    indices.set(value, objects.length)
    return [objects.push(value) - 1]
  }

  const placeOfNext = (): string => {
    const node = nodes.at(-1)
    return node === undefined ? "" : placeOfNode(nodes, nodes.length - 1) + stepInto(node, node.length)
  }

  const slot = (value: unknown): unknown => {
    switch (typeof value) {
      case "string":
        return isPlainText(value) ? value : Buffer.from(value, "utf16le")
      case "number":
        return Object.is(value, -0) ? [] : value
      case "object":
        return value === null ? null : reference(value)
      case "function":
        return refuse({ noun: "function", remedy: "store its name" }, placeOfNext())
      case "symbol":
        return refuse({ noun: "symbol" }, placeOfNext())
      default:
        return value
    }
  }

  const properties = (node: Node, value: object): void => {
    for (const key of Object.keys(value)) {
      node.push(slot(key))
      node.push(slot(Reflect.get(value, key)))
    }
  }

  const refuseLost = (lost: Lost | undefined): void => {
    if (lost !== undefined) refuse(lost, placeOfNode(nodes, nodes.length))
  }

  const write = (value: object): void => {
    if (types.isProxy(value)) refuseLost({ noun: "Proxy" })
    if (isRecord(value)) {
      properties(open(kinds.object), value)
    } else if (Array.isArray(value)) {
      if (!isDense(value)) return properties(open(kinds.sparse, value.length), value)
      const node = open(kinds.array)
      for (const element of value) node.push(slot(element))
    } else if (types.isMap(value)) {
      const node = open(kinds.map)
      Map.prototype.forEach.call(value, (item, key) => {
        node.push(slot(key))
        node.push(slot(item))
      })
    } else if (types.isSet(value)) {
      const node = open(kinds.set)
      Set.prototype.forEach.call(value, (member) => node.push(slot(member)))
    } else if (types.isDate(value)) {
      open(kinds.date, value.getTime())
    } else if (types.isRegExp(value)) {
      open(kinds.regExp, slot(value.source), value.flags)
    } else if (types.isArrayBuffer(value)) {
      open(kinds.buffer, new Uint8Array(value))
    } else if (ArrayBuffer.isView(value)) {
      open(kinds.view, viewKindOf(value), new Uint8Array(value.buffer, value.byteOffset, value.byteLength))
    } else if (types.isBoxedPrimitive(value)) {
      open(kinds.boxed).push(slot(value.valueOf()))
    } else if (isError(value)) {
      refuseLost(lostOfError(value))
      const texts: ReadonlyArray<unknown> = [value.name, value.message, value.stack]
      const node = open(kinds.error, ...texts.map((text) => slot(typeof text === "string" ? text : "")))
      if (Object.hasOwn(value, "cause")) node.push(slot(value.cause))
    } else {
      refuseLost(lostOf(value))
      properties(open(kinds.object), value)
    }
  }

  if (typeof root === "object" && root !== null) reference(root)
  else open(kinds.primitive).push(slot(root))
  // Writing an object adds the objects inside to the list.
  for (const object of objects) write(object)
  return nodes
}

// -----------------------------------------------------------------------------
// Graphs as values
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
const define = (target: object, key: string, value: unknown, enumerable: boolean): void => {
  Object.defineProperty(target, key, { value, enumerable, configurable: true, writable: true })
}

/** The object of a node. All are made empty before the first is filled, so that a cycle can close. */
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

export const putTogether = (nodes: unknown): unknown => {
  if (!isList(nodes)) return malformed()
  const shells = nodes.map(shellOf)
  const resolve = (slot: unknown): unknown => {
    if (!isList(slot) || slot.length === 0) return primitiveOf(slot)
    return (shells[numberOf(slot[0])] ?? malformed()).value
  }
  for (const shell of shells) shell.fill?.(resolve)
  return (shells[0] ?? malformed()).value
}
