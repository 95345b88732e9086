/** The part of the library that is used; it comes without declarations. */
declare module "fs-native-extensions" {
  /** Locks a range of a file, or all of it. Gives `false` if another open file holds a lock there that excludes this one. */
  export const tryLock: (fd: number, offset: number, length: number, options: { readonly shared: boolean }) => boolean
  /** Gives up the lock of a range. */
  export const unlock: (fd: number, offset: number, length: number) => void
}
