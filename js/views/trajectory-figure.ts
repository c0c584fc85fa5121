// The lines of pinned tokens as a display list: on the screen, and in a figure for a paper.
import { mix } from "../lib/colour";
import type { Figure, Item } from "../lib/display-list";
import { clamp, labelled } from "../lib/geometry";
import { type Pin, slotColour, type Tracks } from "../lib/lens-card";
import { ADVANCE, fitLabel } from "../lib/lens-labels";
import type { Theme } from "../lib/theme";
import { apart, axisOf, type Point, pieces, type Quantity } from "../lib/trajectory-layout";

const HEIGHT = 132;
const SIZE = 11;
/** Letters of a name at the end of its line. */
const NAMED = 7;

export interface TrajectoryLook {
  tracks: Tracks;
  quantity: Quantity;
  pins: readonly Pin[];
  /** Label of each tracked row. */
  rows: readonly string[];
  /** Which of the tracked rows is in focus; -1 is none. */
  focus: number;
  theme: Theme;
  scale: number;
}

/** Where the lines lie in `width` pixels. */
export function plotBox({ quantity, tracks }: TrajectoryLook, width: number, scale: number) {
  const axis = axisOf(quantity, [...tracks.lines[quantity], ...(tracks.before?.[quantity] ?? [])]);
  const letter = SIZE * ADVANCE * scale;
  const left = Math.max(...axis.ticks.map(({ label }) => label.length), 2) * letter + 8;
  const right = Math.max(left + 40, width - NAMED * letter - 10);
  return { axis, left, right, top: 8 * scale, bottom: (HEIGHT - 22) * scale };
}

export function trajectoryFigure(look: TrajectoryLook, width: number): Figure {
  const { tracks, quantity, pins, rows, focus, theme, scale } = look;
  const { axis, left, right, top, bottom } = plotBox(look, width, scale);
  const count = rows.length;
  const x = (row: number) => (count > 1 ? left + (row / (count - 1)) * (right - left) : (left + right) / 2);
  const y = (value: number) => bottom - clamp(axis.share(value), 0, 1) * (bottom - top);
  const type = { kind: "text", fill: theme.muted, size: SIZE * scale, font: theme.mono } as const;
  const items: Item[] = [];
  const line = (points: readonly Point[], stroke: Pin["slot"] | null, dash?: readonly number[]) => {
    const colour = stroke === null ? theme.line : slotColour(stroke, theme);
    const width = (stroke === null ? 1 : 1.8) * scale;
    items.push({ kind: "path", points, stroke: colour, line: width, ...(dash && { dash }) });
  };
  for (const { share, label } of axis.ticks) {
    const at = bottom - share * (bottom - top);
    line(
      [
        [left, at],
        [right, at],
      ],
      null,
    );
    items.push({ ...type, x: left - 6, y: at, text: label, align: "end" });
  }
  const room = Math.max(...rows.map((it) => it.length)) * SIZE * ADVANCE * scale + 8;
  const every = Math.max(1, Math.ceil(room / Math.max(1e-9, x(1) - x(0) || 1e9)));
  for (const row of labelled(count, every, [count - 1, ...(focus >= 0 ? [focus] : [])]))
    items.push({
      ...type,
      x: x(row),
      y: bottom + 13 * scale,
      text: rows[row] as string,
      align: "middle",
      bold: row === focus,
      ...(row === focus && { fill: theme.text }),
    });
  if (focus >= 0) {
    const points = [
      [x(focus), top - 4],
      [x(focus), bottom + 5],
    ] as const;
    items.push({ kind: "path", points, stroke: mix(theme.accent, theme.background, 0.35), line: scale });
  }
  const pointsOf = (values: ArrayLike<number>, token: number): Point[] =>
    rows.map((_, row) => [x(row), y(values[token * count + row] ?? Number.NaN)] as const);
  const ends: { slot: number; label: string; y: number }[] = [];
  // The first pins are drawn last: answer and distractor lie on top.
  for (const { id, slot, label } of [...pins].reverse()) {
    const token = tracks.tokens.findIndex((it) => it.id === id);
    if (token < 0) continue;
    const { before } = tracks;
    for (const piece of before ? pieces(pointsOf(before[quantity], token)) : [])
      line(piece, slot, [3 * scale, 3 * scale]);
    const points = pointsOf(tracks.lines[quantity], token);
    for (const piece of pieces(points)) {
      line(piece, slot);
      const [[px, py] = [0, 0], more] = piece;
      if (!more) items.push(dot(px, py, slot, 2));
    }
    const [fx, fy] = points[focus] ?? [Number.NaN, Number.NaN];
    if (Number.isFinite(fy)) items.push(dot(fx, fy, slot, 3));
    const last = points.filter(([, height]) => Number.isFinite(height)).at(-1);
    if (last) ends.push({ slot, label, y: last[1] });
  }
  function dot(px: number, py: number, slot: number, size: number): Item {
    const radius = size * scale;
    const [fill, stroke] = [slotColour(slot, theme), theme.background];
    return {
      kind: "rect",
      x: px - radius,
      y: py - radius,
      width: 2 * radius,
      height: 2 * radius,
      radius,
      fill,
      stroke,
    };
  }
  const heights = apart(
    ends.map((it) => it.y),
    type.size,
    top,
    bottom,
  );
  for (const [at, { slot, label }] of ends.entries())
    items.push({
      ...type,
      x: right + 6,
      y: heights[at] as number,
      text: fitLabel(label, NAMED),
      fill: slotColour(slot, theme),
    });
  return { width, height: HEIGHT * scale, background: theme.background, items };
}
