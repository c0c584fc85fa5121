// The atlas on its canvas, painted row by row and only where something new is: streamed layers cost their own pixels,
// hovering costs none, and a large atlas is spread over several frames.
import { thumbOrigin } from "../lib/atlas-layout";
import { css } from "../lib/colour";
import { drawItem } from "../lib/display-list";
import { type Head, headKey } from "../lib/heads";
import { type Palette, paletteFor, Thumbnails } from "../lib/thumbnails";
import { type AtlasLook, headings, rowItems } from "./atlas-figure";

/** Thumbnails painted in one frame: a few milliseconds on a slow machine. */
const PER_FRAME = 256;

export class AtlasCanvas {
  /** Of each row: 0 before it is painted, then one more than the heads in it that had arrived. */
  #painted = new Uint16Array(0);
  #look: AtlasLook | null = null;
  #ratio = 0;
  #painter: Thumbnails | null = null;
  #palettes: { full: Palette; faded: Palette } | null = null;

  constructor(private readonly canvas: HTMLCanvasElement) {}

  /** Paints what has changed since the last call; false when more is left for the next frame. */
  paint(look: AtlasLook, ratio = globalThis.devicePixelRatio || 1): boolean {
    const context = this.canvas.getContext("2d", { alpha: false });
    if (!context) return true;
    if (!this.#same(look, ratio)) this.#begin(look, ratio, context);
    const { atlas, layout } = look;
    if (this.#painter?.atlas !== atlas)
      this.#painter = new Thumbnails(atlas, Math.max(1, Math.round(layout.thumb * ratio)));
    let painted = 0;
    for (let row = 0; row < layout.rows; row++) {
      const cells = layout.cells.slice(row * layout.columns, (row + 1) * layout.columns);
      const state = 1 + cells.filter(([layer]) => atlas.arrived[layer]).length;
      if (state === this.#painted[row]) continue;
      if (painted >= PER_FRAME) return false;
      this.#row(look, row, context);
      this.#painted[row] = state;
      painted += cells.length;
    }
    return true;
  }

  /** Is the picture on the canvas of this look, so that only layers that have arrived since are new? */
  #same(look: AtlasLook, ratio: number): boolean {
    const before = this.#look;
    return (
      before !== null &&
      ratio === this.#ratio &&
      before.layout === look.layout &&
      before.theme === look.theme &&
      before.score === look.score &&
      before.scale === look.scale &&
      before.kept === look.kept &&
      before.atlas.thumbs === look.atlas.thumbs &&
      before.atlas.scores === look.atlas.scores &&
      before.atlas.missing === look.atlas.missing
    );
  }

  #begin(look: AtlasLook, ratio: number, context: CanvasRenderingContext2D): void {
    const { canvas } = this;
    const { layout, theme } = look;
    this.#painted = new Uint16Array(layout.rows);
    const [width, height] = [Math.round(layout.width * ratio), Math.round(layout.height * ratio)];
    if (canvas.width !== width || canvas.height !== height) {
      canvas.width = width;
      canvas.height = height;
      canvas.style.width = `${layout.width}px`;
      canvas.style.height = `${layout.height}px`;
      context.fillStyle = css(theme.background);
      context.fillRect(0, 0, width, height);
    }
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.fillStyle = css(theme.background);
    // Rows clear their own ground when they are painted: the old picture stays until then.
    context.fillRect(0, 0, layout.width, layout.top - layout.caption - 1);
    const end = layout.top - layout.caption + layout.rows * layout.pitchY;
    context.fillRect(0, end, layout.width, layout.height - end);
    for (const item of headings(look)) drawItem(context, item, ratio);
    this.#look = look;
    this.#ratio = ratio;
    this.#painter = null;
    this.#palettes = {
      full: paletteFor(look.atlas, theme),
      faded: paletteFor(look.atlas, theme, true),
    };
  }

  #row(look: AtlasLook, row: number, context: CanvasRenderingContext2D): void {
    const { layout, theme, kept } = look;
    const ratio = this.#ratio;
    const painter = this.#painter as Thumbnails;
    const { full, faded } = this.#palettes as { full: Palette; faded: Palette };
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
