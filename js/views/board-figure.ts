// A grid of the board as a display list: tokens or heads on top, layers down; of the patched run what cannot change is
// faded and what did is marked.
import type { Board, GridCells, GridName } from "../lib/board-cells";
import { runColour } from "../lib/board-colours";
import { mix, parseColour, type Rgb, textOn } from "../lib/colour";
import type { Figure, Item } from "../lib/display-list";
import { clamp } from "../lib/geometry";
import { amber } from "../lib/lens-colours";
import { ADVANCE, fitLabel, lettersOf } from "../lib/lens-labels";
import { columnLeft, type LensLayout, type Line, linesHeight } from "../lib/lens-layout";
import { EXACT, type SweepCell } from "../lib/sweep-table";
import type { Theme } from "../lib/theme";
import { columnStrips } from "./lens-figure";

export interface GridLook {
  board: Board;
  name: GridName;
  cells: GridCells;
  layout: LensLayout;
  /** What stands over the columns: tokens of the prompt, or heads. */
  labels: readonly string[];
  /** Columns whose heading is coloured: their tokens differ from the other prompt's. */
  differs: ReadonlySet<number>;
  /** The column that the answer comes after; -1 for none. */
  answer: number;
  rowName(row: number): string;
  /** Of heads: what the map knows of one in a row, null nothing; absent where columns are positions. */
  head?: (row: number, column: number) => SweepCell | null;
  theme: Theme;
  scale: number;
}

const SIZE = 11;
const HOLE = new Uint8ClampedArray(4);
const FADED = 0.72;

const typeOf = ({ theme, scale }: GridLook) =>
  ({ kind: "text", fill: theme.muted, size: SIZE * scale, font: theme.mono }) as const;
const lettersIn = (width: number, size: number) => Math.floor(width / (size * ADVANCE));

/** What stands on top: each token with its position below it, or heads. */
export function headings(look: GridLook): Item[] {
  const { layout, labels, differs, answer, theme, scale, name, head } = look;
  const type = typeOf(look);
  const small = 7.5 * scale;
  const y = layout.top - 10 * scale;
  const items: Item[] = [];
  for (let column = layout.first; column < layout.end; column++) {
    const number = head ? "" : String(column);
    const room = layout.cell - 1 - number.length * small * ADVANCE;
    const text = fitLabel(labels[column] ?? "?", Math.max(1, lettersIn(room, type.size)));
    const taken = lettersOf(text) * type.size * ADVANCE;
    const x = columnLeft(layout, column) + (layout.cell - taken - number.length * small * ADVANCE) / 2;
    const side = name === "edited" ? look.board.base : name;
    const fill = differs.has(column) ? runColour(theme, side) : column === answer ? theme.text : theme.muted;
    const own = { ...type, fill, bold: differs.has(column) || column === answer };
    items.push({ ...own, x, y, text });
    if (number) items.push({ ...own, x: x + taken, y: y + 4 * scale, text: number, size: small });
  }
  return items;
}

/** "L4–L6" for rows that are folded. */
export const foldName = (look: Pick<GridLook, "rowName">, { first, last }: Line) =>
  [...new Set([look.rowName(first), look.rowName(last)])].join("–");

/** A line of the grid, `y` its top. */
export function lineItems(look: GridLook, line: Line, y: number): Item[] {
  const { layout, theme, scale } = look;
  const type = typeOf(look);
  const name = { ...type, x: layout.gutter - 5 * scale, align: "end" } as const;
  if (line.folded) {
    const { mark, stripe } = amber(theme);
    const middle = y + layout.fold / 2;
    const { left, first, end, cell } = layout;
    const points = [
      [left, middle],
      [left + (end - first) * cell - 1, middle],
    ] as const;
    const dash = [8, 8].map((it) => it * scale);
    return [
      { kind: "path", points, stroke: stripe, line: layout.fold - 1, dash },
      { ...name, y: middle, text: foldName(look, line), fill: mark },
    ];
  }
  const items: Item[] = [{ ...name, y: y + layout.row / 2, text: look.rowName(line.first) }];
  for (let column = layout.first; column < layout.end; column++) {
    const x = columnLeft(layout, column);
    items.push(...(look.head ? headItems : cellItems)(look, line.first, column, x, y));
  }
  return items;
}

const boxOf = ({ layout }: GridLook, x: number, y: number) => ({
  x,
  y,
  width: layout.cell - 1,
  height: layout.row - 1,
});

