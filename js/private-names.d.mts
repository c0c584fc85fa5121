import type { Program } from "typescript";

/** What the type checker knows of the bundles of these entries. */
export function programOf(entries: readonly string[]): Program;
/** Sorted names of properties and methods that the bundles of these entries may rename. */
export function privateNames(entries: readonly string[], program?: Program): string[];
