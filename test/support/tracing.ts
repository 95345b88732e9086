/** Runs a program and lists its calls of the operating system that change files or wait for the disk. */
import { spawnSync } from "node:child_process"
import { readFileSync } from "node:fs"
import * as process from "node:process"
import { hangLimit } from "./timeLimits.ts"

/** Not part of this package: without it, the tests that need it are skipped. */
const tracer = "strace"

/** Whether programs can be traced. */
export const canTrace = spawnSync(tracer, ["-o", "/dev/null", "true"]).status === 0

/** A call that changes a file, or waits until its changes are on disk. */
export interface Call {
  readonly name: string
  readonly descriptor: string
  readonly path: string
  /** How many bytes it writes at which offset, if it says so. */
  readonly bytes: number | undefined
  readonly offset: number | undefined
}

const traced = ["pwrite64", "pwritev", "writev", "write", "ftruncate", "fdatasync", "fsync"]

const callsIn = (line: string): ReadonlyArray<Call> => {
  const [, name, descriptor, path] = /\b([a-z]\w+)\((\d+)<([^>]+)>/.exec(line) ?? []
  if (name === undefined || descriptor === undefined || path === undefined || !traced.includes(name)) return []
  const [, bytes, offset] = name === "pwrite64" ? /, (\d+), (\d+)\) += /.exec(line) ?? [] : []
  return [{
    name,
    descriptor,
    path,
    bytes: bytes === undefined ? undefined : Number(bytes),
    offset: offset === undefined ? undefined : Number(offset)
  }]
}

/** Runs a program of Node.js, and gives its calls in order. `log` is a file for the trace. */
export const callsOf = (log: string, program: string, ...args: ReadonlyArray<string>): ReadonlyArray<Call> => {
  const command = ["-f", "-y", "-e", `trace=${traced.join(",")}`, "-o", log, process.execPath, program, ...args]
  const { status, stderr } = spawnSync(tracer, command, { encoding: "utf8", timeout: hangLimit })
  if (status !== 0) throw new Error(stderr)
  return readFileSync(log, "utf8").split("\n").flatMap(callsIn)
}
