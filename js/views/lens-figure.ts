// The lens table as a display list: headings, lines of cells, folded rows, positions out of view; and all of it for a paper.
import { mix, parseColour, type Rgb, textOn } from "../lib/colour";
import type { Figure, Item } from "../lib/display-list";
import type { Lens, LensCell, LensRow } from "../lib/lens-cells";
import { amber, cellColour, rampColour, scaleEnds } from "../lib/lens-colours";
import { ADVANCE, fitLabel, lettersOf } from "../lib/lens-labels";
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

const SIZE = 11;
/** One cell without a number, which figures hatch. */
const HOLE = new Uint8ClampedArray(4);

const typeOf = ({ theme, scale }: LensLook) =>
  ({ kind: "text", fill: theme.muted, size: SIZE * scale, font: theme.mono }) as const;
const lettersIn = (width: number, size: number) => Math.floor(width / (size * ADVANCE));

/** The tokens on top, each with its position. */
export function headings(look: LensLook): Item[] {
  const { layout, labels, answer, theme, scale } = look;
  const type = typeOf(look);
  const small = 7.5 * scale;
  const y = layout.top - 10 * scale;
  const items: Item[] = [];
  for (let position = layout.first; position < layout.end; position++) {
    const number = String(position);
    const room = layout.cell - 1 - number.length * small * ADVANCE;
    const text = fitLabel(labels[position] ?? "?", Math.max(1, lettersIn(room, type.size)));
    const taken = lettersOf(text) * type.size * ADVANCE;
    const width = taken + number.length * small * ADVANCE;
    const x = columnLeft(layout, position) + (layout.cell - width) / 2;
    const own = { ...type, ...(position === answer && { bold: true, fill: theme.text }) };
    const beside = x + taken;
    items.push({ ...own, x, y, text }, { ...own, x: beside, y: y + 4 * scale, text: number, size: small });
  }
  return items;
}

/** "L4–L6"; whole layers go by their number, whatever rows they have. */
export function foldName({ rows }: Lens, { first, last }: Line): string {
  const whole = rows[first]?.layer !== rows[first - 1]?.layer || rows[first - 1]?.site === "resid_pre";
  const from = whole && rows[last]?.site === "resid_post" ? `L${rows[first]?.layer}` : rows[first]?.label;
  return [...new Set([from, rows[last]?.label])].join("–");
}

/** A line of the table, `y` its top. */
export function lineItems(look: LensLook, line: Line, y: number): Item[] {
  const { lens, layout, theme, scale } = look;
  const type = typeOf(look);
  const { left, first, end, cell } = layout;
  const name = { ...type, x: layout.gutter - 5 * scale, align: "end" } as const;
  if (line.folded) {
    const { mark, stripe } = amber(theme);
    const height = layout.fold;
    const middle = y + height / 2;
    const points = [
      [left, middle],
      [left + (end - first) * cell - 1, middle],
    ] as const;
    const dash = [8, 8].map((it) => it * scale);
    return [
      { kind: "path", points, stroke: stripe, line: height - 1, dash },
      { ...name, y: middle, text: foldName(lens, line), fill: mark },
    ];
  }
  const row = lens.rows[line.first] as LensRow;
  const items: Item[] = [{ ...name, y: y + layout.row / 2, text: row.label }];
  for (let position = first; position < end; position++)
    items.push(...cellItems(look, { row: line.first, position }, columnLeft(layout, position), y));
  return items;
}

