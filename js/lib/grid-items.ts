// What grids of layers by columns draw alike, as items of a display list: names of rows, tokens with their positions,
// folded rows, marks in cells, columns out of view.
import { mix, parseColour, type Rgb, textOn } from "./colour";
import type { Item } from "./display-list";
import { amber } from "./lens-colours";
import { ADVANCE, fitLabel, lettersOf } from "./lens-labels";
import { type Columns, columnLeft, type LensLayout } from "./lens-layout";
import type { Theme } from "./theme";

/** What is drawn: where the columns are, in which colours and how large. */
export interface GridLike {
  layout: Columns & Pick<LensLayout, "gutter" | "row">;
  theme: Theme;
  scale: number;
}
export interface Box {
  x: number;
  y: number;
  width: number;
  height: number;
}

export const SIZE = 11;
/** Of the number of a position, beside its token. */
export const SMALL = 7.5;

export const typeOf = ({ theme, scale }: Pick<GridLike, "theme" | "scale">) =>
  ({ kind: "text", fill: theme.muted, size: SIZE * scale, font: theme.mono }) as const;
type Type = Partial<Extract<Item, { kind: "text" }>>;

export const lettersIn = (width: number, size: number) => Math.max(1, Math.floor(width / (size * ADVANCE)));

/** The name of a row, in the middle of its height. */
export const nameItem = (look: GridLike, y: number, text: string, own?: Type): Item => {
  return { ...typeOf(look), x: look.layout.gutter - 5 * look.scale, y, text, align: "end", ...own };
};

/** A token over its column, its position behind it, small. */
export function tokenItems(
  look: GridLike,
  column: number,
  y: number,
  label: string,
  number: string,
  own?: Type,
): Item[] {
  const { layout, scale } = look;
  const type = { ...typeOf(look), ...own };
  const size = SMALL * scale;
  const after = number.length * size * ADVANCE;
  const text = fitLabel(label, lettersIn(layout.cell - 1 - after, type.size));
  const taken = lettersOf(text) * type.size * ADVANCE;
  const x = columnLeft(layout, column) + (layout.cell - taken - after) / 2;
  const items: Item[] = [{ ...type, x, y, text }];
  if (number) items.push({ ...type, x: x + taken, y: y + 4 * scale, text: number, size });
  return items;
}

/** The strip that stands for folded rows, across all columns in view, `y` its top. */
export function foldItems(look: GridLike, y: number, height: number, text: string): Item[] {
  const { left, first, end, cell } = look.layout;
  const { mark, stripe } = amber(look.theme);
  const middle = y + height / 2;
  return [
    striped(look, [left, middle], [left + (end - first) * cell - 1, middle], height - 1, stripe),
    nameItem(look, middle, text, { fill: mark }),
  ];
}

function striped(
  { scale }: Pick<GridLike, "scale">,
  from: readonly [number, number],
  to: readonly [number, number],
  line: number,
  stroke: Rgb,
): Item {
  return { kind: "path", points: [from, to], stroke, line, dash: [8 * scale, 8 * scale] };
}

/** Text in the middle of a box. */
export const inBox = (look: GridLike, { x, y, width, height }: Box, text: string, own?: Type): Item => {
  return { ...typeOf(look), x: x + width / 2, y: y + height / 2, text, align: "middle", ...own };
};

/** The ink that is read on a colour. */
export const inkOn = (colour: Rgb) => parseColour(textOn(colour)) as Rgb;

const HOLES: Uint8ClampedArray<ArrayBuffer>[] = [];
/** A box without a number, hatched with so much of the ink; lines lie as far apart in `cols` parts as in one. */
export function hole({ theme }: GridLike, box: Box, ink: number, cols = 1): Item {
  HOLES[cols] ??= new Uint8ClampedArray(4 * cols);
  const hatch = mix(theme.background, theme.muted, ink);
  return { kind: "cells", ...box, rows: 1, cols, rgba: HOLES[cols], hatch };
}

/** A box whose cell is still to come, or has none. */
export const blank = ({ theme }: GridLike, box: Box): Item => {
  return { kind: "rect", ...box, fill: theme.future, radius: 2 };
};

/** The same with a sign that nothing is known there. */
export const unknownItems = (look: GridLike, box: Box): Item[] => [blank(look, box), inBox(look, box, "·")];

/** A dot in the upper corner of a box. */
export function dotItem({ theme, scale }: GridLike, { x, y, width }: Box, fill: Rgb): Item {
  const size = 5 * scale;
  const place = { x: x + width - size - 1, y: y + 1.5, width: size, height: size, radius: size / 2 };
  return { kind: "rect", ...place, fill, stroke: theme.background, line: 0.75 };
}

/** The frame round a cell in a figure, `y` its top; nothing where its column is out of view. */
export function frameItems({ layout, theme }: GridLike, column: number, y: number): Item[] {
  const { first, end, cell, row } = layout;
  if (column < first || column >= end) return [];
  const box = { x: columnLeft(layout, column) - 1, y: y - 1, width: cell + 1, height: row + 1 };
  return [{ kind: "rect", ...box, stroke: theme.accent, line: 2, radius: 2 }];
}

/** "3 more tokens": so many are out of view. */
export const moreOf = (count: number, what = "token") => `${count} more ${what}${count === 1 ? "" : "s"}`;

/** The strips that stand for columns out of view, from `top` to `bottom`, each with how many there are. */
export function columnStrips(
  look: GridLike,
  top: number,
  bottom: number,
  words: (count: number) => string = moreOf,
  { mark: fill, stripe }: { mark: Rgb; stripe: Rgb } = amber(look.theme),
): Item[] {
  const { theme, scale } = look;
  const size = 10 * scale;
  const strip = (left: number, width: number, count: number): Item[] => {
    if (!width) return [];
    const x = left + width / 2 - 0.5;
    const y = (top + bottom) / 2;
    const text = bottom - top > words(count).length * size * ADVANCE + 12 ? words(count) : String(count);
    const length = text.length * size * ADVANCE + 8;
    const plate = { x: left + 1, width: width - 3, y: y - length / 2, height: length, radius: 2 };
    return [
      striped(look, [x, top], [x, bottom - 1], width - 3, stripe),
      { kind: "rect", ...plate, fill: theme.background },
      { kind: "text", fill, size, font: theme.mono, x, y, text, align: "middle", turn: -90 },
    ];
  };
  const { left, first, end, cell, before, after, positions } = look.layout;
  return [
    ...strip(left - before, before, first),
    ...strip(left + (end - first) * cell + 1, after, positions - end),
  ];
}
