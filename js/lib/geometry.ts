// Where things are drawn, as pure functions of sizes: no canvas, no page, so that every case is tested with numbers.

/** `low` wins where the two ends cross. */
export const clamp = (value: number, low: number, high: number) => Math.max(low, Math.min(high, value));

/** What `make` gives for each number below `count`. */
export const times = <T>(count: number, make: (index: number) => T): T[] =>
  Array.from({ length: count }, (_, index) => make(index));

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

/** The focus pattern of `size` cells a side in `width` pixels, with room for `labels` pixels of text on both axes.
 *
 * A part of a pattern takes the room that the `whole` of it would take.
 */
export function focusLayout(
  size: number,
  width: number,
  labels: number,
  ratio = 1,
  whole = size,
): FocusLayout {
  const labelRoom = Math.min(labels, width < 300 ? 48 : 72);
  const left = labelRoom + 6;
  const top = 4;
  const room = Math.max(40, width - left - 6);
  const wanted = Math.min(26 * Math.max(whole, size), room) / Math.max(1, size);
  // Whole device pixels keep all cells equally wide; below two of them that would waste the room.
  const even = Math.floor(wanted * ratio) / ratio;
  const cell = even * ratio >= 2 ? even : wanted;
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

/** Where a bar from 0 to `value` lies between `low` and `high`, in percent; null for a value that is not finite. */
export function barSpan(
  value: number | null,
  low: number,
  high: number,
): { left: number; width: number } | null {
  if (value === null || !Number.isFinite(value)) return null;
  const place = (it: number) => (high > low ? ((it - low) / (high - low)) * 100 : 0);
  const [from, to] = [place(Math.min(0, value)), place(Math.max(0, value))];
  return { left: from, width: to - from };
}

/** The ends of a scale that holds all values and 0. */
export function barEnds(values: readonly (number | null)[]): [low: number, high: number] {
  const finite = values.filter((it): it is number => it !== null && Number.isFinite(it));
  return [Math.min(0, ...finite), Math.max(0, ...finite)];
}
