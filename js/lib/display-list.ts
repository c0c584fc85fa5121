// What a figure consists of, as plain data, and two ways to draw it: on a canvas for the screen, as SVG for a paper.
// Views make the list once; neither back end knows what it draws.
import type { Rgb } from "./colour";
import { css } from "./colour";

export type Item =
  | {
      kind: "rect";
      x: number;
      y: number;
      width: number;
      height: number;
      fill?: Rgb;
      stroke?: Rgb;
      line?: number;
      radius?: number;
    }
  | {
      kind: "text";
      x: number;
      y: number;
      text: string;
      fill: Rgb;
      size: number;
      font: string;
      bold?: boolean;
      align?: "start" | "middle" | "end";
      turn?: number;
    }
  | {
      kind: "path";
      points: readonly (readonly [number, number])[];
      stroke: Rgb;
      line: number;
      dash?: readonly number[];
    }
  /** A raster of rows x cols cells, RGBA bytes; cells with alpha 0 are hatched: there is no number there. */
  | {
      kind: "cells";
      x: number;
      y: number;
      width: number;
      height: number;
      rows: number;
      cols: number;
      rgba: Uint8ClampedArray<ArrayBuffer>;
      hatch: Rgb;
    };

export interface Figure {
  width: number;
  height: number;
  background: Rgb;
  items: Item[];
}

/** Left-to-right isolation round a label: a right-to-left token must not turn its neighbours over. */
const isolated = (text: string) => `\u2068${text}\u2069`;

/** Draws the figure, sized in CSS pixels and sharp on the screen's own pixels. */
export function drawCanvas(
  canvas: HTMLCanvasElement,
  figure: Figure,
  ratio = globalThis.devicePixelRatio || 1,
): void {
  const width = Math.max(1, Math.round(figure.width * ratio));
  const height = Math.max(1, Math.round(figure.height * ratio));
  if (canvas.width !== width) canvas.width = width;
  if (canvas.height !== height) canvas.height = height;
  canvas.style.width = `${figure.width}px`;
  canvas.style.height = `${figure.height}px`;
  const context = canvas.getContext("2d");
  if (!context) return;
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.fillStyle = css(figure.background);
  context.fillRect(0, 0, figure.width, figure.height);
  for (const item of figure.items) drawItem(context, item, ratio);
}

export function drawItem(context: CanvasRenderingContext2D, item: Item, ratio: number): void {
  if (item.kind === "rect") {
    context.beginPath();
    if (item.radius) context.roundRect(item.x, item.y, item.width, item.height, item.radius);
    else context.rect(item.x, item.y, item.width, item.height);
    if (item.fill) {
      context.fillStyle = css(item.fill);
      context.fill();
    }
    if (item.stroke) {
      context.strokeStyle = css(item.stroke);
      context.lineWidth = item.line ?? 1;
      context.stroke();
    }
  } else if (item.kind === "text") {
    context.save();
    context.translate(item.x, item.y);
    if (item.turn) context.rotate((item.turn * Math.PI) / 180);
    context.fillStyle = css(item.fill);
    context.font = `${item.bold ? "600 " : ""}${item.size}px ${item.font}`;
    context.textAlign = item.align === "middle" ? "center" : item.align === "end" ? "right" : "left";
    context.textBaseline = "middle";
    context.fillText(isolated(item.text), 0, 0);
    context.restore();
  } else if (item.kind === "path") {
    context.beginPath();
    for (const [index, [x, y]] of item.points.entries()) index ? context.lineTo(x, y) : context.moveTo(x, y);
    context.strokeStyle = css(item.stroke);
    context.lineWidth = item.line;
    context.setLineDash([...(item.dash ?? [])]);
    context.stroke();
    context.setLineDash([]);
  } else drawCells(context, item, ratio);
}

type Cells = Extract<Item, { kind: "cells" }>;

function drawCells(context: CanvasRenderingContext2D, item: Cells, ratio: number): void {
  const { rows, cols } = item;
  if (rows === 0 || cols === 0) return;
  const { source, empty } = rasterOf(item);
  context.imageSmoothingEnabled = false;
  context.drawImage(source, item.x, item.y, item.width, item.height);
  const cell = item.width / cols;
  for (const [row, col] of empty) {
    const x = item.x + col * cell;
    const y = item.y + (row * item.height) / rows;
    hatchCell(context, x, y, cell, item.height / rows, css(item.hatch), ratio);
  }
}

interface Raster {
  source: HTMLCanvasElement;
  empty: [number, number][];
}
/** A picture is redrawn far more often, for each mark on it, than its cells change. */
const rasters = new WeakMap<Uint8ClampedArray, Raster>();

function rasterOf(item: Cells): Raster {
  const known = rasters.get(item.rgba);
  if (known) return known;
  const source = document.createElement("canvas");
  source.width = item.cols;
  source.height = item.rows;
  source.getContext("2d")?.putImageData(new ImageData(item.rgba, item.cols, item.rows), 0, 0);
  const raster = { source, empty: [...holes(item)] };
  rasters.set(item.rgba, raster);
  return raster;
}

function* holes(item: Cells): Generator<[number, number]> {
  for (let at = 0; at < item.rows * item.cols; at++) {
    if (item.rgba[at * 4 + 3] === 0) yield [Math.floor(at / item.cols), at % item.cols];
  }
}

