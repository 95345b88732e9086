/**
 * Stops itself in the middle of a write transaction on the file of a store, as a debugger would.
 *
 * Argument: the path.
 */
import { open } from "lmdb"
import * as process from "node:process"

const root = open({ path: process.argv[2] ?? "", maxDbs: 100 })
root.transactionSync(() => {
  process.stdout.write("in the middle\n")
  process.kill(process.pid, "SIGSTOP")
})
await root.close()
