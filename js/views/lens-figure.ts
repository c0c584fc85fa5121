// The lens table as a display list: headings, lines of cells, folded rows, positions out of view; and all of it for a paper.
import { mix, type Rgb } from "../lib/colour";
import type { Figure, Item } from "../lib/display-list";
import { times } from "../lib/geometry";
import {
  columnStrips,
  dotItem,
  foldItems,
  frameItems,
  hole,
  inBox,
  inkOn,
  lettersIn,
  nameItem,
  SIZE,
  tokenItems,
  typeOf,
  unknownItems,
} from "../lib/grid-items";
import type { Lens, LensCell, LensRow } from "../lib/lens-cells";
import { amber, cellColour, rampColour, scaleEnds } from "../lib/lens-colours";
import { ADVANCE, fitLabel } from "../lib/lens-labels";
import { columnLeft, type LensLayout, type Line, linesHeight } from "../lib/lens-layout";
import type { Theme } from "../lib/theme";

export interface LensLook {
  lens: Lens;
  layout: LensLayout;
  /** Labels of the prompt's tokens. */
  labels: readonly string[];
  /** The position that the answer comes after. */
  answer: number;
  theme: Theme;
  scale: number;
  /** The colour of a pinned token; null of any other. */
  pinned(id: number): Rgb | null;
}

/** The tokens on top, each with its position. */
export function headings(look: LensLook): Item[] {
  const { layout, labels, answer, theme, scale } = look;
  const y = layout.top - 10 * scale;
  return times(layout.end - layout.first, (at) => layout.first + at).flatMap((position) =>
    tokenItems(
      look,
      position,
      y,
      labels[position] ?? "?",
      String(position),
      position === answer ? { bold: true, fill: theme.text } : {},
    ),
  );
}

/** "L4–L6"; whole layers go by their number, whatever rows they have. */
export function foldName({ rows }: Lens, { first, last }: Line): string {
  const whole = rows[first]?.layer !== rows[first - 1]?.layer || rows[first - 1]?.site === "resid_pre";
  const from = whole && rows[last]?.site === "resid_post" ? `L${rows[first]?.layer}` : rows[first]?.label;
  return [...new Set([from, rows[last]?.label])].join("–");
}

/** A line of the table, `y` its top. */
export function lineItems(look: LensLook, line: Line, y: number): Item[] {
  const { lens, layout } = look;
  if (line.folded) return foldItems(look, y, layout.fold, foldName(lens, line));
  const row = lens.rows[line.first] as LensRow;
  const items: Item[] = [nameItem(look, y + layout.row / 2, row.label)];
  for (let position = layout.first; position < layout.end; position++)
    items.push(...cellItems(look, { row: line.first, position }, columnLeft(layout, position), y));
  return items;
}

function cellItems(look: LensLook, cell: LensCell, x: number, y: number): Item[] {
  const { lens, layout, theme, scale } = look;
  // What a part adds is drawn lower than what the stream says.
  const inset = lens.rows[cell.row]?.kind === "contribution" ? 2 * scale : 0;
  const box = { x, y: y + inset, width: layout.cell - 1, height: layout.row - 1 - 2 * inset };
  if (!lens.cells.has(cell)) return unknownItems(look, box);
  const colour = cellColour(lens, cell, theme);
  const items: Item[] = [colour ? { kind: "rect", ...box, fill: colour, radius: 2 } : hole(look, box, 0.5)];
  const [top] = lens.cells.top(cell);
  if (top && top.id >= 0) {
    const fill = colour ? inkOn(colour) : theme.text;
    const label = fitLabel(lens.tokens.get(top.id) ?? `#${top.id}`, lettersIn(box.width - 3, SIZE * scale));
    items.push(inBox(look, box, label, { fill }));
    const pin = look.pinned(top.id);
    if (pin) {
      const height = 2 * scale;
      const mark = { height, width: box.width - 10, x: x + 5, y: box.y + box.height - height - 1 };
      items.push({ kind: "rect", ...mark, fill: mix(pin, fill, 0.3), radius: 1 });
    }
  }
  if (lens.cells.changed(cell)) items.push(dotItem(look, box, amber(theme).dot));
  return items;
}

/** The whole table as a figure, the cell in focus framed, with the scale of its colours below. */
export function lensFigure(look: LensLook, picked: LensCell | null): Figure {
  const { lens, layout, theme, scale } = look;
  const { top, lines, tops } = layout;
  const items = headings(look);
  for (const [at, line] of lines.entries()) items.push(...lineItems(look, line, top + (tops[at] as number)));
  const bottom = top + linesHeight(layout);
  items.push(...columnStrips(look, top, bottom));
  const at = picked ? lines.findIndex((line) => !line.folded && line.first === picked.row) : -1;
  if (picked && at >= 0) items.push(...frameItems(look, picked.position, top + (tops[at] as number)));
  const type = typeOf(look);
  const y = bottom + 16 * scale;
  const [low, high] = scaleEnds(lens);
  const start = layout.left + low.length * type.size * ADVANCE + 6;
  const rgba = new Uint8ClampedArray(
    Array.from({ length: 64 }, (_, at) => [...rampColour(lens, theme, at / 63), 255]).flat(),
  );
  const ramp = { x: start, y: y - 4, width: 64, height: 8, rows: 1, cols: 64, rgba, hatch: theme.line };
  items.push(
    { ...type, x: layout.left, y, text: low },
    { kind: "cells", ...ramp },
    { ...type, x: start + 70, y, text: high },
  );
  return { width: layout.width, height: y + 10 * scale, background: theme.background, items };
}
