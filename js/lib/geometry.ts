// Where things are drawn, as pure functions of sizes: no canvas, no page, so that every case is tested with numbers.

export interface AtlasLayout {
  layers: number;
  heads: number;
  /** Side of a thumbnail, CSS pixels. */
  thumb: number;
  pitchX: number;
  pitchY: number;
  left: number;
  top: number;
  bar: number;
  width: number;
  height: number;
}

const MAX_THUMB = 92;
const MIN_THUMB = 12;

/** The atlas in `width` pixels: labels L0.. on the left, H0.. on top, a score bar under each thumbnail. */
export function atlasLayout(layers: number, heads: number, width: number): AtlasLayout {
  const left = 26;
  const top = 20;
  const gapOf = (thumb: number) => (thumb >= 56 ? 9 : thumb >= 28 ? 5 : 3);
  const room = Math.max(MIN_THUMB, (width - left - 4) / Math.max(1, heads));
  let thumb = Math.min(MAX_THUMB, Math.floor(room));
  while (thumb > MIN_THUMB && thumb + gapOf(thumb) > room) thumb--;
  thumb = Math.max(MIN_THUMB, thumb);
  const gap = gapOf(thumb);
  const bar = thumb >= 28 ? 3 : 2;
  const pitchX = thumb + gap;
  const pitchY = thumb + gap + bar + 4;
  return {
    layers,
    heads,
    thumb,
    pitchX,
    pitchY,
    left,
    top,
    bar,
    width: left + heads * pitchX + 2,
    height: top + layers * pitchY,
  };
}

export const thumbOrigin = (layout: AtlasLayout, layer: number, head: number): [number, number] => [
  layout.left + head * layout.pitchX,
  layout.top + layer * layout.pitchY,
];

/** The head at a point of the atlas; null between and beside them. */
export function headAt(layout: AtlasLayout, x: number, y: number): [layer: number, head: number] | null {
  const head = Math.floor((x - layout.left) / layout.pitchX);
  const layer = Math.floor((y - layout.top) / layout.pitchY);
  if (head < 0 || layer < 0 || head >= layout.heads || layer >= layout.layers) return null;
  const [left, top] = thumbOrigin(layout, layer, head);
  const inside = x - left < layout.thumb && y - top < layout.thumb + layout.bar + 4;
  return inside ? [layer, head] : null;
}

export interface FocusLayout {
  /** Cells on a side; fewer than the tokens when the pattern is pooled. */
  size: number;
  cell: number;
  left: number;
  top: number;
  side: number;
  width: number;
  height: number;
  /** Every n-th label is drawn. */
  every: number;
  /** Pixels for a label's text. */
  labelRoom: number;
}

/** The focus pattern of `size` cells a side in `width` pixels, with room for `labels` pixels of text on both axes. */
export function focusLayout(size: number, width: number, labels: number, ratio = 1): FocusLayout {
  const labelRoom = Math.min(labels, width < 300 ? 48 : 72);
  const left = labelRoom + 6;
  const top = 4;
  const room = Math.max(40, width - left - 6);
  const wanted = room / Math.max(1, size);
  // Whole device pixels keep all cells equally wide; below two of them that would waste the room.
  const whole = Math.floor(Math.min(26, wanted) * ratio) / ratio;
  const cell = whole * ratio >= 2 ? whole : Math.min(26, wanted);
  const side = cell * size;
  const every = Math.max(1, Math.ceil(12 / Math.max(cell, 0.01)));
  return {
    size,
    cell,
    left,
    top,
    side,
    // The axis titles stand below even a pattern of one cell.
    width: Math.max(left + side + 6, Math.min(width, 190)),
    height: top + side + labelRoom + 26,
    every,
    labelRoom,
  };
}

/** The cell at a point of the focus pattern. */
export function cellAt(layout: FocusLayout, x: number, y: number): [row: number, col: number] | null {
  const col = Math.floor((x - layout.left) / layout.cell);
  const row = Math.floor((y - layout.top) / layout.cell);
  return row < 0 || col < 0 || row >= layout.size || col >= layout.size ? null : [row, col];
}

/** The labels that fit: every n-th, and always those in `wanted`, whose neighbours give way. */
export function labelled(size: number, every: number, wanted: readonly number[]): number[] {
  const kept = new Set(wanted.filter((it) => it >= 0 && it < size));
  const near = (index: number) => [...kept].some((it) => it !== index && Math.abs(it - index) < every);
  const regular: number[] = [];
  for (let index = 0; index < size; index += every) if (!near(index)) regular.push(index);
  return [...new Set([...regular, ...kept])].sort((a, b) => a - b);
}