function cellItems(look: LensLook, cell: LensCell, x: number, y: number): Item[] {
  const { lens, layout, theme, scale } = look;
  const type = typeOf(look);
  // What a part adds is drawn lower than what the stream says.
  const inset = lens.rows[cell.row]?.kind === "contribution" ? 2 * scale : 0;
  const box = { x, y: y + inset, width: layout.cell - 1, height: layout.row - 1 - 2 * inset };
  const text = { ...type, x: x + box.width / 2, y: box.y + box.height / 2, align: "middle" } as const;
  if (!lens.cells.has(cell))
    return [
      { kind: "rect", ...box, fill: theme.future, radius: 2 },
      { ...text, text: "·" },
    ];
  const colour = cellColour(lens, cell, theme);
  const hatch = mix(theme.background, theme.muted, 0.5);
  const items: Item[] = colour
    ? [{ kind: "rect", ...box, fill: colour, radius: 2 }]
    : [{ kind: "cells", ...box, rows: 1, cols: 1, rgba: HOLE, hatch }];
  const [top] = lens.cells.top(cell);
  if (top && top.id >= 0) {
    const fill = colour ? (parseColour(textOn(colour)) as Rgb) : theme.text;
    const label = fitLabel(lens.tokens.get(top.id) ?? `#${top.id}`, lettersIn(box.width - 3, type.size));
    items.push({ ...text, text: label, fill });
    const pin = look.pinned(top.id);
    if (pin) {
      const height = 2 * scale;
      const mark = { height, width: box.width - 10, x: x + 5, y: box.y + box.height - height - 1 };
      items.push({ kind: "rect", ...mark, fill: mix(pin, fill, 0.3), radius: 1 });
    }
  }
  if (lens.cells.changed(cell)) {
    const size = 5 * scale;
    const dot = { x: x + box.width - size - 1, y: box.y + 1.5, width: size, height: size, radius: size / 2 };
    items.push({ kind: "rect", ...dot, fill: amber(theme).dot, stroke: theme.background, line: 0.75 });
  }
  return items;
}

/** How many tokens are out of view. */
export const moreTokens = (count: number) => `${count} more ${count === 1 ? "token" : "tokens"}`;

interface Stripped {
  layout: Pick<LensLayout, "left" | "first" | "end" | "cell" | "before" | "after" | "positions">;
  theme: Theme;
  scale: number;
}

/** The strips that stand for columns out of view, from `top` to `bottom`, each with how many there are. */
export function columnStrips(
  { layout, theme, scale }: Stripped,
  top: number,
  bottom: number,
  words: (count: number) => string,
  { mark: fill, stripe }: { mark: Rgb; stripe: Rgb },
): Item[] {
  const size = 10 * scale;
  const strip = (left: number, width: number, count: number): Item[] => {
    if (!width) return [];
    const x = left + width / 2 - 0.5;
    const y = (top + bottom) / 2;
    const text = bottom - top > words(count).length * size * ADVANCE + 12 ? words(count) : String(count);
    const length = text.length * size * ADVANCE + 8;
    const plate = { x: left + 1, width: width - 3, y: y - length / 2, height: length, radius: 2 };
    const points = [
      [x, top],
      [x, bottom - 1],
    ] as const;
    return [
      { kind: "path", points, stroke: stripe, line: width - 3, dash: [8, 8].map((it) => it * scale) },
      { kind: "rect", ...plate, fill: theme.background },
      { kind: "text", fill, size, font: theme.mono, x, y, text, align: "middle", turn: -90 },
    ];
  };
  const { left, first, end, cell, before, after, positions } = layout;
  return [
    ...strip(left - before, before, first),
    ...strip(left + (end - first) * cell + 1, after, positions - end),
  ];
}

/** Those of positions, in amber: a click opens them. */
export const strips = (look: LensLook, top: number, bottom: number): Item[] =>
  columnStrips(look, top, bottom, moreTokens, amber(look.theme));

/** The whole table as a figure, the cell in focus framed, with the scale of its colours below. */
export function lensFigure(look: LensLook, picked: LensCell | null): Figure {
  const { lens, layout, theme, scale } = look;
  const { top, lines, tops } = layout;
  const items = headings(look);
  for (const [at, line] of lines.entries()) items.push(...lineItems(look, line, top + (tops[at] as number)));
  const bottom = top + linesHeight(layout);
  items.push(...strips(look, top, bottom));
  const at = picked ? lines.findIndex((line) => !line.folded && line.first === picked.row) : -1;
  if (picked && at >= 0 && picked.position >= layout.first && picked.position < layout.end) {
    const x = columnLeft(layout, picked.position) - 1;
    const size = { width: layout.cell + 1, height: layout.row + 1 };
    items.push({
      kind: "rect",
      x,
      y: top + (tops[at] as number) - 1,
      ...size,
      stroke: theme.accent,
      line: 2,
      radius: 2,
    });
  }
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
