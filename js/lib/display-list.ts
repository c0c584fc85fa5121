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

/** Items moved by so much. */
export const shifted = (items: readonly Item[], dx: number, dy: number): Item[] =>
  items.map((item) =>
    item.kind === "path"
      ? { ...item, points: item.points.map(([x, y]) => [x + dx, y + dy] as const) }
      : { ...item, x: item.x + dx, y: item.y + dy },
  );

/** Left-to-right isolation round a label: a right-to-left token must not turn its neighbours over. */
const isolated = (text: string) => `\u2068${text}\u2069`;

/** Gives a canvas its size in CSS pixels, sharp on the screen's own pixels; tells whether that emptied it. */
export function sizeCanvas(canvas: HTMLCanvasElement, width: number, height: number, ratio: number): boolean {
  const [across, down] = [width, height].map((size) => Math.max(1, Math.round(size * ratio))) as [
    number,
    number,
  ];
  const other = canvas.width !== across || canvas.height !== down;
  if (other) {
    canvas.width = across;
    canvas.height = down;
  }
  canvas.style.width = `${width}px`;
  canvas.style.height = `${height}px`;
  return other;
}

export function drawCanvas(
  canvas: HTMLCanvasElement,
  { width, height, background, items }: Figure,
  ratio = globalThis.devicePixelRatio || 1,
): void {
  sizeCanvas(canvas, width, height, ratio);
  const context = canvas.getContext("2d");
  if (!context) return;
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  drawItem(context, { kind: "rect", x: 0, y: 0, width, height, fill: background }, ratio);
  for (const item of items) drawItem(context, item, ratio);
}

const ALIGNED = { start: "left", middle: "center", end: "right" } as const;

export function drawItem(context: CanvasRenderingContext2D, item: Item, ratio: number): void {
  if (item.kind === "cells") return drawCells(context, item, ratio);
  context.save();
  context.beginPath();
  if (item.kind === "text") {
    context.translate(item.x, item.y);
    context.rotate(((item.turn ?? 0) * Math.PI) / 180);
    context.fillStyle = css(item.fill);
    context.font = `${item.bold ? "600 " : ""}${item.size}px ${item.font}`;
    context.textAlign = ALIGNED[item.align ?? "start"];
    context.textBaseline = "middle";
    context.fillText(isolated(item.text), 0, 0);
  } else {
    if (item.kind === "path") {
      for (const [x, y] of item.points) context.lineTo(x, y);
      context.setLineDash([...(item.dash ?? [])]);
    } else {
      context.roundRect(item.x, item.y, item.width, item.height, item.radius ?? 0);
      if (item.fill) {
        context.fillStyle = css(item.fill);
        context.fill();
      }
    }
    if (item.stroke) {
      context.strokeStyle = css(item.stroke);
      context.lineWidth = item.line ?? 1;
      context.stroke();
    }
  }
  context.restore();
}

type Cells = Extract<Item, { kind: "cells" }>;

function drawCells(context: CanvasRenderingContext2D, item: Cells, ratio: number): void {
  const { rows, cols } = item;
  if (rows === 0 || cols === 0) return;
  const { source, empty } = rasterOf(item);
  context.imageSmoothingEnabled = false;
  context.drawImage(source, item.x, item.y, item.width, item.height);
  const [w, h] = [item.width / cols, item.height / rows];
  for (const [row, col] of empty)
    hatchCell(context, item.x + col * w, item.y + row * h, w, h, item.hatch, ratio);
}

interface Raster {
  source: HTMLCanvasElement;
  empty: [number, number][];
}
/** A picture is redrawn far more often, for each mark on it, than its cells change. */
const rasters = new WeakMap<Uint8ClampedArray, Raster>();

function rasterOf({ rgba, rows, cols }: Cells): Raster {
  const known = rasters.get(rgba);
  if (known) return known;
  const source = document.createElement("canvas");
  source.width = cols;
  source.height = rows;
  source.getContext("2d")?.putImageData(new ImageData(rgba, cols, rows), 0, 0);
  const empty: Raster["empty"] = [];
  for (let at = 0; at < rows * cols; at++)
    if (rgba[at * 4 + 3] === 0) empty.push([Math.floor(at / cols), at % cols]);
  const raster = { source, empty };
  rasters.set(rgba, raster);
  return raster;
}

