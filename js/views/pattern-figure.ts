// The focus pattern as a figure: cells, both axes with tokens, crosshair, and numbers where they fit.
import { css, packed, parseColour, type Rgb, textOn } from "../lib/colour";
import type { Figure, Item } from "../lib/display-list";
import { type FocusLayout, labelled } from "../lib/geometry";
import type { Cell } from "../lib/heads";
import { bare, shortLabel, signed } from "../lib/labels";
import { colOf, colToken, isFuture, type Pattern, rowOf, rowToken } from "../lib/patterns";
import type { Theme } from "../lib/theme";

export interface FocusMarks {
  /** The row in focus, and the cell under the pointer, in tokens. */
  token: number;
  hover: Cell | null;
  picked: Cell | null;
  /** Column 0 is left blank. */
  hideSink: boolean;
}

/** From this many pixels on a cell holds its number; on a projector it must be read from further away. */
const NUMBERED = 25;

/** A cell's value in words: 0.83, +0.12, or that there is none. */
export function valueText(value: number | null, isSigned: boolean, digits = 2): string {
  if (value === null || !Number.isFinite(value)) return "not finite";
  return isSigned ? signed(value, digits) : value.toFixed(digits);
}

/** Decimals that tell the values of a scale apart. */
export const digitsOf = (pattern: Pattern) =>
  Math.min(8, Math.max(2, 1 - Math.floor(Math.log10(pattern.top || 1))));

const hidden = (pattern: Pattern, col: number, marks: { hideSink: boolean }) =>
  marks.hideSink && colToken(pattern, col) === 0;

export function patternFigure(
  pattern: Pattern,
  layout: FocusLayout,
  labels: readonly string[],
  theme: Theme,
  marks: FocusMarks,
  scale = 1,
): Figure {
  const { cell, left, top, side, size } = layout;
  const box = { x: left, y: top, width: side, height: side };
  const rgba = cellColours(pattern, theme, marks.hideSink);
  const items: Item[] = [{ kind: "cells", ...box, rows: size, cols: size, rgba, hatch: theme.muted }];
  if (cell >= NUMBERED * scale) items.push(...numbers(pattern, layout, theme, marks));
  const hoverRow = marks.hover && rowOf(pattern, marks.hover.dest);
  const hoverCol = marks.hover && colOf(pattern, marks.hover.src);
  const focusRow = rowOf(pattern, marks.token);
  const text = {
    kind: "text",
    size: Math.min(11 * scale, Math.max(9, cell * 0.95)),
    font: theme.mono,
  } as const;
  const room = Math.max(3, Math.floor(layout.labelRoom / (text.size * 0.602)));
  const name = (token: number) => shortLabel(bare(labels[token] ?? String(token)), room);
  const one = (index: number | null) => (index === null ? [] : [index]);
  const tone = (strong: boolean) => ({ fill: strong ? theme.text : theme.muted, bold: strong });
  for (const row of labelled(size, layout.every, one(hoverRow ?? focusRow))) {
    const y = top + (row + 0.5) * cell;
    const strong = tone(row === (hoverRow ?? focusRow));
    items.push({ ...text, ...strong, x: left - 5, y, text: name(rowToken(pattern, row)), align: "end" });
  }
  for (const col of labelled(size, layout.every, one(hoverCol))) {
    const x = left + (col + 0.5) * cell;
    const strong = tone(col === hoverCol);
    items.push({ ...text, ...strong, x, y: top + side + 5, text: name(colToken(pattern, col)), turn: 90 });
  }
  const axis = { kind: "text", fill: theme.muted, size: 10 * scale, font: theme.font } as const;
  const y = top + side + layout.labelRoom + 14;
  const end = Math.max(left + side, layout.width - 6);
  items.push({ ...axis, x: end, y, text: "attends to (src) →", align: "end" });
  items.push({ ...axis, x: 2, y, text: "↑ from (dest)" });
  if (hoverRow !== null && hoverCol !== null) {
    const line = { kind: "path", stroke: theme.accent, line: 1, dash: [2, 2] } as const;
    const across = top + (hoverRow + 0.5) * cell;
    const down = left + (hoverCol + 0.5) * cell;
    const path = (...points: [number, number][]): Item => ({ ...line, points });
    items.push(path([left, across], [left + side, across]), path([down, top], [down, top + side]));
    items.push(outline(layout, hoverRow, hoverCol, theme, 1.5));
  } else if (focusRow !== null) {
    const from = top + focusRow * cell;
    const points = [
      [left - 2, from],
      [left - 2, from + Math.max(2, cell)],
    ] as const;
    items.push({ kind: "path", stroke: theme.accent, line: 1.5, points });
  }
  const pickedRow = marks.picked && rowOf(pattern, marks.picked.dest);
  const pickedCol = marks.picked && colOf(pattern, marks.picked.src);
  if (pickedRow !== null && pickedCol !== null) items.push(outline(layout, pickedRow, pickedCol, theme, 2));
  return { width: layout.width, height: layout.height, background: theme.background, items };
}

