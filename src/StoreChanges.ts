/**
 * Defines the methods that follow the changes of untyped records.
 *
 * @since 0.1.0
 */
import type * as Option from "effect/Option"
import type * as Stream from "effect/Stream"
import type { Change, ChangesOptions, ChangeWithPrevious, PollOptions, SinceError, WatchEvent } from "./Change.ts"
import type { Key } from "./Key.ts"
import type { WatchRange } from "./Range.ts"
import type { ChangesMissed, Closed, EngineFailure, KeyEncoding, ValueDecoding } from "./StoreError.ts"

/**
 * Follows the changes of the records of a store or of a namespace.
 *
 * **Details**
 *
 * The changes of a store are those of its own records. Each namespace and each collection tells of its own.
 *
 * @category models
 * @since 0.1.0
 */
export interface StoreChanges {
  /**
   * Streams the changes that this process commits, in the order of the commits, from when the stream starts until the
   * store closes.
   *
   * **Details**
   *
   * A commit gives one change for each key that was written. If several transactions share a commit and have
   * written the same key, the stream gives only the last of these writes. Keys are strings, decoded by the option `keyEncoding`, or bytes
   * with `decodeKeys: false`. A commit never waits for a subscriber. If more than `capacity`
   * changes wait for a subscriber, it gets those and then fails with `ChangesMissed`.
   *
   * A `Put` says by its `kind` whether it inserted or updated. With `previous: true`, each change has the value before the
   * transaction.
   *
   * With `since`, the stream first gives the changes after that transaction, also those of other processes. They come from
   * the change log (option `changeLog`); `ChangesMissed` says that it does not reach back so far.
   *
   * **Gotchas**
   *
   * Without `since`, the stream does not have the changes of other processes.
   */
  readonly changes: {
    (
      options?: ChangesOptions<undefined> & {
        readonly decodeKeys?: true | undefined
        readonly previous?: false | undefined
      }
    ): Stream.Stream<Change<string, unknown, ValueDecoding<Key>>, KeyEncoding | ChangesMissed | Closed>
    <const S extends number | undefined = undefined>(
      options: ChangesOptions<S> & { readonly decodeKeys: false; readonly previous: true }
    ): Stream.Stream<
      ChangeWithPrevious<Uint8Array, unknown, ValueDecoding<Key>>,
      KeyEncoding | ChangesMissed | Closed | SinceError<S>
    >
    <const S extends number | undefined = undefined>(
      options: ChangesOptions<S> & { readonly decodeKeys?: true | undefined; readonly previous: true }
    ): Stream.Stream<
      ChangeWithPrevious<string, unknown, ValueDecoding<Key>>,
      KeyEncoding | ChangesMissed | Closed | SinceError<S>
    >
    <const S extends number | undefined = undefined>(
      options: ChangesOptions<S> & { readonly decodeKeys: false; readonly previous?: false | undefined }
    ): Stream.Stream<
      Change<Uint8Array, unknown, ValueDecoding<Key>>,
      KeyEncoding | ChangesMissed | Closed | SinceError<S>
    >
    (
      options: ChangesOptions<number> & {
        readonly since: number
        readonly decodeKeys?: true | undefined
        readonly previous?: false | undefined
      }
    ): Stream.Stream<Change<string, unknown, ValueDecoding<Key>>, KeyEncoding | ChangesMissed | Closed | EngineFailure>
  }

  /**
   * The value of a key, and then each other value that is committed; `none` where there is none.
   *
   * **Details**
   *
   * It commits what is pending and gives the value, and then waits for commits: no value is missed in between. A value that is
   * the same as the last one is not told again. A consumer that is slow gets only the last value.
   *
   * Commits of other processes are told too, with `shared` and `readOnly`: when they are noticed.
   */
  readonly watch: (
    key: Key,
    options?: PollOptions
  ) => Stream.Stream<Option.Option<unknown>, KeyEncoding | ValueDecoding<Key> | Closed | EngineFailure>

  /**
   * The entries of a range, and then what each transaction changes of them: what a live query needs.
   *
   * **Details**
   *
   * It commits what is pending and gives a `Snapshot`, and then `Changes`, one for each transaction: no change is missed or told
   * twice. So the entries always are those after the transaction `transactionId`. Another `Snapshot` follows a `clear`, more
   * than `capacity` changes that wait, and commits of other processes if the store keeps no change log. The entries of a snapshot
   * are all in memory.
   */
  readonly watchRange: {
    (
      range: WatchRange & { readonly decodeKeys: false }
    ): Stream.Stream<WatchEvent<Uint8Array, unknown>, KeyEncoding | ValueDecoding<Key> | Closed | EngineFailure>
    (
      range?: WatchRange & { readonly decodeKeys?: true | undefined }
    ): Stream.Stream<WatchEvent<string, unknown>, KeyEncoding | ValueDecoding<Key> | Closed | EngineFailure>
  }
}
