// The heat map of a sweep as a display list: headings, rows of cells, columns out of view; and all of it for a paper.
import { mix, type Rgb } from "../lib/colour";
import type { Figure, Item } from "../lib/display-list";
import { times } from "../lib/geometry";
import {
  blank,
  columnStrips,
  dotItem,
  frameItems,
  hole,
  inBox,
  inkOn,
  lettersIn,
  moreOf,
  nameItem,
  SIZE,
  SMALL,
  tokenItems,
  typeOf,
} from "../lib/grid-items";
import { bare, shortLabel } from "../lib/labels";
import { ADVANCE, fitLabel, lettersOf } from "../lib/lens-labels";
import { columnLeft } from "../lib/lens-layout";
import { rowsHeight, type SweepLayout } from "../lib/sweep-layout";
import type { SweepPlace } from "../lib/sweep-places";
import { ESTIMATE, NONE, PENDING, SAME, type SweepTable } from "../lib/sweep-table";
import {
  colourOf,
  fitNumber,
  numberOf,
  type SweepScale,
  sideColour,
  ticksOf,
  viewLabel,
} from "../lib/sweep-values";
import { type HeadingLine, headingOf } from "../lib/sweep-words";
import type { Theme } from "../lib/theme";

export interface HeatmapLook {
  table: SweepTable;
  layout: SweepLayout;
  values: SweepScale;
  /** Numbers of the cells whose edit is among the live ones. */
  added: ReadonlySet<number>;
  theme: Theme;
  scale: number;
}

export const STOPS = 65;

const lineType = ({ theme }: HeatmapLook, { side }: HeadingLine) =>
  side && { fill: sideColour(theme, side), bold: true };

/** Letters between two tokens in one upright line. */
const GAP = 0.6;

const numberAt = (position: number | null | undefined) => (position == null ? "" : String(position));

/** Pixels that a heading takes in one line, long tokens shortened. */
export function headingWidth(
  lines: HeadingLine[],
  position: number | null | undefined,
  scale: number,
): number {
  const letters = lines.reduce((sum, { text }) => sum + lettersOf(shortLabel(bare(text), 12)) + GAP, -GAP);
  return (letters * SIZE + numberAt(position).length * SMALL) * ADVANCE * scale;
}

/** A token with its position, upright, in a column too narrow for a word: two tokens stand one after the other. */
function uprightItems(look: HeatmapLook, column: number, lines: HeadingLine[]): Item[] {
  const { table, layout, scale } = look;
  const x = columnLeft(layout, column) + layout.cell / 2;
  const number = numberAt(table.map.columns[column]?.position);
  const small = SMALL * scale;
  const advance = SIZE * scale * ADVANCE;
  let letters = (layout.top - 10 * scale - number.length * small * ADVANCE) / advance;
  let y = layout.top - 5 * scale;
  const items: Item[] = [];
  lines.forEach((line, at) => {
    // What comes after has its half of the room, or as much of it as it needs.
    const after = lines[at + 1];
    const kept = after ? GAP + Math.min(lettersOf(bare(after.text)), (letters - GAP) / 2) : 0;
    const text = fitLabel(line.text, Math.floor(letters - kept + 0.01));
    items.push({ ...typeOf(look), ...lineType(look, line), x, y, text, turn: -90 });
    letters -= lettersOf(text) + GAP;
    y -= (lettersOf(text) + (after ? GAP : 0)) * advance;
  });
  const last = lines.at(-1);
  if (number && last) {
    const own = { ...typeOf(look), ...lineType(look, last), size: small };
    items.push({ ...own, x: x + 3 * scale, y, text: number, turn: -90 });
  }
  return items;
}

/** The tokens or heads on top: where the prompts have two tokens, the clean one over the corrupted one. */
export function headings(look: HeatmapLook): Item[] {
  const { table, layout, scale } = look;
  const low = layout.top - 10 * scale;
  return times(layout.end - layout.first, (at) => layout.first + at).flatMap((column) => {
    const lines = headingOf(table.map, column);
    if (layout.turned) return uprightItems(look, column, lines);
    const [upper, lower] = lines.length > 1 ? lines : [null, lines[0]];
    const number = numberAt(table.map.columns[column]?.position);
    return [
      ...(upper ? tokenItems(look, column, low - 14 * scale, upper.text, "", lineType(look, upper)) : []),
      ...(lower ? tokenItems(look, column, low, lower.text, number, lineType(look, lower)) : []),
    ];
  });
}