function outline(layout: FocusLayout, row: number, col: number, theme: Theme, line: number): Item {
  const size = Math.max(3, layout.cell);
  return {
    kind: "rect",
    x: layout.left + col * layout.cell,
    y: layout.top + row * layout.cell,
    width: size,
    height: size,
    stroke: theme.accent,
    line,
  };
}

function numbers(pattern: Pattern, layout: FocusLayout, theme: Theme, marks: FocusMarks): Item[] {
  const table = pattern.signed ? theme.diverging : theme.sequential;
  const items: Item[] = [];
  const { cell, left, top, size } = layout;
  const digits = cell < 34 ? Math.min(2, digitsOf(pattern)) : digitsOf(pattern);
  for (let row = 0; row < size; row++) {
    for (let col = 0; col < size; col++) {
      const value = pattern.values[row * size + col] as number;
      if (isFuture(pattern, row, col) || hidden(pattern, col, marks) || !Number.isFinite(value)) continue;
      const fill = parseColour(textOn(table.colour(value / pattern.top))) as Rgb;
      const x = left + (col + 0.5) * cell;
      const y = top + (row + 0.5) * cell;
      // Where room is short the zero before the point is what can go.
      const whole = valueText(value, pattern.signed, digits);
      const text = cell < 34 ? whole.replace(/^([+−]?)0\./, "$1.") : whole;
      const fit = Math.min(11, (cell - 3) / (text.length * 0.602));
      if (fit < 7) continue;
      items.push({ kind: "text", x, y, text, fill, size: fit, font: theme.mono, align: "middle" });
    }
  }
  return items;
}

/** The last colours made: a hover redraws the marks, not the cells. */
let made: { pattern: Pattern; ground: string; hide: boolean; rgba: Uint8ClampedArray<ArrayBuffer> } | null =
  null;

function cellColours(pattern: Pattern, theme: Theme, hide: boolean): Uint8ClampedArray<ArrayBuffer> {
  const ground = css(theme.background);
  if (made?.pattern === pattern && made.ground === ground && made.hide === hide) return made.rgba;
  const { size, values, top } = pattern;
  const table = pattern.signed ? theme.diverging : theme.sequential;
  const rgba = new Uint8ClampedArray(size * size * 4);
  const pixels = new Uint32Array(rgba.buffer);
  const [future, blank] = [packed(theme.future), packed(theme.background)];
  const first = hide && colToken(pattern, 0) === 0;
  for (let row = 0; row < size; row++) {
    for (let col = 0; col < size; col++) {
      const at = row * size + col;
      const value = values[at] as number;
      if (isFuture(pattern, row, col)) pixels[at] = future;
      else if (first && col === 0) pixels[at] = blank;
      else if (Number.isFinite(value)) pixels[at] = table.packed[table.entry(value / top)] as number;
    }
  }
  made = { pattern, ground, hide, rgba };
  return rgba;
}
