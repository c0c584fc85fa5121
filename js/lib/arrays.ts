// Arrays as they travel: raw little-endian bytes with a shape, a layout and, for u8, a scale. Bytes stay bytes;
// a value is worked out when it is looked at.
import type { ArrayEntries, ArrayEntry } from "./protocol";

export const NOT_FINITE = 255;

/** Bytes are missing or do not fit: a host dropped or damaged a buffer. The text is meant for the reader. */
export class BuffersMissing extends Error {
  override name = "BuffersMissing";
}

/** A view of what a host hands over as a buffer, without copying; null when it is no buffer. */
export function asBytes(data: unknown): Uint8Array | null {
  if (data instanceof ArrayBuffer) return new Uint8Array(data);
  if (ArrayBuffer.isView(data)) return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
  return null;
}

const WIDTH = { u8: 1, i32: 4, f32: 4 } as const;
const product = (shape: readonly number[]) => shape.reduce((a, b) => a * b, 1);

/** A decoded array; for `lower` the last two axes are a square of which only the lower triangle is stored. */
export class Grid {
  constructor(
    readonly dtype: ArrayEntry["dtype"],
    readonly shape: readonly number[],
    readonly storage: ArrayEntry["layout"],
    readonly raw: Uint8Array | Int32Array | Float32Array,
    readonly scale = 1,
    readonly offset = 0,
  ) {}

  /** Numbers stored for one square (or rectangle) of the last two axes. */
  get planeSize(): number {
    const [rows, cols] = this.plane;
    return this.storage === "lower" ? (rows * (rows + 1)) / 2 : rows * cols;
  }

  get plane(): [number, number] {
    return [this.shape.at(-2) ?? 1, this.shape.at(-1) ?? 1];
  }

  /** Where (row, col) of plane number `plane` is stored; -1 above the diagonal of a `lower` array. */
  index(plane: number, row: number, col: number): number {
    if (this.storage === "lower")
      return col > row ? -1 : plane * this.planeSize + (row * (row + 1)) / 2 + col;
    return plane * this.planeSize + row * this.plane[1] + col;
  }

  /** All values of one plane, row by row, as `value` gives them: a pattern of 1,024 tokens has a million. */
  values(plane: number): Float32Array<ArrayBuffer> {
    const [rows, cols] = this.plane;
    const found = new Float32Array(rows * cols);
    const known = new Float32Array(256).map((_, byte) =>
      byte === NOT_FINITE ? Number.NaN : this.offset + this.scale * byte,
    );
    for (let row = 0; row < rows; row++) {
      const from = this.index(plane, row, 0);
      const end = this.storage === "lower" ? row + 1 : cols;
      for (let col = 0; col < end; col++) {
        const raw = this.raw[from + col] as number;
        found[row * cols + col] = this.dtype === "u8" ? (known[raw] as number) : raw;
      }
    }
    return found;
  }

  /** The value there; NaN when it is not finite, 0 above the diagonal of a `lower` array. */
  value(plane: number, row: number, col: number): number {
    const at = this.index(plane, row, col);
    if (at < 0) return 0;
    const raw = this.raw[at] ?? Number.NaN;
    if (this.dtype !== "u8") return raw;
    return raw === NOT_FINITE ? Number.NaN : this.offset + this.scale * raw;
  }
}

/** Reads one entry. Its bytes are `entry.data` (traits) or `buffers[entry.buffer]` (messages).
 *
 * @throws BuffersMissing when the bytes are absent or their number is not what the shape asks for.
 */
export function decode(entry: ArrayEntry, buffers: readonly unknown[] = []): Grid {
  const { dtype, shape, layout, scale, offset, buffer, data } = entry;
  const bytes = asBytes(data ?? (buffer === undefined ? undefined : buffers[buffer]));
  if (!bytes)
    throw new BuffersMissing("The picture arrived without its binary data: this notebook host drops it.");
  const side = shape.at(-1) ?? 1;
  const count = layout === "lower" ? (product(shape.slice(0, -2)) * side * (side + 1)) / 2 : product(shape);
  const expected = count * WIDTH[dtype];
  if (bytes.byteLength !== expected) {
    throw new BuffersMissing(
      `The picture's binary data is damaged: ${bytes.byteLength} bytes arrived where ${expected} were expected.`,
    );
  }
  return new Grid(dtype, shape, layout, numbers(dtype, bytes), scale, offset);
}

export function decodeAll(entries: ArrayEntries, buffers: readonly unknown[] = []): Record<string, Grid> {
  return Object.fromEntries(Object.entries(entries).map(([name, entry]) => [name, decode(entry, buffers)]));
}

function numbers(dtype: ArrayEntry["dtype"], bytes: Uint8Array) {
  if (dtype === "u8") return bytes;
  // A DataView reads little-endian on every machine and from any alignment; a typed array does neither.
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const [out, read]: [Int32Array | Float32Array, "getInt32" | "getFloat32"] =
    dtype === "i32"
      ? [new Int32Array(bytes.length / 4), "getInt32"]
      : [new Float32Array(bytes.length / 4), "getFloat32"];
  for (let at = 0; at < out.length; at++) out[at] = view[read](at * 4, true);
  return out;
}