function cellItems(look: GridLook, row: number, column: number, x: number, y: number): Item[] {
  const { cells, theme, scale, name } = look;
  const type = typeOf(look);
  const box = boxOf(look, x, y);
  const text = { ...type, x: x + box.width / 2, y: y + box.height / 2, align: "middle" } as const;
  if (!cells.has(row, column))
    return [
      { kind: "rect", ...box, fill: theme.future, radius: 2 },
      { ...text, text: "·" },
    ];
  const top = cells.top(row, column);
  const value = top?.value ?? Number.NaN;
  if (!top || top.id < 0 || !Number.isFinite(value))
    return [
      { kind: "cells", ...box, rows: 1, cols: 1, rgba: HOLE, hatch: mix(theme.background, theme.muted, 0.5) },
    ];
  const faded = name === "edited" && !cells.canChange(row, column);
  const colour = theme.sequential.colour(value);
  const fill = faded ? mix(colour, theme.background, FADED) : colour;
  const ink = parseColour(textOn(fill)) as Rgb;
  const label = fitLabel(look.board.tokens.get(top.id) ?? `#${top.id}`, lettersIn(box.width - 3, type.size));
  const items: Item[] = [
    { kind: "rect", ...box, fill, radius: 2 },
    { ...text, text: label, fill: faded ? mix(ink, fill, 0.5) : ink },
  ];
  if (name === "edited" && cells.changed(row, column)) {
    const size = 5 * scale;
    const dot = { x: x + box.width - size - 1, y: y + 1.5, width: size, height: size, radius: size / 2 };
    items.push({ kind: "rect", ...dot, fill: amber(theme).dot, stroke: theme.background, line: 0.75 });
  }
  return items;
}

/** A head: how much of the answer it brings back, where the map knows that. */
function headItems(look: GridLook, row: number, column: number, x: number, y: number): Item[] {
  const { theme, scale } = look;
  const type = typeOf(look);
  const box = boxOf(look, x, y);
  const cell = look.head?.(row, column);
  const known = cell && Number.isFinite(cell.recovered);
  const fill = known ? theme.diverging.colour(clamp(cell.recovered, -1, 1)) : theme.future;
  const items: Item[] = [{ kind: "rect", ...box, fill, radius: 2 }];
  const words = known ? headText(cell) : "·";
  if (lettersIn(box.width - 2, type.size) < words.length) return items;
  const ink = known ? (parseColour(textOn(fill)) as Rgb) : theme.muted;
  const at = { x: x + box.width / 2, y: y + box.height / 2 };
  items.push({ ...type, ...at, align: "middle", text: words, fill: ink, size: 10 * scale });
  return items;
}

/** "0.74", or "~0.7" of an estimate. */
export function headText({ recovered, state }: SweepCell): string {
  const number = recovered.toFixed(state < EXACT ? 1 : 2).replace("-", "−");
  return state < EXACT ? `~${number}` : number;
}

/** "3 more tokens" */
export const moreColumns = (look: Pick<GridLook, "head">, count: number) =>
  `${count} more ${look.head ? "head" : "token"}${count === 1 ? "" : "s"}`;

/** The strips that stand for columns out of view. */
export const strips = (look: GridLook, top: number, bottom: number): Item[] =>
  columnStrips(look, top, bottom, (count) => moreColumns(look, count), amber(look.theme));

/** The whole grid as a figure under its title. */
export function gridFigure(look: GridLook, title: string): Figure {
  const { layout, theme, scale, name } = look;
  const { top, lines, tops, width } = layout;
  const type = typeOf(look);
  const above = 20 * scale;
  const own = { ...type, size: 12 * scale, font: theme.font, bold: true };
  const under: Item[] = headings(look);
  for (const [at, line] of lines.entries()) under.push(...lineItems(look, line, top + (tops[at] as number)));
  const bottom = top + linesHeight(layout);
  under.push(...strips(look, top, bottom));
  const items = [
    {
      ...own,
      x: 0,
      y: above / 2,
      text: title,
      fill: name === "edited" ? theme.text : runColour(theme, name),
    },
    ...shifted(under, 0, above),
  ];
  return { width, height: above + bottom + 2, background: theme.background, items };
}

/** Items moved by so much. */
export const shifted = (items: readonly Item[], dx: number, dy: number): Item[] =>
  items.map((item) =>
    item.kind === "path"
      ? { ...item, points: item.points.map(([x, y]) => [x + dx, y + dy] as const) }
      : { ...item, x: item.x + dx, y: item.y + dy },
  );
