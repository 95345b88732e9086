/**
 * How single records are written.
 *
 * @since 0.1.0
 */

/**
 * How a single record is written.
 *
 * @category options
 * @since 0.1.0
 */
export interface WriteOptions {
  /**
   * Whether the write is on disk when the call returns. Default: `false`, the write is buffered.
   *
   * **Details**
   *
   * A durable write is a transaction of its own: other fibers see it from its commit on, and if it fails nothing is
   * written. Fibers that write at the same time share commits. Inside a transaction the option changes nothing: the write
   * is on disk when the transaction is.
   *
   * **Gotchas**
   *
   * With `durability: "noSync"` the operating system decides when a commit is on disk.
   */
  readonly durable?: boolean | undefined
}
