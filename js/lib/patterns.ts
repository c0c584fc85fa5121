// A pattern ready to draw: square values with the tokens each cell stands for, from a thumbnail or a fetched array.
import type { Grid } from "./arrays";
import type { Atlas } from "./atlas";

export type Combine = "mean" | "max" | "difference";

/** Values [size, size] of `positions` tokens; cell i stands for tokens edges(i) when size < positions. */
export interface Pattern {
  size: number;
  positions: number;
  /** -1..1 instead of 0..1. */
  signed: boolean;
  /** NaN where a value is not finite; 0 above the diagonal. */
  values: Float32Array;
}

export const pooled = (pattern: Pattern) => pattern.size < pattern.positions;

/** First token of cell `index`; the cell ends before `cellStart(index + 1)`. */
export const cellStart = (pattern: { size: number; positions: number }, index: number) =>
  Math.floor((index * pattern.positions) / pattern.size);

/** The cell that holds a token. */
export function cellOf(pattern: { size: number; positions: number }, token: number): number {
  let cell = Math.min(pattern.size - 1, Math.floor((token * pattern.size) / pattern.positions));
  while (cell + 1 < pattern.size && cellStart(pattern, cell + 1) <= token) cell++;
  while (cell > 0 && cellStart(pattern, cell) > token) cell--;
  return cell;
}

/** Does the cell hold only pairs that the causal mask forbids? */
export const isFuture = (pattern: { size: number; positions: number }, row: number, col: number) =>
  col > row && cellStart(pattern, col) >= cellStart(pattern, row + 1);

function plane(grid: Grid, index: number, positions: number, signed: boolean): Pattern {
  const [rows] = grid.plane;
  const values = new Float32Array(rows * rows);
  for (let row = 0; row < rows; row++) {
    for (let col = 0; col < rows; col++) values[row * rows + col] = grid.value(index, row, col);
  }
  return { size: rows, positions, signed, values };
}

export function patternFromThumb(atlas: Atlas, [layer, head]: readonly [number, number]): Pattern {
  return plane(atlas.thumbs, layer * atlas.heads + head, atlas.positions, atlas.run === "difference");
}

export function patternFromReply(grid: Grid, place: number, atlas: Atlas): Pattern {
  return plane(grid, place, atlas.positions, atlas.run === "difference");
}

/** One pattern out of several: mean, max (by magnitude when signed), or first minus second. */
export function combine(patterns: readonly Pattern[], how: Combine): Pattern | null {
  const first = patterns[0];
  if (!first || patterns.length === 1) return first ?? null;
  // Heads still known by thumbnail only are coarser: show all at the resolution they share.
  const shared = Math.min(...patterns.map((it) => it.size));
  const alike = patterns.map((it) => (it.size === shared ? it : shrink(it, shared)));
  const values = new Float32Array(shared * shared);
  for (let i = 0; i < values.length; i++) {
    const here = alike.map((it) => it.values[i] as number);
    if (how === "difference") values[i] = (here[0] as number) - (here[1] as number);
    else if (how === "mean") values[i] = here.reduce((a, b) => a + b, 0) / here.length;
    else values[i] = here.reduce((a, b) => (Number.isNaN(a) || Math.abs(a) >= Math.abs(b) ? a : b));
  }
  return { size: shared, positions: first.positions, signed: first.signed || how === "difference", values };
}

/** The pattern max-pooled by magnitude to `size` cells on a side. */
function shrink(pattern: Pattern, size: number): Pattern {
  const values = new Float32Array(size * size);
  const target = { size, positions: pattern.positions };
  for (let row = 0; row < pattern.size; row++) {
    for (let col = 0; col < pattern.size; col++) {
      const at = cellOf(target, cellStart(pattern, row)) * size + cellOf(target, cellStart(pattern, col));
      const value = pattern.values[row * pattern.size + col] as number;
      if (Number.isNaN(value) || Math.abs(value) > Math.abs(values[at] as number)) values[at] = value;
    }
  }
  return { ...pattern, size, values };
}

/** How much `dest` attends to `src`, read off the pattern (the strongest of a pooled block). */
export function weight(pattern: Pattern, dest: number, src: number): number {
  if (src > dest) return 0;
  return pattern.values[cellOf(pattern, dest) * pattern.size + cellOf(pattern, src)] ?? Number.NaN;
}
