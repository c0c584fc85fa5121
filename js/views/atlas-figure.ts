// What the atlas draws round its thumbnails, as a display list: names, brackets, score bars; and all of it for a paper.
import { type Atlas, groupSize, hasSign, scoreText, sharedKv } from "../lib/atlas";
import { type AtlasLayout, placeOf, thumbOrigin } from "../lib/atlas-layout";
import { barColour, type Rgb } from "../lib/colour";
import type { Figure, Item } from "../lib/display-list";
import { clamp } from "../lib/geometry";
import { type Head, headKey, headName } from "../lib/heads";
import type { Theme } from "../lib/theme";
import { paletteFor, Thumbnails } from "../lib/thumbnails";

export interface AtlasLook {
  atlas: Atlas;
  layout: AtlasLayout;
  theme: Theme;
  scoreName: string;
  scale: number;
  /** Heads that a filter lets through; null is all. */
  kept: ReadonlySet<string> | null;
}

const ADVANCE = 0.602; // of the monospaced font, in its size
const type = ({ theme, scale }: AtlasLook) =>
  ({ kind: "text", fill: theme.muted, size: 11 * scale, font: theme.mono }) as const;

/** Names of columns, and brackets over query heads that share a key-value head. */
export function headings(look: AtlasLook): Item[] {
  const { atlas, layout, scale, theme } = look;
  if (layout.listed) return [];
  const label = type(look);
  const items: Item[] = [];
  const middle = (head: number) => layout.left + head * layout.pitchX + layout.thumb / 2;
  const every = Math.max(1, Math.ceil((label.size * 2.2) / layout.pitchX));
  for (let head = 0; head < atlas.heads; head += every)
    items.push({ ...label, x: middle(head), y: layout.top - 10 * scale, text: `H${head}`, align: "middle" });
  const group = groupSize(atlas);
  if (group <= 1) return items;
  const width = group * layout.pitchX;
  // The last one is the longest: all say which heads they are of, or none.
  const long = (sharedKv(atlas, atlas.heads - 1) ?? "").length * label.size * ADVANCE <= width - 6;
  const thin = Math.max(1, Math.ceil((`kv${atlas.kvHeads}`.length * label.size * ADVANCE + 6) / width));
  for (let first = 0; first < atlas.heads; first += group) {
    const left = layout.left + first * layout.pitchX;
    const right = left + width - (layout.pitchX - layout.thumb);
    const y = layout.top - 20 * scale;
    const points = [
      [left, y + 4],
      [left, y],
      [right, y],
      [right, y + 4],
    ] as const;
    items.push({ kind: "path", points, stroke: theme.muted, line: 1 });
    const kv = first / group;
    const text = long ? sharedKv(atlas, first) : kv % thin === 0 && `kv${kv}`;
    if (text) items.push({ ...label, x: (left + right) / 2, y: y - 8 * scale, text, align: "middle" });
  }
  return items;
}

/** The name of a row's layer, where it has one and there is room. */
export function rowName(look: AtlasLook, row: number): Item[] {
  const { layout } = look;
  const label = type(look);
  const every = Math.max(1, Math.ceil((label.size * 1.2) / layout.pitchY));
  if (layout.listed || row % every) return [];
  const y = layout.top + row * layout.pitchY + layout.thumb / 2;
  return [{ ...label, x: layout.left - 4, y, text: `L${row}`, align: "end" }];
}

/** Everything of one row of the layout but its thumbnails: the layer's name, the heads' names in a list, the bars. */
export function rowItems(look: AtlasLook, row: number): Item[] {
  const { layout } = look;
  const items = rowName(look, row);
  const end = Math.min(layout.cells.length, (row + 1) * layout.columns);
  for (let place = row * layout.columns; place < end; place++) items.push(...cellItems(look, place));
  return items;
}

function cellItems(look: AtlasLook, place: number): Item[] {
  const { atlas, layout, scoreName: score, kept, scale, theme } = look;
  const head = layout.cells[place] as Head;
  const [x, y] = thumbOrigin(layout, place);
  const label = type(look);
  if (atlas.absent[head[0]] !== undefined) {
    const half = layout.thumb / 2;
    return [{ ...label, x: x + half, y: y + half, text: "–", align: "middle" }];
  }
  const items = kept?.has(headKey(head)) === false ? [] : scoreBar(look, head, x, y);
  if (layout.listed) {
    const name = headName(head);
    const value = scoreText(atlas, score, head);
    const at = y - layout.caption / 2 + scale;
    const room = layout.thumb / (label.size * ADVANCE);
    items.push({ ...label, x, y: at, text: name, fill: theme.text });
    if (name.length + value.length + 1 <= room)
      items.push({ ...label, x: x + layout.thumb, y: at, text: value, align: "end" });
  }
  return items;
}

/** A score's bar: length by its share of 0..1; blue and red where the score has a sign; only the rail where undefined. */
function scoreBar(
  { atlas, layout, theme, scoreName: score }: AtlasLook,
  head: Head,
  x: number,
  y: number,
): Item[] {
  const { bar: height, thumb } = layout;
  const bar = { kind: "rect", x, y: y + thumb + 3, height, radius: height / 2 } as const;
  const rail: Item = { ...bar, width: thumb, fill: theme.line };
  const share = atlas.scores[score]?.bars[head[0]]?.[head[1]];
  if (share == null) return [rail];
  const part = clamp(share, 0, 1);
  const value = atlas.scores[score]?.values[head[0]]?.[head[1]] ?? 0;
  const fill = hasSign(atlas, score)
    ? theme.diverging.colour(Math.sign(value) * (0.55 + 0.45 * part))
    : barColour(part * 0.95);
  return [rail, { ...bar, width: Math.max(height, part * thumb), fill }];
}

function ring({ thumb, bar }: AtlasLayout, [x, y]: readonly [number, number], stroke: Rgb): Item {
  const [width, height] = [thumb + 4, thumb + bar + 7];
  return { kind: "rect", x: x - 2, y: y - 2, width, height, stroke, line: 2, radius: 2 };
}

/** The whole atlas as a figure, its thumbnails as cells and the locked heads framed. */
export function atlasFigure(look: AtlasLook, locked: readonly Head[]): Figure {
  const { atlas, layout, theme, kept } = look;
  const painter = new Thumbnails(atlas, atlas.side);
  const full = paletteFor(atlas, theme);
  const faded = kept && paletteFor(atlas, theme, true);
  const items = headings(look);
  const box = { width: layout.thumb, height: layout.thumb, rows: atlas.side, cols: atlas.side };
  for (const [place, head] of layout.cells.entries()) {
    const [x, y] = thumbOrigin(layout, place);
    const pixels = new Uint32Array(atlas.side ** 2);
    const palette = faded && !kept.has(headKey(head)) ? faded : full;
    // Transparent cells are what a figure hatches.
    painter.draw(pixels, atlas.side, 0, head, { ...palette, ground: 0, hatch: 0 });
    const rgba = new Uint8ClampedArray(pixels.buffer);
    items.push({ kind: "cells", x, y, ...box, rgba, hatch: theme.muted });
  }
  for (let row = 0; row < layout.rows; row++) items.push(...rowItems(look, row));
  for (const head of locked) {
    const place = placeOf(layout, head);
    if (place >= 0) items.push(ring(layout, thumbOrigin(layout, place), theme.accent));
  }
  return { width: layout.width, height: layout.height, background: theme.background, items };
}
