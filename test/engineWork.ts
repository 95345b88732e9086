/** Looks at what an engine is asked to commit. */
import * as Result from "effect/Result"
import type { Batch, Plan } from "../src/Engine.ts"

/** The same work; `look` is told of each batch that it comes to, or of nothing where its plan gives it up. */
export const watching = (work: Plan | Batch, look: (batch: Batch | undefined) => void): Plan | Batch => {
  const looked = <B extends Batch | undefined>(batch: B): B => {
    look(batch)
    return batch
  }
  return typeof work === "function"
    ? (present, transactionId) => Result.map(work(present, transactionId), looked)
    : looked(work)
}