function hatchCell(
  c: CanvasRenderingContext2D,
  x: number,
  y: number,
  w: number,
  h: number,
  colour: string,
  ratio: number,
) {
  c.save();
  c.beginPath();
  c.rect(x, y, w, h);
  c.clip();
  c.strokeStyle = colour;
  c.lineWidth = Math.max(1 / ratio, Math.min(1, w / 5));
  const step = Math.max(3, w / 3);
  c.beginPath();
  for (let d = -h; d < w; d += step) {
    c.moveTo(x + d, y + h);
    c.lineTo(x + d + h, y);
  }
  c.stroke();
  c.restore();
}

/** The figure as an SVG document; text is escaped, nothing in it can run. */
export function toSvg(figure: Figure, title: string): string {
  const { width, height } = figure;
  const n = (value: number) => String(Math.round(value * 100) / 100);
  const body = figure.items.map((item) => svgItem(item, n)).join("\n");
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${n(width)}" height="${n(height)}" viewBox="0 0 ${n(width)} ${n(height)}" role="img">`,
    `<title>${escapeXml(title)}</title>`,
    `<rect width="100%" height="100%" fill="${css(figure.background)}"/>`,
    body,
    "</svg>",
  ].join("\n");
}

function svgItem(item: Item, n: (value: number) => string): string {
  if (item.kind === "rect") {
    const fill = item.fill ? css(item.fill) : "none";
    const stroke = item.stroke ? ` stroke="${css(item.stroke)}" stroke-width="${n(item.line ?? 1)}"` : "";
    const radius = item.radius ? ` rx="${n(item.radius)}"` : "";
    return `<rect x="${n(item.x)}" y="${n(item.y)}" width="${n(item.width)}" height="${n(item.height)}" fill="${fill}"${stroke}${radius}/>`;
  }
  if (item.kind === "text") {
    const turn = item.turn ? ` transform="rotate(${n(item.turn)} ${n(item.x)} ${n(item.y)})"` : "";
    const weight = item.bold ? ' font-weight="600"' : "";
    return `<text x="${n(item.x)}" y="${n(item.y)}" fill="${css(item.fill)}" font-size="${n(item.size)}" font-family="${escapeXml(item.font)}"${weight} text-anchor="${item.align ?? "start"}" dominant-baseline="central"${turn}>${escapeXml(isolated(item.text))}</text>`;
  }
  if (item.kind === "path") {
    const d = item.points.map(([x, y], index) => `${index ? "L" : "M"}${n(x)} ${n(y)}`).join("");
    const dash = item.dash ? ` stroke-dasharray="${item.dash.map(n).join(" ")}"` : "";
    return `<path d="${d}" fill="none" stroke="${css(item.stroke)}" stroke-width="${n(item.line)}"${dash}/>`;
  }
  return svgCells(item, n);
}

/** Cells of one colour become one path, runs along a row one rectangle of it: small files that stay vector. */
function svgCells(item: Cells, n: (value: number) => string): string {
  const { rows, cols, rgba } = item;
  const paths = new Map<string, string[]>();
  for (let row = 0; row < rows; row++) {
    for (let col = 0; col < cols; ) {
      const at = (row * cols + col) * 4;
      const hole = rgba[at + 3] === 0;
      const key = hole ? "hole" : css([rgba[at] as number, rgba[at + 1] as number, rgba[at + 2] as number]);
      let end = col + 1;
      const next = (c: number) => (row * cols + c) * 4;
      const same = (c: number) =>
        rgba[next(c) + 3] === rgba[at + 3] &&
        [0, 1, 2].every((k) => hole || rgba[next(c) + k] === rgba[at + k]);
      while (end < cols && !hole && same(end)) end++;
      const d = hole ? `M${col} ${row + 1}L${col + 1} ${row}` : `M${col} ${row}h${end - col}v1h${col - end}z`;
      paths.set(key, [...(paths.get(key) ?? []), d]);
      col = end;
    }
  }
  const scale = `translate(${n(item.x)} ${n(item.y)}) scale(${item.width / cols} ${item.height / rows})`;
  const inner = [...paths].map(([key, parts]) =>
    key === "hole"
      ? `<path d="${parts.join("")}" stroke="${css(item.hatch)}" stroke-width="0.15" fill="none"/>`
      : `<path d="${parts.join("")}" fill="${key}"/>`,
  );
  return `<g transform="${scale}" shape-rendering="crispEdges">${inner.join("")}</g>`;
}

/** Text made safe for XML: markup escaped, characters that XML forbids shown as their replacement sign. */
export function escapeXml(text: string): string {
  return (
    text
      .replace(/[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/g, "\ufffd")
      // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what XML 1.0 forbids
      .replace(/[\u0000-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]/g, "\ufffd")
      .replace(/[&<>"']/g, (char) => `&#${char.charCodeAt(0)};`)
  );
}

/** The figure as PNG bytes at `scale` pixels per unit. */
export function toPng(figure: Figure, scale = 2): Promise<Blob> {
  const canvas = document.createElement("canvas");
  drawCanvas(canvas, figure, scale);
  return new Promise((resolve, reject) => {
    canvas.toBlob(
      (blob) => (blob ? resolve(blob) : reject(new Error("This browser made no PNG."))),
      "image/png",
    );
  });
}
