/**
 * Lists the commands. To add one:
 *
 * 1. Write `commands/NAME.ts`. It exports `command`: a `Command` of Effect with that name, its parameters, its examples, and
 *    a handler. Its first parameter is `store: Parameters.store`. `withStore` opens that store and provides it to an effect.
 *    `Output.make` gives what the handler writes with. Expected failures are `No` (exit code 1) and `Usage` (exit code 2),
 *    and the errors of a store have their own exit codes (`failures.ts`).
 * 2. Add a line here, with a description.
 * 3. Add a row to the table of `docs/cli.md`, and a test in `test/cli/`, where every example of every command runs.
 *
 * The module of a command is loaded only when the command line names it.
 */
import type * as Command from "effect/cli/Command"
import type { LineRunner } from "./lineRunner.ts"
import type { OutputServices } from "./output.ts"

/** A command, whatever its parameters. */
export type AnyCommand = Command.Command<
  string,
  never,
  unknown,
  unknown,
  Command.Environment | OutputServices | LineRunner
>

/** A command of the list. */
export interface CommandEntry {
  readonly name: string
  /** The line of the command in the help of the program. */
  readonly description: string
  readonly load: () => Promise<{ readonly command: Command.Command.Any }>
}

/** All commands, in the order of the help. */
export const commands: ReadonlyArray<CommandEntry> = [
  { name: "ls", description: "List collections, indexes and namespaces", load: () => import("./commands/ls.ts") },
  { name: "get", description: "Show the values of keys", load: () => import("./commands/get.ts") },
  { name: "scan", description: "Show the records of a range", load: () => import("./commands/scan.ts") },
  { name: "put", description: "Store a value", load: () => import("./commands/put.ts") },
  { name: "del", description: "Delete records", load: () => import("./commands/del.ts") },
  {
    name: "export",
    description: "Write records to a file: NDJSON, CSV or a dump",
    load: () => import("./commands/export.ts")
  },
  { name: "import", description: "Read records from a file", load: () => import("./commands/import.ts") },
  { name: "stat", description: "Show the size and the state of a store", load: () => import("./commands/stat.ts") },
  { name: "watch", description: "Follow the commits of all processes", load: () => import("./commands/watch.ts") },
  {
    name: "readers",
    description: "Show which processes have the store open",
    load: () => import("./commands/readers.ts")
  },
  {
    name: "shell",
    description: "Run commands line by line, with completion",
    load: () => import("./commands/shell.ts")
  },
  { name: "verify", description: "Check a store, and list its problems", load: () => import("./commands/verify.ts") },
  { name: "backup", description: "Copy a store while it is in use", load: () => import("./commands/backup.ts") },
  {
    name: "restore",
    description: "Bring a backup to the place of a store",
    load: () => import("./commands/restore.ts")
  },
  {
    name: "compact",
    description: "Make a file as small as its records allow",
    load: () => import("./commands/compact.ts")
  },
  { name: "copy", description: "Copy all records to an empty store", load: () => import("./commands/copy.ts") },
  {
    name: "queue",
    description: "List, requeue and delete elements of queues",
    load: () => import("./commands/queue.ts")
  },
  {
    name: "workflow",
    description: "List, resume and interrupt workflows",
    load: () => import("./commands/workflow.ts")
  }
]