function hatchCell(
  c: CanvasRenderingContext2D,
  x: number,
  y: number,
  w: number,
  h: number,
  colour: Rgb,
  ratio: number,
) {
  c.save();
  c.beginPath();
  c.rect(x, y, w, h);
  c.clip();
  c.strokeStyle = css(colour);
  c.lineWidth = Math.max(1 / ratio, Math.min(1, w / 5));
  c.beginPath();
  for (let d = -h; d < w; d += Math.max(3, w / 3)) {
    c.moveTo(x + d, y + h);
    c.lineTo(x + d + h, y);
  }
  c.stroke();
  c.restore();
}

type Attribute = string | number | Rgb | false | null | undefined;
const round = (value: number) => String(Math.round(value * 100) / 100);

/** An element of SVG: numbers are rounded, colours written, text escaped; what has no value is left out. */
function tag(name: string, attributes: Record<string, Attribute>, inner = ""): string {
  const written = Object.entries(attributes).map(([key, value]) => {
    if (value == null || value === false) return "";
    const text =
      typeof value === "number" ? round(value) : typeof value === "string" ? escapeXml(value) : css(value);
    return ` ${key}="${text}"`;
  });
  return `<${name}${written.join("")}>${inner}</${name}>`;
}

/** The figure as an SVG document; text is escaped, nothing in it can run. */
export function toSvg({ width, height, background, items }: Figure, title: string): string {
  const body = [tag("title", {}, escapeXml(title)), tag("rect", { width, height, fill: background })];
  const xmlns = "http://www.w3.org/2000/svg";
  const viewBox = `0 0 ${round(width)} ${round(height)}`;
  body.push(...items.map(svgItem));
  return tag("svg", { xmlns, width, height, viewBox, role: "img" }, `\n${body.join("\n")}\n`);
}

function svgItem(item: Item): string {
  if (item.kind === "cells") return svgCells(item);
  if (item.kind === "text") {
    const { x, y, fill } = item;
    return tag(
      "text",
      {
        x,
        y,
        fill,
        "font-size": item.size,
        "font-family": item.font,
        "font-weight": item.bold && 600,
        "text-anchor": item.align ?? "start",
        "dominant-baseline": "central",
        transform: item.turn && `rotate(${[item.turn, x, y].map(round).join(" ")})`,
      },
      escapeXml(isolated(item.text)),
    );
  }
  const { stroke } = item;
  const line = { stroke, "stroke-width": stroke && (item.line ?? 1) };
  if (item.kind === "path") {
    const d = `M${item.points.map((point) => point.map(round).join(" ")).join("L")}`;
    return tag("path", { d, fill: "none", ...line, "stroke-dasharray": item.dash?.join(" ") });
  }
  const { x, y, width, height, fill = "none", radius: rx } = item;
  return tag("rect", { x, y, width, height, fill, rx, ...line });
}

/** Cells of one colour become one path, runs along a row one rectangle of it: small files that stay vector. */
function svgCells({ rows, cols, rgba, x, y, width, height, hatch }: Cells): string {
  /** The path of each colour; of the holes, which have none, under "". */
  const paths = new Map<string, string>();
  const colourAt = (at: number) => {
    const [r, g, b, alpha] = rgba.subarray(at * 4, at * 4 + 4) as unknown as [number, number, number, number];
    return alpha && css([r, g, b]);
  };
  for (let row = 0; row < rows; row++) {
    for (let col = 0; col < cols; ) {
      const start = col;
      const colour = colourAt(row * cols + col++) || "";
      while (colour && col < cols && colourAt(row * cols + col) === colour) col++;
      const run = col - start;
      const d = colour ? `M${start} ${row}h${run}v1h${-run}z` : `M${start} ${row + 1}L${col} ${row}`;
      paths.set(colour, (paths.get(colour) ?? "") + d);
    }
  }
  const inner = [...paths].map(([fill, d]) =>
    tag("path", fill ? { d, fill } : { d, stroke: hatch, "stroke-width": 0.15, fill: "none" }),
  );
  const transform = `translate(${round(x)} ${round(y)}) scale(${width / cols} ${height / rows})`;
  return tag("g", { transform, "shape-rendering": "crispEdges" }, inner.join(""));
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
