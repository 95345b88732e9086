/** Reads a record by its structure in a process that makes no code of text, and writes it to the standard output. */
import * as Result from "effect/Result"
import * as RecordStructures from "../../src/internal/value/recordStructures.ts"
import * as ValueCodec from "../../src/internal/value/valueCodec.ts"

const codec = ValueCodec.make({ structures: RecordStructures.make([["id", "list"]]) })
const bytes = Result.getOrThrow(ValueCodec.encode(codec, { id: 1, list: [{ id: 2, list: null }, { other: 3 }] }))
const isRefused = Result.isFailure(Result.try(() => Reflect.construct(Function, ["return 1"])))
process.stdout.write(
  JSON.stringify({ isRefused, format: bytes[0], value: Result.getOrThrow(ValueCodec.decode(codec, bytes)) })
)
