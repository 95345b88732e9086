/**
 * A proxy in front of a server. It cuts connections, before a request has arrived or before its answer has, and it delays
 * answers.
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { connect, createServer, type Server, type Socket } from "node:net"

/** A running proxy. */
export interface CuttingProxy {
  readonly port: number
  /** The port of the server. New connections go there. */
  target: number
  /** What part of all pieces of data is lost with its connection, from 0 to 1. */
  cutPart: number
  /** Which pieces are lost. */
  cuts: "both" | "answers"
  /** How many connections were cut. */
  cut: number
  /** How long each answer is delayed, in milliseconds. */
  delayMillis: number
  /** Cuts all open connections. */
  readonly cutAll: () => void
}

/** Numbers that look random, the same in each run. */
const makeRandom = (seed: number) => {
  let state = seed
  return (): number => {
    state = (state * 1_103_515_245 + 12_345) % 2_147_483_648
    return state / 2_147_483_648
  }
}

const listen = (server: Server) =>
  Effect.callback<number>((resume) => {
    server.listen(0, "127.0.0.1", () => {
      const address = server.address()
      resume(Effect.succeed(typeof address === "object" && address !== null ? address.port : 0))
    })
  })

/** Starts a proxy in front of a port of this machine, until the scope closes. */
export const make = Effect.fnUntraced(function*(
  port: number,
  seed: number
): Effect.fn.Return<CuttingProxy, never, Scope.Scope> {
  const random = makeRandom(seed)
  const sockets = new Set<Socket>()
  let proxy: CuttingProxy | undefined
  const pipe = (from: Socket, to: Socket, isAnswer: boolean): void => {
    sockets.add(from)
    from.on("data", (piece) => {
      if (proxy !== undefined && (isAnswer || proxy.cuts === "both") && random() < proxy.cutPart) {
        proxy.cut++
        from.destroy()
        to.destroy()
      } else if (proxy !== undefined && isAnswer && proxy.delayMillis > 0) {
        // Timers of the same duration end in the order in which they were started.
        setTimeout(() => {
          if (!to.destroyed) to.write(piece)
        }, proxy.delayMillis)
      } else to.write(piece)
    })
    from.on("error", () => to.destroy())
    from.on("close", () => {
      sockets.delete(from)
      to.destroy()
    })
  }
  const server = createServer((client) => {
    const upstream = connect(proxy?.target ?? port, "127.0.0.1")
    pipe(client, upstream, false)
    pipe(upstream, client, true)
  })
  yield* Effect.addFinalizer(() =>
    Effect.sync(() => {
      server.close()
      for (const socket of sockets) socket.destroy()
    })
  )
  const running: CuttingProxy = {
    port: yield* listen(server),
    target: port,
    cutPart: 0,
    cuts: "both",
    cut: 0,
    delayMillis: 0,
    cutAll: () => {
      running.cut += sockets.size / 2
      for (const socket of sockets) socket.destroy()
    }
  }
  proxy = running
  return running
})
