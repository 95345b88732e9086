/** The part of a store that an error is about. */
export interface ErrorPlace {
  readonly collection?: string | undefined
  readonly namespace?: string | undefined
}

/** Names the collection or the namespace that an error is about, for its message: nothing where there is none. */
export const inPlace = ({ collection, namespace }: ErrorPlace): string =>
  collection !== undefined
    ? ` in collection "${collection}"`
    : namespace !== undefined
    ? ` in namespace "${namespace}"`
    : ""
