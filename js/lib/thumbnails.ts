// Thumbnails as pixels of the screen: a pattern drawn smaller than its cells keeps the strongest cell of each pixel,
// so that a single strong key never vanishes, whatever the size and the screen.
import { NOT_FINITE } from "./arrays";
import type { Atlas } from "./atlas";
import { mix, packed, type Rgb } from "./colour";
import type { Head } from "./heads";
import { isSigned } from "./patterns";
import type { Theme } from "./theme";

/** Colours of bytes as the canvas stores them, 32 bits a pixel; `faded` for heads that a filter leaves out. */
export interface Palette {
  cells: Uint32Array;
  future: number;
  ground: number;
  hatch: number;
}

/** How far a head that is filtered out fades into the background. */
const FADE = 0.82;

export function paletteFor(atlas: Atlas, theme: Theme, faded = false): Palette {
  const table = isSigned(atlas.run) ? theme.diverging : theme.sequential;
  const { scale, offset } = atlas.thumbnails;
  const tone = (colour: Rgb) => (faded ? mix(colour, theme.background, FADE) : colour);
  const values = Array.from({ length: NOT_FINITE }, (_, byte) => tone(table.colour(offset + scale * byte)));
  const marks = packed([theme.future, theme.background, theme.muted].map(tone));
  const [future, ground, hatch] = marks as unknown as [number, number, number];
  return { cells: packed(values), future, ground, hatch };
}

/** Draws thumbnails of one atlas into pixels; what is the same for all of them is worked out once. */
export class Thumbnails {
  readonly #first: Uint16Array;
  readonly #rows: Int32Array;
  readonly #size: Float32Array;

  /** @param pixels device pixels of a thumbnail's side. */
  constructor(
    readonly atlas: Atlas,
    readonly pixels: number,
  ) {
    const { side, thumbnails: thumbs } = atlas;
    // Pixel p shows the cells first[p] .. first[p + 1], at least one.
    this.#first = Uint16Array.from({ length: pixels + 1 }, (_, p) => Math.floor((p * side) / pixels));
    this.#rows = Int32Array.from({ length: side }, (_, row) => thumbs.index(0, row, 0));
    this.#size = Float32Array.from({ length: 256 }, (_, byte) =>
      byte === NOT_FINITE ? Number.POSITIVE_INFINITY : Math.abs(thumbs.offset + thumbs.scale * byte),
    );
  }

  /** Writes one head at column `left` of rows that are `stride` pixels wide. */
  draw(into: Uint32Array, stride: number, left: number, [layer, head]: Head, palette: Palette): void {
    const { atlas, pixels } = this;
    const waiting = !atlas.arrived[layer] || atlas.absent[layer] !== undefined;
    for (let y = 0; y < pixels; y++) {
      const row = y * stride + left;
      if (waiting) into.fill(palette.future, row, row + pixels);
      else this.#line(into, row, y, (layer * atlas.heads + head) * atlas.thumbnails.planeSize, palette);
    }
  }

  #line(into: Uint32Array, at: number, y: number, plane: number, palette: Palette): void {
    const raw = this.atlas.thumbnails.raw as Uint8Array;
    const top = this.#first[y] as number;
    const bottom = Math.max(top + 1, this.#first[y + 1] as number);
    for (let x = 0; x < this.pixels; x++) {
      const first = this.#first[x] as number;
      const last = Math.max(first + 1, this.#first[x + 1] as number);
      let strongest = -1;
      let size = -1;
      for (let row = top; row < bottom; row++) {
        const start = plane + (this.#rows[row] as number);
        // What lies above the diagonal holds only what the causal mask forbids, pooled or not.
        const end = start + Math.min(last, row + 1);
        for (let cell = start + first; cell < end; cell++) {
          const byte = raw[cell] as number;
          if ((this.#size[byte] as number) > size) {
            size = this.#size[byte] as number;
            strongest = byte;
          }
        }
      }
      into[at + x] =
        strongest < 0
          ? palette.future
          : strongest === NOT_FINITE
            ? (x + y) % 5
              ? palette.ground
              : palette.hatch
            : (palette.cells[strongest] as number);
    }
  }
}
