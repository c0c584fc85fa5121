// Where the atlas puts its heads, as pure functions of sizes: a matrix of layers x heads, or a list by score.
import { clamp } from "./geometry";
import { allHeads, type Head, headKey, sameHead } from "./heads";

export interface AtlasLayout {
  /** The heads in the order they are drawn, row by row. */
  cells: readonly Head[];
  columns: number;
  rows: number;
  /** A list: every head carries its own name above it; a matrix is named by its rows and columns. */
  listed: boolean;
  /** Side of a thumbnail, CSS pixels. */
  thumb: number;
  pitchX: number;
  pitchY: number;
  /** Origin of the first thumbnail. */
  left: number;
  top: number;
  bar: number;
  /** Height of the name above a thumbnail; 0 in a matrix. */
  caption: number;
  width: number;
  height: number;
}

export interface AtlasSizes {
  /** Pixels there are across. */
  width: number;
  /** Type is drawn this many times as large. */
  scale?: number;
  /** A line of brackets above the columns: query heads share key-value heads. */
  grouped?: boolean;
}

const MAX_THUMB = 92;
const MIN_THUMB = 8;
const LIST_HEIGHT = 600;

const gapOf = (thumb: number) => (thumb >= 56 ? 9 : thumb >= 28 ? 5 : thumb >= 12 ? 3 : 2);
const barOf = (thumb: number) => (thumb >= 28 ? 3 : 2);

/** Layers down, heads across; labels L0.. on the left, H0.. on top, a score bar under each thumbnail. */
export function matrixLayout(
  layers: number,
  heads: number,
  { width, scale = 1, grouped = false }: AtlasSizes,
): AtlasLayout {
  const left = Math.round(Math.max(26, 5.8 + 6.7 * `L${layers - 1}`.length) * scale);
  const top = Math.round((grouped ? 35 : 20) * scale);
  const room = Math.max(MIN_THUMB, (width - left - 2) / Math.max(1, heads));
  let thumb = Math.min(MAX_THUMB, Math.floor(room));
  while (thumb > MIN_THUMB && thumb + gapOf(thumb) > room) thumb--;
  const bar = barOf(thumb);
  const pitchX = thumb + gapOf(thumb);
  const pitchY = pitchX + bar + 4;
  const size = { width: left + heads * pitchX + 2, height: top + layers * pitchY };
  const named = { listed: false, caption: 0 };
  const cells = allHeads(layers, heads);
  return { cells, columns: heads, rows: layers, thumb, pitchX, pitchY, left, top, bar, ...named, ...size };
}

/** Heads one after the other, strongest first, as large as lets them be seen at once; a long list gets long. */
export function listLayout(cells: readonly Head[], { width, scale = 1 }: AtlasSizes): AtlasLayout {
  const left = 4;
  const caption = Math.round(15 * scale);
  const longest = Math.max(...cells.map((head) => headKey(head).length + 1));
  const least = Math.round(Math.max(40, 6.7 * longest) * scale);
  const sized = (thumb: number) => {
    const pitchX = thumb + gapOf(thumb);
    const bar = barOf(thumb);
    const pitchY = caption + pitchX + bar + 4;
    const columns = Math.max(1, Math.floor((width - left - 2) / pitchX));
    return { thumb, pitchX, pitchY, bar, columns, rows: Math.ceil(cells.length / columns) };
  };
  let found = sized(Math.max(least, MAX_THUMB));
  while (found.thumb > least && found.rows * found.pitchY > LIST_HEIGHT) found = sized(found.thumb - 1);
  const size = { width: left + found.columns * found.pitchX, height: found.rows * found.pitchY + 4 };
  return { cells, listed: true, caption, left, top: caption, ...found, ...size };
}

/** Origin of the thumbnail at a place of the layout. */
export const thumbOrigin = (layout: AtlasLayout, place: number): [x: number, y: number] => [
  layout.left + (place % layout.columns) * layout.pitchX,
  layout.top + Math.floor(place / layout.columns) * layout.pitchY,
];

/** Where a head is in the layout; -1 when it is not in it. */
export function placeOf(layout: AtlasLayout, [layer, head]: Head): number {
  if (layout.listed) return layout.cells.findIndex((it) => sameHead(it, [layer, head]));
  return layer < layout.rows && head < layout.columns ? layer * layout.columns + head : -1;
}

/** The head at a point of the atlas; null between and beside them. */
export function headAt(layout: AtlasLayout, x: number, y: number): Head | null {
  const column = Math.floor((x - layout.left) / layout.pitchX);
  const row = Math.floor((y - layout.top + layout.caption) / layout.pitchY);
  if (column < 0 || row < 0 || column >= layout.columns || row >= layout.rows) return null;
  const place = row * layout.columns + column;
  if (place >= layout.cells.length) return null;
  const [left, top] = thumbOrigin(layout, place);
  const inside =
    x - left < layout.thumb && y >= top - layout.caption && y - top < layout.thumb + layout.bar + 4;
  return inside ? (layout.cells[place] as Head) : null;
}

/** The head that a step of the cursor leads to, kept inside the layout; far steps go to the end of a row or column. */
export function stepFrom(layout: AtlasLayout, from: Head, rows: number, columns: number): Head {
  const start = Math.max(0, placeOf(layout, from));
  const row = clamp(Math.floor(start / layout.columns) + rows, 0, layout.rows - 1);
  const column = clamp((start % layout.columns) + columns, 0, layout.columns - 1);
  // In a list the end of a row is no wall: the next head is simply the next one.
  const next = layout.listed && Math.abs(columns) === 1;
  const place = next ? start + columns : row * layout.columns + column;
  return layout.cells[clamp(place, 0, layout.cells.length - 1)] ?? from;
}
