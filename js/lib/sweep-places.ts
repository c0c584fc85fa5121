// Cells of a sweep by row and column: rectangles of them, the text that names their site, and the edit that they are.
import type { EditSpec, Question } from "./protocol";
import type { SweepMap, SweepTable } from "./sweep-table";
import type { SweepPart } from "./sweeping";

/** A cell of the map, by row and column. */
export interface SweepPlace {
  row: number;
  column: number;
}

/** Rows and columns from the first up to and with the last. */
export interface SweepRect {
  rows: readonly [number, number];
  columns: readonly [number, number];
}

export const samePlace = (a: SweepPlace | null, b: SweepPlace | null) =>
  a === b || (!!a && !!b && a.row === b.row && a.column === b.column);

/** Is there such a cell? */
export const holds = ({ layers, columns }: SweepMap, { row, column }: SweepPlace) =>
  row < layers.length && column < columns.length;

/** The rectangle between two cells, whichever came first. */
export function rectOf(a: SweepPlace, b: SweepPlace): SweepRect {
  const ends = (one: number, two: number) => [Math.min(one, two), Math.max(one, two)] as const;
  return { rows: ends(a.row, b.row), columns: ends(a.column, b.column) };
}

export const rectSize = ({ rows, columns }: SweepRect) =>
  (rows[1] - rows[0] + 1) * (columns[1] - columns[0] + 1);

/** A rectangle as the kernel takes it. */
export const partOf = (
  { layers, columns }: SweepMap,
  { rows, columns: [from, to] }: SweepRect,
): SweepPart => ({
  layers: layers.slice(rows[0], rows[1] + 1),
  columns: columns.flatMap((_, at) => (at >= from && at <= to ? [at] : [])),
});

/** The site of a cell as text, the words of `selection`: "L3.resid_pre@10", "L3H2.z". */
export function siteOf({ layers, columns, site }: SweepMap, { row, column }: SweepPlace): string {
  const { position, head } = columns[column] ?? {};
  const at = position == null ? "" : `@${position}`;
  return `L${layers[row] ?? 0}${head == null ? "" : `H${head}`}.${site}${at}`;
}

/** What other widgets are told of a cell under the pointer, or of a column whose heading is. */
export function hoverOf({ layers, columns }: SweepMap, place: SweepPlace | null, column: number | null) {
  const { position, head } = columns[place?.column ?? column ?? -1] ?? {};
  if (position == null && head == null) return null;
  const layer = place && layers[place.row];
  return {
    ...(layer != null && { layer }),
    ...(position != null && { position }),
    ...(head != null && { head }),
  };
}

const SITE = /^L(\d+)(?:H(\d+))?\.(\w+)(?:@(\d+))?/;

/** The cell that a site's text names: its own, or at the same place another site's; null where the map has none. */
export function placeOf(table: SweepTable, text: string): SweepPlace | null {
  const match = SITE.exec(text);
  if (!match) return null;
  const [, layer, head, site, position] = match;
  const { layers, site: swept } = table.map;
  const own = layers.indexOf(Number(layer));
  // The stream after a layer is the one before the next.
  const next = layers.indexOf(Number(layer) + 1);
  const row = site === "resid_post" && swept === "resid_pre" && next >= 0 ? next : own;
  const number = (it: string | undefined) => (it === undefined ? null : Number(it));
  const column = table.columnOf({ head: number(head), position: number(position) });
  return row < 0 || column < 0 ? null : { row, column };
}

/** The edit of a cell, as the board takes it. */
export function specOf({ layers, columns, edit: kind, site }: SweepMap, place: SweepPlace): EditSpec | null {
  const { position = null, head = null } = columns[place.column] ?? {};
  const layer = layers[place.row];
  if (layer === undefined) return null;
  const positions = position === null ? null : [position];
  return { kind, site, layer, head, positions, source: "other", source_positions: null, src: null, alpha: 1 };
}

/** Numbers of the cells whose edit is among the live ones of a question. */
export function addedTo(table: SweepTable | null, question: Question | null): ReadonlySet<number> {
  const found = new Set<number>();
  if (!table || question?.base !== table.map.base) return found;
  const { map } = table;
  for (const { spec } of question.edits) {
    const row = spec?.site === map.site && spec.kind === map.edit ? map.layers.indexOf(spec.layer) : -1;
    // A patch of the prompt's own activations is another edit.
    if (!spec || row < 0 || (spec.kind === "patch" && spec.source === map.base)) continue;
    for (const position of spec.positions ?? [null]) {
      const column = table.columnOf({ head: spec.head, position });
      if (column >= 0) found.add(table.index(row, column));
    }
  }
  return found;
}
