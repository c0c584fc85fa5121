// Columns and rectangles of a sweep in words.
import { shortLabel } from "./labels";
import type { SweepRect } from "./sweep-places";
import type { SweepMap } from "./sweep-table";
import { bothTokens } from "./sweep-values";

/** A line of a heading, and the prompt whose own token it is, where the prompts have two there. */
export interface HeadingLine {
  text: string;
  side?: "clean" | "corrupted";
}

/** What stands over a column: its token, or where the prompts have two the clean one first; a head's name, and after the
 * name of a key-value head those that it serves. */
export function headingOf(map: SweepMap, column: number): HeadingLine[] {
  const both = bothTokens(map, column);
  if (both) return (["clean", "corrupted"] as const).map((side) => ({ text: both[side], side }));
  const { label = "" } = map.columns[column] ?? {};
  const parts = map.axis === "head" ? label.replace(/\)$/, "").split(" (") : [label];
  return parts.map((text) => ({ text }));
}

/** A column in a sentence: "␣John / ␣Mary (10)". */
export function columnName(map: SweepMap | undefined, column: number, most = 24): string {
  const { label = "?", position } = map?.columns[column] ?? {};
  const both = map && bothTokens(map, column);
  const token = both
    ? `${shortLabel(both.clean, most)} / ${shortLabel(both.corrupted, most)}`
    : shortLabel(label, most);
  return position == null ? token : `${token} (${position})`;
}

/** "layers 0 to 2, positions 11 to 13" */
export function rectName(map: SweepMap | undefined, { rows, columns }: SweepRect): string {
  const range = ([from, to]: readonly unknown[]) => (from === to ? `${from}` : `${from} to ${to}`);
  const at = (column: number) => map?.columns[column]?.position ?? map?.columns[column]?.label;
  const of = map?.axis === "head" ? "heads" : "positions";
  return `layers ${range(rows.map((row) => map?.layers[row]))}, ${of} ${range(columns.map(at))}`;
}

export const cellsText = (count: number) => `${count} ${count === 1 ? "cell" : "cells"}`;
