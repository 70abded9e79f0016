// Owns loading a package when it is first needed: threads and commands that never do start without it.

/** The value of the first call, which `load` makes. */
export function lazily<T>(load: () => T): () => T {
  let loaded: { readonly value: T } | null = null;
  return () => (loaded ??= { value: load() }).value;
}
