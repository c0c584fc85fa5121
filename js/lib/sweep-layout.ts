// Where the heat map puts its rows, columns and headings, as pure functions of sizes.
import { clamp } from "./geometry";

export interface SweepSizes {
  /** Pixels there are across. */
  width: number;
  /** Pixels that the longest name of a row takes. */
  names: number;
  rows: number;
  columns: number;
  /** Pixels that the longest heading takes. */
  words: number;
  /** Some column has two tokens, one over the other, or after it. */
  stacked: boolean;
  /** The first column in view, as far as there is room before the end. */
  first: number;
  /** Type is drawn this many times as large. */
  scale?: number;
}

export interface SweepLayout {
  rows: number;
  /** All columns; those in view are from `first` up to `end`. */
  positions: number;
  first: number;
  end: number;
  gutter: number;
  /** Where the first column in view begins. */
  left: number;
  /** Height of the headings. */
  top: number;
  row: number;
  cell: number;
  /** Headings run upwards: their columns are too narrow for a word. */
  turned: boolean;
  /** Width of the strip that stands for the columns before, and after; 0 where there are none. */
  before: number;
  after: number;
  width: number;
}

/** Room for "~−0.35" and more: the most that is of use. */
const MOST = 56;
/** Columns with a word over them are at least this wide; narrower ones have it upright. */
const WORD = 32;
/** As narrow as a column may be before a part of the prompt gives way to a strip. */
const LEAST = 14;
/** The most that an upright heading is high. */
const TALL = 76;
/** The same where two tokens stand one after the other. */
const TALLER = 116;
const STRIP = 18;
const ROW = 20;
/** So many rows fit at their usual height; of more each is lower, so that forty layers are seen at once. */
const MANY = 30;
const LOW_ROW = 13;

export function sweepLayout(sizes: SweepSizes): SweepLayout {
  const { width, names, words, rows, columns, stacked, scale = 1 } = sizes;
  const px = (it: number) => Math.round(it * scale);
  const gutter = Math.ceil(names + 12 * scale);
  const whole = Math.max(px(WORD), width - gutter - 2);
  const fits = columns * px(LEAST) <= whole;
  // A long prompt keeps room for both strips, so that its columns stay where they are while it is paged.
  const room = fits ? whole : Math.max(px(LEAST), whole - 2 * px(STRIP));
  const count = fits ? columns : clamp(Math.floor(room / px(LEAST)), 1, columns);
  const cell = clamp(Math.floor(room / Math.max(1, count)), Math.min(px(LEAST), room), px(MOST));
  const turned = cell < px(WORD);
  const first = clamp(sizes.first, 0, columns - count);
  const end = first + count;
  const left = gutter + (fits ? 0 : px(STRIP));
  return {
    rows,
    positions: columns,
    first,
    end,
    gutter,
    left,
    top: turned ? Math.min(px(stacked ? TALLER : TALL), Math.ceil(words) + px(12)) : px(stacked ? 36 : 24),
    row: px(rows > MANY ? LOW_ROW : ROW),
    cell,
    turned,
    before: first > 0 ? px(STRIP) : 0,
    after: end < columns ? px(STRIP) : 0,
    width: left + count * cell + 2 + (fits ? 0 : px(STRIP)),
  };
}

export const rowsHeight = ({ rows, row }: SweepLayout) => rows * row;

/** What is under a point of the map. */
export type SweepSpot =
  | { kind: "cell"; row: number; column: number }
  | { kind: "row"; row: number }
  | { kind: "column"; column: number }
  | { kind: "before" }
  | { kind: "after" };

/** What is at a point; `y` is below the headings, which are at negative heights. */
export function sweepSpot(layout: SweepLayout, x: number, y: number): SweepSpot | null {
  const { left, cell, first, end, before, after, row: high } = layout;
  const column = first + Math.floor((x - left) / cell);
  const inside = x >= left && column < end;
  const row = Math.floor(y / high);
  if (row >= layout.rows) return null;
  if (before && x >= left - before && x < left) return { kind: "before" };
  if (after && x >= left && !inside && x < left + (end - first) * cell + after) return { kind: "after" };
  if (y < 0) return inside ? { kind: "column", column } : null;
  if (inside) return { kind: "cell", row, column };
  return x < left && x >= 0 ? { kind: "row", row } : null;
}

/** The cell nearest to a point: a brush that leaves the map goes on along its edge. */
export function nearestCell(layout: SweepLayout, x: number, y: number): { row: number; column: number } {
  const { left, cell, first, end, rows, row } = layout;
  return {
    row: clamp(Math.floor(y / row), 0, rows - 1),
    column: clamp(first + Math.floor((x - left) / cell), first, end - 1),
  };
}

/** The rows that are at least partly between two heights: from the first up to, without, the last. */
export function rowsBetween({ rows, row }: SweepLayout, top: number, bottom: number): [number, number] {
  return [clamp(Math.floor(top / row), 0, rows), clamp(Math.ceil(bottom / row), 0, rows)];
}
