/**
 * Full disk and broken disk: a small file system that is filled up again and again,
 * and an engine of which every call fails once.
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { join } from "node:path"
import * as process from "node:process"
import { temporaryFolder } from "../support/harness.ts"
import * as Children from "./children.ts"
import { everyCall } from "./faults.ts"
import { ofCollections, ofStore } from "./faultScenarios.ts"
import { readReport, record, type Recorder, type Section } from "./section.ts"

const programs = {
  smallDisk: new URL("../programs/smallDisk.ts", import.meta.url),
  fullLargeDisk: new URL("../programs/fullLargeDisk.ts", import.meta.url),
  fullDisk: new URL("../programs/fullDisk.ts", import.meta.url)
}

/** ENOSPC, EIO, MDB_CORRUPTED, MDB_READERS_FULL. */
const codes = [28, 5, -30796, -30790] as const

/** Every way to fail, in an order that shows much of them early. */
const variantAt = (number: number) => {
  const way = (number * 5) & 15
  return { code: codes[way & 3] ?? 28, lasts: (way & 4) !== 0, isLate: (way & 8) !== 0 }
}

/** Runs a program with a file system of its own, which goes with it. */
const onDisk = (size: string, program: URL, folder: string, argument: object) =>
  Children.runCommand("unshare", [
    "--user",
    "--map-root-user",
    "--mount",
    "sh",
    "-c",
    `mount -t tmpfs -o size=${size} tmpfs "$1" && echo mounted && exec "$2" "$3" "$4"`,
    "sh",
    folder,
    process.execPath,
    program.pathname,
    JSON.stringify({ folder, ...argument })
  ], {})

const FullDisk = Schema.Struct({ flushed: Schema.Tuple([Schema.String, Schema.Number]), recovered: Schema.Boolean })
const readFullDisk = Schema.decodeUnknownSync(Schema.fromJsonString(FullDisk))

/** Runs a program that may not make a file longer than 0.75 or 1.5 MB, as the shell has it. */
const underFileLimit = Effect.fnUntraced(function*(folder: string, recorder: Recorder) {
  const ending = yield* Children.runCommand("sh", [
    "-c",
    `ulimit -f 1500 && trap '' XFSZ && exec "$0" "$1" "$2"`,
    process.execPath,
    programs.fullDisk.pathname,
    join(folder, "store")
  ], {})
  if (ending.code !== 0) return recorder.lose(`under a limit of files: ${Children.describe(ending)}`)
  const { flushed: [tag], recovered } = readFullDisk(ending.lines.at(-1))
  recorder.count("times the disk was full")
  recorder.expect(tag === "EngineFailure" && recovered, "under a limit of files it did not recover")
})

/** Adds what a program reports at its end, which it does not reach when it dies. */
const addReport = (ending: Children.Ending, where: string, recorder: Recorder): void => {
  const report = ending.code === 0 ? ending.lines.at(-1) : undefined
  if (report === undefined) recorder.lose(`${where}: ${Children.describe(ending)}`)
  else recorder.add(readReport(report))
}

const fillSmallDisk = Effect.fnUntraced(function*(seed: number, recorder: Recorder) {
  const folder = yield* temporaryFolder
  const ending = yield* onDisk("3m", programs.smallDisk, folder, { seed })
  if (!ending.lines.includes("mounted")) {
    recorder.skip("small file systems cannot be mounted here: a limit of files stands in for one")
    return yield* underFileLimit(folder, recorder)
  }
  addReport(ending, `on a small disk, seed ${seed}`, recorder)
})

/** What the engine says of a disk that is full is longest where its numbers are: it must not be asked. */
const fillLargeDisk = Effect.fnUntraced(function*(size: number, recorder: Recorder) {
  const folder = yield* temporaryFolder
  const ending = yield* onDisk("400m", programs.fullLargeDisk, folder, { size })
  if (!ending.lines.includes("mounted")) return
  addReport(ending, `values of ${size} bytes on a full disk`, recorder)
})

/** Sizes of values of which a few make a message too long. */
const largeSizes = [100_000, 300_000, 1_000_000, 2_500_000] as const

/** The section. */
export const section: Section = {
  rounds: { quick: 4, long: 64 },
  round: Effect.fnUntraced(function*(seed, { quick }) {
    const recorder = record()
    yield* fillSmallDisk(seed, recorder)
    if (seed % 4 === 0) yield* fillLargeDisk(largeSizes[(seed >> 2) & 3] ?? 100_000, recorder)
    const variant = variantAt(seed >> 1)
    const stride = quick ? 3 : 1
    recorder.add(
      yield* seed % 2 === 0 ? everyCall(ofStore, variant, stride) : everyCall(ofCollections, variant, stride)
    )
    return recorder.report()
  })
}
