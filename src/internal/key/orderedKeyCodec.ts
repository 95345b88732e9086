/**
 * Makes the codec of a key schema: reads once what its encoded side can be, and
 * refuses what has no order.
 */
import * as Predicate from "effect/Predicate"
import * as Result from "effect/Result"
import * as SchemaAST from "effect/SchemaAST"
import { ByteString } from "../../Key.ts"
import type { KeyPrefix, KeySchema, OrderedKey } from "../../KeySchema.ts"
import { type Kind, type Reader, scalars, type SingleKind } from "./orderedScalars.ts"
import { tuple, union } from "./orderedTuples.ts"

/** A value that was read, and where its bytes end. */
export interface DecodedPart {
  readonly value: OrderedKey
  readonly end: number
}

/**
 * Turns encoded keys into bytes in the order of the keys, and back. Nothing in it
 * throws, and any value can be passed at run time: what is no key is refused.
 *
 * **Details**
 *
 * There is at least one byte. No bytes of a key are the beginning of those of
 * another key. So the bytes of keys can be put one after another, and be followed by
 * any bytes: the order is then that of the first keys, among equal ones that of
 * what follows, and `decodePart` finds where a key ends.
 *
 * Only bytes that `encode` gives are decoded: one key has one encoding. Neither way
 * checks more than the kinds of values; literals and checks are left to the schema.
 *
 * A failure says what is wrong, as in `element 1: NaN has no order`.
 */
export interface OrderedCodec<Encoded extends OrderedKey> {
  readonly encode: (value: Encoded) => Result.Result<ByteString, string>
  /** Gives the bytes with which those of all keys begin that begin with this, and of no others. */
  readonly encodePrefix: (prefix: KeyPrefix<Encoded>) => Result.Result<ByteString, string>
  /** Reads bytes that are one key. */
  readonly decode: (bytes: ByteString) => Result.Result<OrderedKey, string>
  /** Reads the key that begins at an offset, whatever follows it. */
  readonly decodePart: (bytes: ByteString, offset: number) => Result.Result<DecodedPart, string>
}

/** The kinds of an encoded side, several for a union; or why there is no order. */
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

// A value of a program without types may throw as it is read: a proxy, a getter, memory that was given away.
const guarded = (encode: (value: unknown) => Result.Result<string, string>) =>
(
  value: unknown
): Result.Result<ByteString, string> => {
  const encoded = Result.getOrElse(Result.try(() => encode(value)), () => Result.fail("the value cannot be read"))
  return Result.map(encoded, ByteString)
}

const decodePart = (kind: Kind, bytes: ByteString, offset: number): Result.Result<DecodedPart, string> => {
  const reader: Reader = { bytes, offset }
  return Result.map(kind.decode(reader), (value) => ({ value, end: reader.offset }))
}

/**
 * Makes the codec of a key schema, or says why its encoded side has no order.
 */
export const make = <S extends KeySchema>(schema: S): Result.Result<OrderedCodec<S["Encoded"]>, string> =>
  Result.map(kindOf(SchemaAST.toEncoded(schema.ast)), (kind) => ({
    encode: guarded(kind.encode),
    encodePrefix: guarded(kind.encodePrefix),
    decode: (bytes: ByteString) =>
      Result.flatMap(
        decodePart(kind, bytes, 0),
        ({ end, value }) =>
          end === bytes.length ? Result.succeed(value) : Result.fail("there are bytes after those of the key")
      ),
    decodePart: (bytes: ByteString, offset: number) => decodePart(kind, bytes, offset)
  }))
