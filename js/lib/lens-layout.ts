// Where the lens table puts its rows, folded rows and positions, as pure functions of sizes.
import { clamp } from "./geometry";

/** A line of the table: a row, or rows that are folded, from `first` to `last`. */
export type Line = { first: number; last: number; folded: boolean };

/** The lines of `count` rows of which those in `open` are shown, top to bottom: nothing is left out silently. */
export function linesOf(count: number, open: readonly number[]): Line[] {
  const lines: Line[] = [];
  let next = 0;
  for (const row of [...open, count]) {
    if (row > next) lines.push({ first: next, last: row - 1, folded: true });
    if (row < count) lines.push({ first: row, last: row, folded: false });
    next = row + 1;
  }
  return lines;
}

export interface LensSizes {
  /** Pixels there are across. */
  width: number;
  /** Pixels that the longest name of a row takes. */
  names: number;
  /** Positions of the prompt. */
  positions: number;
  /** The first position in view, as far as there is room before the end. */
  first: number;
  /** Type is drawn this many times as large. */
  scale?: number;
}

export interface LensLayout {
  lines: readonly Line[];
  /** Top of each line below the headings, and the bottom of the last. */
  tops: readonly number[];
  /** Width of the names of rows. */
  gutter: number;
  /** Where the first column in view begins. */
  left: number;
  /** Height of the headings. */
  top: number;
  /** Height of a row. */
  row: number;
  /** Height of a line of folded rows. */
  fold: number;
  /** Width of a column. */
  cell: number;
  /** The positions in view: from `first` up to `end`. */
  first: number;
  end: number;
  positions: number;
  /** Width of the strip that stands for the positions before, and after; 0 where there are none. */
  before: number;
  after: number;
  width: number;
}

const MIN_CELL = 40;
/** Columns may be as narrow as this where all of them have room then: less is lost than behind a strip. */
const TIGHT_CELL = 34;
const MAX_CELL = 64;
const ROW = 20;
const FOLD = 13;
const STRIP = 18;

const gutterOf = (names: number, scale: number) => Math.ceil(names + 12 * scale);

/** Pixels of `room` that all positions take in columns of the usual least width, or narrower; 0 where they have none. */
export function widthOfAll(names: number, positions: number, room: number, scale = 1): number {
  const taken = (cell: number) => gutterOf(names, scale) + positions * Math.round(cell * scale) + 2;
  return taken(TIGHT_CELL) > room ? 0 : Math.min(taken(MIN_CELL), room);
}

/** Rows down, positions across: as many as have room for a short token, the rest of a long prompt behind two strips. */
export function lensLayout(lines: readonly Line[], sizes: LensSizes): LensLayout {
  const { width, names, positions, scale = 1 } = sizes;
  const [tight, usual, most, strip] = [TIGHT_CELL, MIN_CELL, MAX_CELL, STRIP].map((it) =>
    Math.round(it * scale),
  ) as [number, number, number, number];
  const gutter = gutterOf(names, scale);
  const whole = Math.max(usual, width - gutter - 2);
  const fits = positions * tight <= whole;
  const least = fits ? tight : usual;
  // A long prompt keeps room for both strips, so that its columns stay where they are while it is paged.
  const room = fits ? whole : Math.max(least, whole - 2 * strip);
  const count = Math.min(positions, Math.max(1, Math.floor(room / least)));
  const cell = clamp(Math.floor(room / Math.max(1, count)), Math.min(least, room), most);
  const first = clamp(sizes.first, 0, positions - count);
  const end = first + count;
  const before = first > 0 ? strip : 0;
  const after = end < positions ? strip : 0;
  const [row, fold] = [ROW, FOLD].map((it) => Math.round(it * scale)) as [number, number];
  const tops = [0];
  for (const { folded } of lines) tops.push((tops.at(-1) as number) + (folded ? fold : row));
  const left = gutter + (fits ? 0 : strip);
  return {
    lines,
    tops,
    gutter,
    left,
    top: Math.round(26 * scale),
    row,
    fold,
    cell,
    first,
    end,
    positions,
    before,
    after,
    width: left + count * cell + (fits ? 2 : strip + 2),
  };
}

/** Height of all lines. */
export const linesHeight = ({ tops }: LensLayout) => tops.at(-1) as number;

/** The columns in view, of all there are. */
type Window = Pick<LensLayout, "first" | "end" | "positions">;
/** The same with where they stand. */
export type Columns = Window & Pick<LensLayout, "left" | "cell" | "before" | "after">;

/** The first position for which `position` is in view, moving as little as can be. */
export function windowWith({ first, end, positions }: Window, position: number): number {
  const count = end - first;
  if (position < first) return position;
  return position >= end ? clamp(position - count + 1, 0, positions - count) : first;
}

/** The first position for which `position`, where it is out of view, is in view with three times as many before it as after. */
export function windowRound({ first, end, positions }: Window, position: number): number {
  const count = end - first;
  const inView = position >= first && position < end;
  return inView ? first : clamp(position - Math.floor(count * 0.75), 0, positions - count);
}

/** The window a page before (-1) or after (1): the column at the edge stays in view. */
export function turned({ first, end, positions }: Window, by: -1 | 1): number {
  const count = end - first;
  return clamp(first + by * Math.max(1, count - 1), 0, positions - count);
}

/** The line at a height below the headings; -1 above and below all. */
export function lineAt({ tops }: LensLayout, y: number): number {
  const next = tops.findIndex((top) => top > y);
  return next <= 0 ? -1 : next - 1;
}

/** The line that holds a row; -1 for none. */
export const lineOf = ({ lines }: LensLayout, row: number) =>
  lines.findIndex(({ first, last }) => first <= row && row <= last);

/** What is under a point of the table. */
export type Spot =
  | { kind: "cell"; line: number; position: number }
  /** Folded rows, anywhere across. */
  | { kind: "fold"; line: number }
  /** The name of a row. */
  | { kind: "row"; line: number }
  /** The heading of a position. */
  | { kind: "position"; position: number }
  /** The positions before, and after. */
  | { kind: "before" }
  | { kind: "after" };

/** What is at a point; `y` is below the headings, which are at negative heights. */
export function spotAt(layout: LensLayout, x: number, y: number): Spot | null {
  const { left, cell, first, end, lines, before, after } = layout;
  const across = Math.floor((x - left) / cell);
  const position = first + across;
  const inside = across >= 0 && position < end;
  const line = lineAt(layout, y);
  if (y >= linesHeight(layout)) return null;
  if (before && x >= left - before && x < left) return { kind: "before" };
  if (after && across >= 0 && !inside && x < left + (end - first) * cell + after) return { kind: "after" };
  if (y < 0) return inside ? { kind: "position", position } : null;
  const { folded } = lines[line] as Line;
  if (across >= 0 && !inside) return null;
  if (folded) return { kind: "fold", line };
  return inside ? { kind: "cell", line, position } : { kind: "row", line };
}

/** Where a position's column begins. */
export const columnLeft = ({ left, cell, first }: Columns, position: number) =>
  left + (position - first) * cell;

/** The lines that are at least partly between two heights: from the first up to, without, the last. */
export function linesBetween({ tops, lines }: LensLayout, top: number, bottom: number): [number, number] {
  const first = tops.findIndex((_, at) => (tops[at + 1] ?? Number.POSITIVE_INFINITY) > top);
  const end = tops.findIndex((it) => it >= bottom);
  return [clamp(first, 0, lines.length), end < 0 ? lines.length : Math.min(end, lines.length)];
}
