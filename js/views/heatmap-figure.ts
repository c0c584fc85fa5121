// The heat map of a sweep as a display list: headings, rows of cells, columns out of view; and all of it for a paper.
import { mix, parseColour, type Rgb, textOn } from "../lib/colour";
import type { Figure, Item } from "../lib/display-list";
import { times } from "../lib/geometry";
import { bare, shortLabel } from "../lib/labels";
import { ADVANCE, fitLabel, lettersOf } from "../lib/lens-labels";
import { cellLeft, rowsHeight, type SweepLayout } from "../lib/sweep-layout";
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
import { columnStrips, moreTokens } from "./lens-figure";

export interface HeatmapLook {
  table: SweepTable;
  layout: SweepLayout;
  values: SweepScale;
  /** Numbers of the cells whose edit is among the live ones. */
  added: ReadonlySet<number>;
  theme: Theme;
  scale: number;
}

const SIZE = 11;
const HOLES: Uint8ClampedArray<ArrayBuffer>[] = [];
/** So many cells without a number, which figures hatch. */
function holes(count: number): Uint8ClampedArray<ArrayBuffer> {
  HOLES[count] ??= new Uint8ClampedArray(4 * count);
  return HOLES[count];
}
export const STOPS = 65;

const typeOf = ({ theme, scale }: HeatmapLook) =>
  ({ kind: "text", fill: theme.muted, size: SIZE * scale, font: theme.mono }) as const;
const lineType = (look: HeatmapLook, { side }: HeadingLine) => ({
  ...typeOf(look),
  ...(side && { fill: sideColour(look.theme, side), bold: true }),
});
const lettersIn = (width: number, size: number) => Math.max(1, Math.floor(width / (size * ADVANCE)));

/** Of the number of a position, beside its token. */
const SMALL = 7.5;
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

/** A token with its position behind it, small. */
function tokenItems(look: HeatmapLook, column: number, line: HeadingLine, y: number): Item[] {
  const { table, layout, scale } = look;
  const type = lineType(look, line);
  const number = numberAt(table.map.columns[column]?.position);
  const small = SMALL * scale;
  const text = fitLabel(line.text, lettersIn(layout.cell - 1 - number.length * small * ADVANCE, type.size));
  const taken = lettersOf(text) * type.size * ADVANCE;
  const x = cellLeft(layout, column) + (layout.cell - taken - number.length * small * ADVANCE) / 2;
  const items: Item[] = [{ ...type, x, y, text }];
  if (number) items.push({ ...type, x: x + taken, y: y + 4 * scale, text: number, size: small });
  return items;
}

/** The same upright, in a column too narrow for a word: two tokens stand one after the other. */
function uprightItems(look: HeatmapLook, column: number, lines: HeadingLine[]): Item[] {
  const { table, layout, scale } = look;
  const x = cellLeft(layout, column) + layout.cell / 2;
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
    items.push({ ...lineType(look, line), x, y, text, turn: -90 });
    letters -= lettersOf(text) + GAP;
    y -= (lettersOf(text) + (after ? GAP : 0)) * advance;
  });
  const last = lines.at(-1);
  if (number && last)
    items.push({ ...lineType(look, last), x: x + 3 * scale, y, text: number, size: small, turn: -90 });
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
    const items = lower ? tokenItems(look, column, lower, low) : [];
    if (!upper) return items;
    const type = lineType(look, upper);
    const x = cellLeft(layout, column) + layout.cell / 2;
    const text = fitLabel(upper.text, lettersIn(layout.cell - 1, type.size));
    return [{ ...type, align: "middle", x, y: low - 14 * scale, text }, ...items];
  });
}

/** A row of the map, `y` its top. */
export function rowItems(look: HeatmapLook, row: number, y: number): Item[] {
  const { table, layout, scale } = look;
  const name = { ...typeOf(look), x: layout.gutter - 5 * scale, align: "end" } as const;
  const items: Item[] = [{ ...name, y: y + layout.row / 2, text: `L${table.map.layers[row]}` }];
  for (let column = layout.first; column < layout.end; column++)
    items.push(...cellItems(look, { row, column }, cellLeft(layout, column), y));
  return items;
}

function cellItems(look: HeatmapLook, { row, column }: SweepPlace, x: number, y: number): Item[] {
  const { table, layout, values, theme, scale } = look;
  const { map } = table;
  const gap = layout.cell > 20 ? 1 : 0.5;
  const box = { x, y, width: layout.cell - gap, height: layout.row - gap };
  const cell = table.cell(row, column);
  const items: Item[] = [];
  if (cell.state === PENDING) items.push({ kind: "rect", ...box, fill: theme.future, radius: 2 });
  else {
    const none = cell.state === SAME || cell.state === NONE;
    const value = numberOf(map, cell, values.view);
    const colour = none ? null : colourOf(values, value, theme);
    if (!colour) {
      const hatch = mix(theme.background, theme.muted, cell.state === SAME ? 0.28 : 0.6);
      // Lines lie as far apart in wide cells as in narrow ones.
      const cols = Math.max(1, Math.round(box.width / (12 * scale)));
      items.push({ kind: "cells", ...box, rows: 1, cols, rgba: holes(cols), hatch });
    } else {
      const type = typeOf(look);
      const text = fitNumber(values, cell, value, lettersIn(box.width - 2, type.size));
      // Where there is no room for ~ an estimate is a smaller square.
      const inset = cell.state === ESTIMATE && !text ? Math.min(3 * scale, box.width / 5) : 0;
      const [width, height] = [box.width - 2 * inset, box.height - 2 * inset];
      items.push({ kind: "rect", x: x + inset, y: y + inset, width, height, fill: colour, radius: 2 });
      if (text) {
        const fill = parseColour(textOn(colour)) as Rgb;
        items.push({ ...type, fill, x: x + box.width / 2, y: y + box.height / 2, text, align: "middle" });
      }
    }
  }
  if (look.added.has(table.index(row, column))) {
    const size = 5 * scale;
    const dot = { x: x + box.width - size - 1, y: y + 1.5, width: size, height: size, radius: size / 2 };
    items.push({ kind: "rect", ...dot, fill: theme.accent, stroke: theme.background, line: 1 });
  }
  return items;
}

/** The strips that stand for columns out of view. */
export function strips(look: HeatmapLook, top: number, bottom: number): Item[] {
  const { background, muted } = look.theme;
  const heads = look.table.map.axis === "head";
  const words = (count: number) => (heads ? `${count} more heads` : moreTokens(count));
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
  if (picked && picked.column >= layout.first && picked.column < layout.end)
    items.push({
      kind: "rect",
      x: cellLeft(layout, picked.column) - 1,
      y: layout.top + picked.row * layout.row - 1,
      width: layout.cell + 1,
      height: layout.row + 1,
      stroke: theme.accent,
      line: 2,
      radius: 2,
    });
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
