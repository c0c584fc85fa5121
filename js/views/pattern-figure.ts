// The focus pattern as a figure: cells, both axes with tokens, crosshair, and numbers where they fit.
import { css, packed, parseColour, type Rgb, textOn } from "../lib/colour";
import type { Figure, Item } from "../lib/display-list";
import { clamp, type FocusLayout, labelled } from "../lib/geometry";
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
export const digitsOf = (pattern: Pattern) => clamp(1 - Math.floor(Math.log10(pattern.top || 1)), 2, 8);

const hidden = (pattern: Pattern, col: number, marks: { hideSink: boolean }) =>
  marks.hideSink && colToken(pattern, col) === 0;

type Label = { x: number; y: number; text: string; align?: "end"; turn?: number };

export function patternFigure(
  pattern: Pattern,
  layout: FocusLayout,
  labels: readonly string[],
  theme: Theme,
  marks: FocusMarks,
  scale = 1,
): Figure {
  const { cell, left, top, side, size, labelRoom, every } = layout;
  const box = { x: left, y: top, width: side, height: side };
  const rgba = cellColours(pattern, theme, marks.hideSink);
  const items: Item[] = [{ kind: "cells", ...box, rows: size, cols: size, rgba, hatch: theme.muted }];
  if (cell >= NUMBERED * scale) items.push(...numbers(pattern, layout, theme, marks));
  const { hover, picked } = marks;
  const focusRow = rowOf(pattern, marks.token);
  const hoverRow = hover && rowOf(pattern, hover.dest);
  const hoverCol = hover && colOf(pattern, hover.src);
  const text = {
    kind: "text",
    size: clamp(cell * 0.95, 9, 11 * scale),
    font: theme.mono,
  } as const;
  const room = Math.max(3, Math.floor(labelRoom / (text.size * 0.602)));
  const name = (token: number) => shortLabel(bare(labels[token] ?? String(token)), room);
  /** The labels that fit, each at the middle of its cell; the one at `strong` stands out. */
  const axis = (strong: number | null, place: (index: number, middle: number) => Label) => {
    for (const index of labelled(size, every, strong === null ? [] : [strong])) {
      const bold = index === strong;
      const fill = bold ? theme.text : theme.muted;
      items.push({ ...text, fill, bold, ...place(index, (index + 0.5) * cell) });
    }
  };
  axis(hoverRow ?? focusRow, (row, middle) => ({
    x: left - 5,
    y: top + middle,
    text: name(rowToken(pattern, row)),
    align: "end",
  }));
  axis(hoverCol, (col, middle) => ({
    x: left + middle,
    y: top + side + 5,
    text: name(colToken(pattern, col)),
    turn: 90,
  }));
  const title = { kind: "text", fill: theme.muted, size: 10 * scale, font: theme.font } as const;
  const y = top + side + labelRoom + 14;
  const end = Math.max(left + side, layout.width - 6);
  items.push(
    { ...title, x: end, y, text: "attends to (src) →", align: "end" },
    { ...title, x: 2, y, text: "↑ from (dest)" },
  );
  const stroke = theme.accent;
  const outline = (row: number | null, col: number | null, line: number) => {
    if (row === null || col === null) return;
    const width = Math.max(3, cell);
    const [x, y] = [left + col * cell, top + row * cell];
    items.push({ kind: "rect", x, y, width, height: width, stroke, line });
  };
  if (hoverRow !== null && hoverCol !== null) {
    const across = top + (hoverRow + 0.5) * cell;
    const down = left + (hoverCol + 0.5) * cell;
    const path = (x: number, y: number, toX: number, toY: number): Item => ({
      kind: "path",
      stroke,
      line: 1,
      dash: [2, 2],
      points: [
        [x, y],
        [toX, toY],
      ],
    });
    items.push(path(left, across, left + side, across), path(down, top, down, top + side));
    outline(hoverRow, hoverCol, 1.5);
  } else if (focusRow !== null) {
    const from = top + focusRow * cell;
    const points = [
      [left - 2, from],
      [left - 2, from + Math.max(2, cell)],
    ] as const;
    items.push({ kind: "path", stroke, line: 1.5, points });
  }
  if (picked) outline(rowOf(pattern, picked.dest), colOf(pattern, picked.src), 2);
  return { width: layout.width, height: layout.height, background: theme.background, items };
}

function numbers(pattern: Pattern, layout: FocusLayout, theme: Theme, marks: FocusMarks): Item[] {
  const table = pattern.twoSided ? theme.diverging : theme.sequential;
  const items: Item[] = [];
  const { cell, left, top, size } = layout;
  const digits = cell < 34 ? Math.min(2, digitsOf(pattern)) : digitsOf(pattern);
  for (let row = 0; row < size; row++) {
    for (let col = 0; col < size; col++) {
      const value = pattern.numbers[row * size + col] as number;
      if (isFuture(pattern, row, col) || hidden(pattern, col, marks) || !Number.isFinite(value)) continue;
      const fill = parseColour(textOn(table.colour(value / pattern.top))) as Rgb;
      const x = left + (col + 0.5) * cell;
      const y = top + (row + 0.5) * cell;
      // Where room is short the zero before the point is what can go.
      const whole = valueText(value, pattern.twoSided, digits);
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
  const { size, numbers: values, top } = pattern;
  const table = pattern.twoSided ? theme.diverging : theme.sequential;
  const rgba = new Uint8ClampedArray(size * size * 4);
  const pixels = new Uint32Array(rgba.buffer);
  const [future, blank] = packed([theme.future, theme.background]) as unknown as [number, number];
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
