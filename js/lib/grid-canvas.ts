// What grids of layers by columns have in common: they are painted where they are scrolled to, a cell is brought into
// view, and the cell under the keyboard's cursor has a twin that is read out.
import { css, type Rgb } from "./colour";
import { drawItem, type Item, sizeCanvas } from "./display-list";
import { attribute, h, set } from "./dom";

/** The elements of a grid: the canvas stays, what it shows scrolls. */
export interface GridParts {
  stage: HTMLElement;
  scroller: HTMLElement;
  holder: HTMLElement;
  canvas: HTMLCanvasElement;
}

/** Height of the canvas, and how far the rows under the headings are scrolled. */
export function gridView(scroller: HTMLElement, headings: number, rows: number, most: number) {
  const height = Math.min(headings + rows, most);
  const hidden = headings + rows - height;
  // Where all is in view the page is not asked: it would be laid out for that.
  return { height, top: hidden && Math.max(0, Math.min(scroller.scrollTop, hidden)) };
}

/** What is on a canvas. */
const painted = new WeakMap<HTMLCanvasElement, string>();

/**
 * Paints `body`, and over what of it is scrolled away the headings; says whether there is a canvas to paint on. What is
 * there already is not painted again: of several grids a new result seldom changes all.
 */
export function paintGrid(
  { stage, scroller, holder, canvas }: GridParts,
  { width, top }: { width: number; top: number },
  [height, rows]: readonly [canvas: number, rows: number],
  background: Rgb,
  body: Item[],
  head: Item[],
): boolean {
  const ratio = globalThis.devicePixelRatio || 1;
  const drawing = canvas.getContext("2d", { alpha: false });
  const now = JSON.stringify([width, top, height, rows, background, body, head, ratio]);
  if (!drawing || now === painted.get(canvas)) return !!drawing;
  painted.set(canvas, now);
  stage.style.height = `${top + rows}px`;
  scroller.style.maxHeight = holder.style.height = `${height}px`;
  sizeCanvas(canvas, width, height, ratio);
  drawing.setTransform(ratio, 0, 0, ratio, 0, 0);
  for (const [items, bottom] of [
    [body, height],
    [head, top],
  ] as const) {
    drawing.fillStyle = css(background);
    drawing.fillRect(0, 0, width, bottom);
    for (const item of items) drawItem(drawing, item, ratio);
  }
  return true;
}

/** A mark over a grid, in pixels of its holder. */
export function ringAt(
  of: "lens" | "sweep",
  kind: string,
  x: number,
  y: number,
  width: number,
  height: number,
  run?: string,
): HTMLElement {
  const mark = h(`div.${of}-ring`, { "data-kind": kind, "data-run": run ?? null });
  mark.style.cssText = `transform:translate(${x}px,${y}px);width:${width}px;height:${height}px`;
  return mark;
}

/** Scrolls the grid, never the page, until a line from `top` to `bottom` is in view under the headings. */
export function scrollToLine(scroller: HTMLElement, headings: number, top: number, bottom: number): void {
  const room = scroller.clientHeight - headings;
  if (top < scroller.scrollTop) scroller.scrollTop = top;
  else if (bottom > scroller.scrollTop + room) scroller.scrollTop = bottom - room;
}

/** The accessible twin of the cell under the cursor; null where there is none. */
export function tellCell(
  canvas: HTMLElement,
  active: HTMLElement,
  cell: { row: number; column: number; label: string; selected?: boolean } | null,
): void {
  attribute(canvas, "aria-activedescendant", cell && active.id);
  if (!cell) return;
  attribute(active.parentElement as HTMLElement, "aria-rowindex", cell.row + 1);
  set(active, { "aria-colindex": cell.column + 1, "aria-label": cell.label, "aria-selected": cell.selected });
}
