/** Sorted names of properties and methods that the bundles of these entries may rename. */
export function privateNames(entries: readonly string[]): string[];
