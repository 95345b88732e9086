/**
 * What a child process says on its standard output, at once and whole: it may be killed
 * in the next moment.
 */
import * as Predicate from "effect/Predicate"
import * as Result from "effect/Result"
import { Buffer } from "node:buffer"
import { writeSync } from "node:fs"

const pause = new Int32Array(new SharedArrayBuffer(4))

/** Writes text; waits while the pipe is full because nobody has read for a while. */
export const say = (text: string): void => {
  let rest = Buffer.from(text)
  while (rest.length > 0) {
    const written = Result.try(() => writeSync(1, rest))
    if (Result.isSuccess(written)) rest = rest.subarray(written.success)
    else if (Predicate.hasProperty(written.failure, "code") && written.failure.code === "EAGAIN") {
      Atomics.wait(pause, 0, 0, 1)
    } else throw written.failure
  }
}
