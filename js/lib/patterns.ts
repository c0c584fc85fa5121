// A pattern ready to draw: square values with the tokens each cell stands for, from a thumbnail or a fetched array.
import type { Grid } from "./arrays";
import type { Atlas } from "./atlas";
import { clamp, times } from "./geometry";
import type { Head } from "./heads";

export type Combine = "mean" | "max" | "difference";
export const COMBINATIONS: readonly Combine[] = ["mean", "max", "difference"];

/** A square of tokens seen in `size` cells a side: `span` tokens from `dest` down and from `src` across. */
export interface Frame {
  size: number;
  span: number;
  dest?: number;
  src?: number;
}

/** A part of a pattern, in tokens: `span` of them from `dest` down and from `src` across. */
export interface Window {
  dest: number;
  src: number;
  span: number;
}

/** Values [size, size] of a frame; cells hold several tokens when size < span. */
export interface Pattern extends Frame {
  dest: number;
  src: number;
  /** -top..top instead of 0..top. */
  twoSided: boolean;
  /** The value at the end of the colour scale. */
  top: number;
  /** NaN where a value is not finite; 0 above the diagonal. */
  numbers: Float32Array;
}

export const pooled = (frame: Frame) => frame.size < frame.span;

/** Does the run show differences, on a scale with both signs? */
export const isSigned = (run: string) => run === "difference" || run === "against";

/** First token of cell `index`, counted from the frame's own start; the cell ends before `cellStart(index + 1)`. */
export const cellStart = (frame: Frame, index: number) => Math.floor((index * frame.span) / frame.size);

/** The cell that holds a token, counted from the frame's own start: the last one that begins at it or before. */
export const cellOf = ({ size, span }: Frame, token: number) =>
  clamp(Math.ceil(((token + 1) * size) / span) - 1, 0, size - 1);

/** First token of a row, and of a column. */
export const rowToken = (frame: Frame, row: number) => (frame.dest ?? 0) + cellStart(frame, row);
export const colToken = (frame: Frame, col: number) => (frame.src ?? 0) + cellStart(frame, col);

const within = (frame: Frame, place: number) =>
  place >= 0 && place < frame.span ? cellOf(frame, place) : null;

/** The row of a dest, the column of a src; null outside the pattern. */
export const rowOf = (pattern: Pattern, dest: number) => within(pattern, dest - pattern.dest);
export const colOf = (pattern: Pattern, src: number) => within(pattern, src - pattern.src);

/** Does the cell hold only pairs that the causal mask forbids? */
export const isFuture = (frame: Frame, row: number, col: number) =>
  colToken(frame, col) >= rowToken(frame, row + 1);

/** Plane number `place` of a grid that holds a window of a run. */
export function patternFromReply(grid: Grid, place: number, run: string, window: Window, top = 1): Pattern {
  const { dest, src, span } = window;
  const [size] = grid.plane;
  return { size, numbers: grid.values(place), span, dest, src, twoSided: isSigned(run), top };
}

export const patternFromThumb = (atlas: Atlas, [layer, head]: Head): Pattern => {
  const window = { dest: 0, src: 0, span: atlas.span };
  return patternFromReply(atlas.thumbnails, layer * atlas.heads + head, atlas.run, window);
};

/** Does the pattern show all tokens of the window? */
export function covers(pattern: Pattern, { dest, src, span }: Window): boolean {
  const [down, across] = [dest - pattern.dest, src - pattern.src];
  return Math.min(down, across) >= 0 && Math.max(down, across) + span <= pattern.span;
}

export const isOf = (pattern: Pattern, { dest, src, span }: Window) =>
  pattern.dest === dest && pattern.src === src && pattern.span === span;

/** A window of the pattern in `size` cells: the strongest of what falls in a cell, by magnitude; coarse cells repeat. */
export function resample(pattern: Pattern, { dest, src, span }: Window, size: number): Pattern {
  const target = { size, span, dest, src };
  const reach = (start: number, from: number) =>
    times(size, (index) => {
      const first = start - from + cellStart(target, index);
      const last = start - from + cellStart(target, index + 1) - 1;
      return [cellOf(pattern, first), cellOf(pattern, Math.max(first, last))] as const;
    });
  const rows = reach(dest, pattern.dest);
  const cols = reach(src, pattern.src);
  const values = new Float32Array(size * size);
  for (const [row, [top, bottom]] of rows.entries()) {
    for (const [col, [left, right]] of cols.entries()) {
      let strongest = 0;
      for (let r = top; r <= bottom; r++) {
        for (let c = left; c <= right; c++) {
          const value = pattern.numbers[r * pattern.size + c] as number;
          if (Number.isNaN(value) || Math.abs(value) > Math.abs(strongest)) strongest = value;
        }
      }
      values[row * size + col] = strongest;
    }
  }
  return { ...target, twoSided: pattern.twoSided, top: pattern.top, numbers: values };
}

/** One pattern out of several of one window: mean, max (by magnitude when signed), or first minus second. */
export function combine(patterns: readonly Pattern[], how: Combine): Pattern | null {
  const first = patterns[0];
  if (!first || patterns.length === 1) return first ?? null;
  // Heads still known by thumbnail only are coarser: show all at the resolution they share.
  const size = Math.min(...patterns.map((it) => it.size));
  const alike = patterns.map((it) => (it.size === size ? it : resample(it, first, size)));
  const values = new Float32Array(size * size).map((_, at) => {
    const here = alike.map((it) => it.numbers[at] as number);
    if (how === "difference") return (here[0] as number) - (here[1] as number);
    if (how === "mean") return here.reduce((a, b) => a + b) / here.length;
    return here.reduce((a, b) => (Number.isNaN(a) || Math.abs(a) >= Math.abs(b) ? a : b));
  });
  const top = Math.max(...patterns.map((it) => it.top));
  return { ...first, size, top, twoSided: first.twoSided || how === "difference", numbers: values };
}

/** How much `dest` attends to `src`, read off the pattern (the strongest of a pooled block); NaN outside its window. */
export function weight(pattern: Pattern, dest: number, src: number): number {
  if (src > dest) return 0;
  const [row, col] = [rowOf(pattern, dest), colOf(pattern, src)];
  return row === null || col === null
    ? Number.NaN
    : (pattern.numbers[row * pattern.size + col] ?? Number.NaN);
}
