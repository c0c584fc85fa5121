// The atlas on its canvas, painted row by row and only where something new is: streamed layers cost their own pixels,
// hovering costs none, and a large atlas is spread over several frames.
import { thumbOrigin } from "../lib/atlas-layout";
import { css } from "../lib/colour";
import { drawItem, sizeCanvas } from "../lib/display-list";
import { memo } from "../lib/dom";
import { type Head, headKey } from "../lib/heads";
import { type Palette, paletteFor, Thumbnails } from "../lib/thumbnails";
import { type AtlasLook, headings, rowItems } from "./atlas-figure";

/** Thumbnails painted in one frame: a few milliseconds on a slow machine. */
const PER_FRAME = 256;

export class AtlasCanvas {
  /** Of each row: 0 before it is painted, then one more than the heads in it that had arrived. */
  #painted = new Uint16Array(0);
  readonly #ground = memo<{ full: Palette; faded: Palette }>();
  readonly #painter = memo<Thumbnails>();

  constructor(private readonly canvas: HTMLCanvasElement) {}

  /** Paints what has changed since the last call; false when more is left for the next frame. */
  paint(look: AtlasLook, ratio = globalThis.devicePixelRatio || 1): boolean {
    const context = this.canvas.getContext("2d", { alpha: false });
    if (!context) return true;
    const { atlas, layout } = look;
    // Of one look on one screen only layers that have arrived since are new.
    const facts = [
      layout,
      look.theme,
      look.scoreName,
      look.scale,
      look.kept,
      atlas.thumbnails,
      atlas.scores,
      atlas.absent,
    ];
    const palettes = this.#ground([ratio, ...facts], () => this.#begin(look, ratio, context));
    const pixels = Math.max(1, Math.round(layout.thumb * ratio));
    const painter = this.#painter([atlas, pixels], () => new Thumbnails(atlas, pixels));
    let painted = 0;
    for (let row = 0; row < layout.rows; row++) {
      const cells = layout.cells.slice(row * layout.columns, (row + 1) * layout.columns);
      const state = 1 + cells.filter(([layer]) => atlas.arrived[layer]).length;
      if (state === this.#painted[row]) continue;
      if (painted >= PER_FRAME) return false;
      this.#row(look, row, context, ratio, painter, palettes);
      this.#painted[row] = state;
      painted += cells.length;
    }
    return true;
  }

  #begin(look: AtlasLook, ratio: number, context: CanvasRenderingContext2D) {
    const { atlas, layout, theme } = look;
    const { width, height, top, caption, rows, pitchY } = layout;
    this.#painted = new Uint16Array(rows);
    const emptied = sizeCanvas(this.canvas, width, height, ratio);
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.fillStyle = css(theme.background);
    // Rows clear their own ground when they are painted: the old picture stays until then.
    const end = top - caption + rows * pitchY;
    context.fillRect(0, 0, width, emptied ? height : top - caption - 1);
    context.fillRect(0, end, width, height - end);
    for (const item of headings(look)) drawItem(context, item, ratio);
    return { full: paletteFor(atlas, theme), faded: paletteFor(atlas, theme, true) };
  }

  #row(
    look: AtlasLook,
    row: number,
    context: CanvasRenderingContext2D,
    ratio: number,
    painter: Thumbnails,
    { full, faded }: { full: Palette; faded: Palette },
  ): void {
    const { layout, theme, kept } = look;
    const first = row * layout.columns;
    const count = Math.min(layout.columns, layout.cells.length - first);
    const [x, y] = thumbOrigin(layout, first).map((place) => Math.round(place * ratio)) as [number, number];
    const width = Math.round((layout.left + (count - 1) * layout.pitchX) * ratio) - x + painter.pixels;
    const image = context.createImageData(width, painter.pixels);
    const pixels = new Uint32Array(image.data.buffer).fill(full.ground);
    for (let column = 0; column < count; column++) {
      const head = layout.cells[first + column] as Head;
      const left = Math.round((layout.left + column * layout.pitchX) * ratio) - x;
      const palette = kept?.has(headKey(head)) === false ? faded : full;
      painter.draw(pixels, width, left, head, palette);
    }
    context.fillStyle = css(theme.background);
    const above = layout.top - layout.caption + row * layout.pitchY;
    context.fillRect(0, above - 1, layout.width, layout.pitchY);
    context.putImageData(image, x, y);
    for (const item of rowItems(look, row)) drawItem(context, item, ratio);
  }
}