/** A row of the map, `y` its top. */
export function rowItems(look: HeatmapLook, row: number, y: number): Item[] {
  const { table, layout } = look;
  const items: Item[] = [nameItem(look, y + layout.row / 2, `L${table.map.layers[row]}`)];
  for (let column = layout.first; column < layout.end; column++)
    items.push(...cellItems(look, { row, column }, columnLeft(layout, column), y));
  return items;
}

function cellItems(look: HeatmapLook, { row, column }: SweepPlace, x: number, y: number): Item[] {
  const { table, layout, values, theme, scale } = look;
  const { map } = table;
  const gap = layout.cell > 20 ? 1 : 0.5;
  const box = { x, y, width: layout.cell - gap, height: layout.row - gap };
  const cell = table.cell(row, column);
  const items: Item[] = [];
  if (cell.state === PENDING) items.push(blank(look, box));
  else {
    const none = cell.state === SAME || cell.state === NONE;
    const value = numberOf(map, cell, values.view);
    const colour = none ? null : colourOf(values, value, theme);
    if (!colour) {
      // Lines lie as far apart in wide cells as in narrow ones.
      const cols = Math.max(1, Math.round(box.width / (12 * scale)));
      items.push(hole(look, box, cell.state === SAME ? 0.28 : 0.6, cols));
    } else {
      const text = fitNumber(values, cell, value, lettersIn(box.width - 2, SIZE * scale));
      // Where there is no room for ~ an estimate is a smaller square.
      const inset = cell.state === ESTIMATE && !text ? Math.min(3 * scale, box.width / 5) : 0;
      const [width, height] = [box.width - 2 * inset, box.height - 2 * inset];
      items.push({ kind: "rect", x: x + inset, y: y + inset, width, height, fill: colour, radius: 2 });
      if (text) items.push(inBox(look, box, text, { fill: inkOn(colour) }));
    }
  }
  if (look.added.has(table.index(row, column))) items.push(dotItem(look, box, theme.accent));
  return items;
}

/** The strips that stand for columns out of view. */
export function strips(look: HeatmapLook, top: number, bottom: number): Item[] {
  const { background, muted } = look.theme;
  const heads = look.table.map.axis === "head";
  const words = (count: number) => moreOf(count, heads ? "head" : "token");
  const colours = { mark: typeOf(look).fill, stripe: mix(background, muted, 0.35) };
  return columnStrips(look, top, bottom, words, colours);
}

/** The colours from one end of the scale to the other. */
export const rampOf = (look: HeatmapLook): Rgb[] =>
  Array.from({ length: STOPS }, (_, at) => look.theme.diverging.colour(1 - (2 * at) / (STOPS - 1)));

/** "recovered, resid_pre patched into the corrupted run" */
export function mapTitle({ map }: SweepTable, view: SweepScale["view"]): string {
  const done = { patch: "patched into", zero: "zeroed in", mean: "set to its mean in" }[map.edit];
  const what = view === "raw" ? map.label : viewLabel(map, view);
  return `${what}: ${map.site} ${done} the ${map.base} run${map.on_top ? ", on top of the edits" : ""}`;
}

/** The whole map as a figure, the cell in focus framed, with the scale of its colours below. */
export function heatmapFigure(look: HeatmapLook, picked: SweepPlace | null): Figure {
  const { table, layout, values, theme, scale } = look;
  const items = headings(look);
  for (let row = 0; row < layout.rows; row++)
    items.push(...rowItems(look, row, layout.top + row * layout.row));
  const bottom = layout.top + rowsHeight(layout);
  items.push(...strips(look, layout.top, bottom));
  if (picked) items.push(...frameItems(look, picked.column, layout.top + picked.row * layout.row));
  const type = typeOf(look);
  const y = bottom + 14 * scale;
  const long = 220 * scale;
  const rgba = new Uint8ClampedArray(rampOf(look).flatMap((colour) => [...colour, 255]));
  const ramp = {
    x: layout.left,
    y: y - 4,
    width: long,
    height: 8,
    rows: 1,
    cols: STOPS,
    rgba,
    hatch: theme.line,
  };
  items.push({ kind: "cells", ...ramp });
  for (const { share, text } of ticksOf(values))
    items.push({ ...type, x: layout.left + share * long, y: y + 12 * scale, text, align: "middle" });
  items.push({ ...type, x: layout.left, y: y + 28 * scale, text: mapTitle(table, values.view) });
  const words = layout.left + mapTitle(table, values.view).length * type.size * ADVANCE;
  const width = Math.max(layout.width, layout.left + long + 24 * scale, words + 8);
  return { width, height: y + 40 * scale, background: theme.background, items };
}
