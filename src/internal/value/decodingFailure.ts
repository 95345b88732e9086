/**
 * What came of a value that was not decoded: the failure of the engine that was asked for a
 * definition that it refers to, or else that its bytes are no value.
 */
import { EngineFailure, ValueDecoding } from "../../StoreError.ts"

/** What a codec says of bytes that it did not decode. */
interface Failure {
  readonly detail: string
  readonly cause?: unknown
}

/** The failure of the engine that kept a value from being decoded. */
export const engineFailureIn = ({ cause }: Failure): EngineFailure | undefined =>
  cause instanceof EngineFailure ? cause : undefined

/** The error of a value that was not decoded; `place` says where it is, if it is to blame. */
export const decodingFailure =
  (place: () => { readonly key: string; readonly collection?: string }) =>
  (failure: Failure): ValueDecoding | EngineFailure =>
    engineFailureIn(failure) ?? new ValueDecoding({ ...place(), ...failure })
