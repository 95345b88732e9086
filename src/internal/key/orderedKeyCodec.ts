/**
 * Makes the codec for the keys of a collection from the encoded side of the key schema. Refuses a
 * schema whose encoded values have no order.
 */
import * as Predicate from "effect/Predicate"
import * as Result from "effect/Result"
import * as SchemaAST from "effect/SchemaAST"
import { ByteString } from "../../Key.ts"
import type { KeySchema, OrderedKey } from "../../KeySchema.ts"
import { type ByteCursor, type Kind, scalars, type SingleKind } from "./orderedScalars.ts"
import { tuple, union } from "./orderedTuples.ts"

/** A decoded key, and the index after its last byte. */
export interface DecodedPart {
  readonly value: OrderedKey
  readonly end: number
}

/**
 * Encodes keys so that their bytes are in the order of the keys, and decodes them. No
 * method throws. A program can pass any value; a value that is not a key is refused.
 *
 * **Details**
 *
 * Every key has at least one byte, and the bytes of one key are never the beginning of
 * the bytes of another key. So any bytes may follow those of a key, for example the bytes
 * of a second key. The results are ordered by the first key, and those with equal first
 * keys by what follows it. `decodePart` finds the end of the first key.
 *
 * `decode` accepts only bytes that `encode` writes: each key has one encoding. The codec
 * checks only the kinds of values. The schema has to check literals and refinements.
 *
 * A failure says what is wrong, such as `element 1: NaN has no order`.
 */
export interface OrderedCodec<Encoded extends OrderedKey> {
  readonly encode: (value: Encoded) => Result.Result<ByteString, string>
  /** Encodes a prefix: the bytes of a key begin with these bytes if and only if the key begins with the prefix. */
  readonly encodePrefix: (prefix: unknown) => Result.Result<ByteString, string>
  /**
   * Encodes the start of a key. Unlike a prefix, the start of a tuple may end inside its last element: in its text or
   * bytes, or in a tuple.
   */
  readonly encodeStart: (start: unknown) => Result.Result<ByteString, string>
  /** Decodes the bytes of one key. */
  readonly decode: (bytes: ByteString) => Result.Result<OrderedKey, string>
  /** Decodes the key that begins at `offset`. Any bytes may follow it. */
  readonly decodePart: (bytes: ByteString, offset: number) => Result.Result<DecodedPart, string>
}

/** The kinds that a schema has on its encoded side (several for a union), or the reason why they have no order. */
type Kinds = Result.Result<ReadonlyArray<SingleKind>, string>

const kindOfLiteral = (literal: SchemaAST.LiteralValue): SingleKind => {
  switch (typeof literal) {
    case "string":
      return scalars.string
    case "number":
      return scalars.number
    case "boolean":
      return scalars.boolean
    default:
      return scalars.bigint
  }
}

const kindsOfLiterals = (literals: ReadonlyArray<SchemaAST.LiteralValue>): Kinds =>
  Result.all(literals.map((literal) => {
    const kind = kindOfLiteral(literal)
    return Result.map(kind.encode(literal), () => kind)
  }))

const kindsOfDeclarations = new Map<unknown, SingleKind>([
  ["effect/schema/Date", scalars.date],
  ["effect/schema/DateTimeUtc", scalars.dateTime],
  ["effect/schema/Uint8Array", scalars.bytes]
])

const kindsOfDeclaration = ({ annotations }: SchemaAST.Declaration): Kinds => {
  const representation = annotations?.["representation"]
  const id = Predicate.hasProperty(representation, "id") ? representation.id : undefined
  const kind = kindsOfDeclarations.get(id)
  if (kind !== undefined) return Result.succeed([kind])
  if (id === "effect/schema/DateTimeZoned") {
    return Result.fail("one time in two zones has no order; use a tuple of a DateTimeUtc and the name of the zone")
  }
  return Result.fail(`${typeof id === "string" ? id : "a declared schema"} has no known order`)
}

const kindsOfTuple = (ast: SchemaAST.Arrays): Kinds => {
  if (ast.rest.length > 1) return Result.fail("elements after the rest of an array have no order")
  if (ast.elements.some((element) => element.context?.isOptional === true)) {
    return Result.fail("an optional element has no known order; make it required, or use an array")
  }
  const elements = ast.elements.map((element, index) =>
    Result.mapError(kindOf(element), (problem) => `element ${index}: ${problem}`)
  )
  const rest = ast.rest.map((element) => Result.mapError(kindOf(element), (problem) => `rest: ${problem}`))
  return Result.map(
    Result.all([Result.all(elements), Result.all(rest)]),
    ([elementKinds, [restKind]]) => [tuple({ elements: elementKinds, rest: restKind })]
  )
}

const kindsOf = (ast: SchemaAST.AST): Kinds => {
  switch (ast._tag) {
    case "String":
    case "TemplateLiteral":
      return Result.succeed([scalars.string])
    case "Number":
      return Result.succeed([scalars.number])
    case "BigInt":
      return Result.succeed([scalars.bigint])
    case "Boolean":
      return Result.succeed([scalars.boolean])
    case "Literal":
      return kindsOfLiterals([ast.literal])
    case "Enum":
      return kindsOfLiterals(ast.enums.map(([, value]) => value))
    case "Declaration":
      return kindsOfDeclaration(ast)
    case "Arrays":
      return kindsOfTuple(ast)
    case "Union":
      return Result.map(Result.all(ast.types.map(kindsOf)), (kinds) => kinds.flat())
    case "Objects":
      return Result.fail("an object has no order; use a tuple of its fields")
    case "Suspend":
      return Result.fail("a recursive schema has no known order")
    default:
      return Result.fail(`${ast._tag.toLowerCase()} has no order`)
  }
}

const kindOf = (ast: SchemaAST.AST): Result.Result<Kind, string> =>
  Result.flatMap(kindsOf(ast), (all) => {
    const [first, ...others] = new Set(all)
    if (first === undefined) return Result.fail("never has no values")
    return Result.succeed(others.length === 0 ? first : union([first, ...others]))
  })

/** Encodes a value. Reading an object may throw: a proxy, a getter, a buffer that was transferred. */
export const guarded =
  (encode: (value: unknown) => Result.Result<string, string>) => (value: unknown): Result.Result<ByteString, string> =>
    Result.map(
      Predicate.isObjectKeyword(value)
        ? Result.getOrElse(Result.try(() => encode(value)), () => Result.fail("the value cannot be read"))
        : encode(value),
      ByteString
    )

const decodePart = (kind: Kind, bytes: ByteString, offset: number): Result.Result<DecodedPart, string> => {
  const cursor: ByteCursor = { bytes, offset }
  return Result.map(kind.decode(cursor), (value) => ({ value, end: cursor.offset }))
}

/**
 * Makes the codec of a key schema, or says why its encoded side has no order.
 */
export const make = <S extends KeySchema>(schema: S): Result.Result<OrderedCodec<S["Encoded"]>, string> =>
  Result.map(kindOf(SchemaAST.toEncoded(schema.ast)), (kind) => ({
    encode: guarded(kind.encode),
    encodePrefix: guarded(kind.encodePrefix),
    encodeStart: guarded(kind.encodeStart),
    decode: (bytes: ByteString) =>
      Result.flatMap(
        decodePart(kind, bytes, 0),
        ({ end, value }) =>
          end === bytes.length ? Result.succeed(value) : Result.fail("there are bytes after the end of the key")
      ),
    decodePart: (bytes: ByteString, offset: number) => decodePart(kind, bytes, offset)
  }))
