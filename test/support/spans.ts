/** The spans that an effect begins. */
import * as Effect from "effect/Effect"
import * as Tracer from "effect/Tracer"

/** Runs an effect and gives all spans that were begun, in their order. */
export const withSpans = <A, E, R>(use: (spans: ReadonlyArray<Tracer.NativeSpan>) => Effect.Effect<A, E, R>) =>
  Effect.suspend(() => {
    const spans: Array<Tracer.NativeSpan> = []
    const tracer = Tracer.make({
      span: (options) => {
        const span = new Tracer.NativeSpan(options)
        spans.push(span)
        return span
      }
    })
    return Effect.provideService(use(spans), Tracer.Tracer, tracer)
  })

/** The spans of one name. */
export const named = (spans: ReadonlyArray<Tracer.NativeSpan>, name: string) =>
  spans.filter((span) => span.name === name)
