/**
 * Defines the options of methods that write a single record.
 *
 * @since 0.1.0
 */

/**
 * Configures how a single record is written.
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
   * A durable write is a separate transaction: other fibers see it after its commit, and nothing is written if it fails.
   * Fibers that write at the same time share commits. Inside a transaction the option has no effect: the write is on disk
   * when the transaction is.
   *
   * **Gotchas**
   *
   * With `durability: "relaxed"` a crash of the machine can undo the last commit. With `"noSync"` the operating system
   * decides when a commit is on disk.
   */
  readonly durable?: boolean | undefined
}
