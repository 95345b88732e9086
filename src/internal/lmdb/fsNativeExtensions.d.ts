/** Declares the functions of the library that this package uses. The library has no declarations of its own. */
declare module "fs-native-extensions" {
  /** Locks a range of a file, or the whole file. Returns `false` if a lock through another descriptor excludes this one. */
  export const tryLock: (fd: number, offset: number, length: number, options: { readonly shared: boolean }) => boolean
  /** Releases the lock of a range. */
  export const unlock: (fd: number, offset: number, length: number) => void
}
