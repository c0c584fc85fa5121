// A grid of the board as a display list: tokens or heads on top, layers down; of the patched run what cannot change is
// faded and what did is marked.
import type { Board, GridCells, GridName } from "../lib/board-cells";
import { runColour } from "../lib/board-colours";
import { mix } from "../lib/colour";
import { type Figure, type Item, shifted } from "../lib/display-list";
import { clamp, times } from "../lib/geometry";
import {
  type Box,
  columnStrips,
  dotItem,
  foldItems,
  hole,
  inBox,
  inkOn,
  lettersIn,
  moreOf,
  nameItem,
  SIZE,
  tokenItems,
  typeOf,
  unknownItems,
} from "../lib/grid-items";
import { amber } from "../lib/lens-colours";
import { fitLabel } from "../lib/lens-labels";
import { columnLeft, type LensLayout, type Line, linesHeight } from "../lib/lens-layout";
import { EXACT, type SweepCell } from "../lib/sweep-table";
import type { Theme } from "../lib/theme";

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

const FADED = 0.72;

/** What stands on top: each token with its position below it, or heads. */
export function headings(look: GridLook): Item[] {
  const { layout, labels, differs, answer, theme, scale, name, head } = look;
  const side = name === "edited" ? look.board.base : name;
  return times(layout.end - layout.first, (at) => layout.first + at).flatMap((column) => {
    const differ = differs.has(column);
    const answers = column === answer;
    const fill = differ ? runColour(theme, side) : answers ? theme.text : theme.muted;
    const own = { fill, bold: differ || answers };
    return tokenItems(
      look,
      column,
      layout.top - 10 * scale,
      labels[column] ?? "?",
      head ? "" : String(column),
      own,
    );
  });
}

/** "L4–L6" for rows that are folded. */
export const foldName = (look: Pick<GridLook, "rowName">, { first, last }: Line) =>
  [...new Set([look.rowName(first), look.rowName(last)])].join("–");

/** A line of the grid, `y` its top. */
export function lineItems(look: GridLook, line: Line, y: number): Item[] {
  const { layout } = look;
  if (line.folded) return foldItems(look, y, layout.fold, foldName(look, line));
  const items: Item[] = [nameItem(look, y + layout.row / 2, look.rowName(line.first))];
  const size = { width: layout.cell - 1, height: layout.row - 1 };
  const draw = look.head ? headItems : cellItems;
  for (let column = layout.first; column < layout.end; column++)
    items.push(...draw(look, line.first, column, { x: columnLeft(layout, column), y, ...size }));
  return items;
}

function cellItems(look: GridLook, row: number, column: number, box: Box): Item[] {
  const { cells, theme, scale, name } = look;
  if (!cells.has(row, column)) return unknownItems(look, box);
  const top = cells.top(row, column);
  const value = top?.value ?? Number.NaN;
  if (!top || top.id < 0 || !Number.isFinite(value)) return [hole(look, box, 0.5)];
  const faded = name === "edited" && !cells.canChange(row, column);
  const colour = theme.sequential.colour(value);
  const fill = faded ? mix(colour, theme.background, FADED) : colour;
  const ink = inkOn(fill);
  const label = fitLabel(
    look.board.tokens.get(top.id) ?? `#${top.id}`,
    lettersIn(box.width - 3, SIZE * scale),
  );
  const items: Item[] = [
    { kind: "rect", ...box, fill, radius: 2 },
    inBox(look, box, label, { fill: faded ? mix(ink, fill, 0.5) : ink }),
  ];
  if (name === "edited" && cells.changed(row, column)) items.push(dotItem(look, box, amber(theme).dot));
  return items;
}

/** A head: how much of the answer it brings back, where the map knows that. */
function headItems(look: GridLook, row: number, column: number, box: Box): Item[] {
  const { theme, scale } = look;
  const cell = look.head?.(row, column);
  if (!cell || !Number.isFinite(cell.recovered)) return unknownItems(look, box);
  const fill = theme.diverging.colour(clamp(cell.recovered, -1, 1));
  const items: Item[] = [{ kind: "rect", ...box, fill, radius: 2 }];
  const words = headText(cell);
  if (words.length <= lettersIn(box.width - 2, SIZE * scale))
    items.push(inBox(look, box, words, { fill: inkOn(fill), size: 10 * scale }));
  return items;
}

/** "0.74", or "~0.7" of an estimate. */
export function headText({ recovered, state }: SweepCell): string {
  const number = recovered.toFixed(state < EXACT ? 1 : 2).replace("-", "−");
  return state < EXACT ? `~${number}` : number;
}

/** "3 more tokens" */
export const moreColumns = (look: Pick<GridLook, "head">, count: number) =>
  moreOf(count, look.head ? "head" : "token");

/** The strips that stand for columns out of view. */
export const strips = (look: GridLook, top: number, bottom: number): Item[] =>
  columnStrips(look, top, bottom, (count) => moreColumns(look, count));

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
