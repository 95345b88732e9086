/** Names the collection of an error in its message. Returns an empty string for an error of the store itself. */
export const inCollection = ({ collection }: { readonly collection?: string | undefined }): string =>
  collection === undefined ? "" : ` in collection "${collection}"`
