/** Names the collection that an error is about, for its message: nothing where there is none. */
export const inCollection = ({ collection }: { readonly collection?: string | undefined }): string =>
  collection === undefined ? "" : ` in collection "${collection}"`
