// @vitest-environment happy-dom
import { describe, expect, test } from "vitest";
import { drawCanvas, escapeXml, type Figure, toSvg } from "../../js/lib/display-list";

const RED = [255, 0, 0, 255];
const BLUE = [0, 0, 255, 255];
const HOLE = [0, 0, 0, 0];

const figure: Figure = {
  width: 100,
  height: 60,
  background: [255, 255, 255],
  items: [
    {
      kind: "cells",
      x: 10,
      y: 5,
      width: 40,
      height: 20,
      rows: 2,
      cols: 4,
      rgba: Uint8ClampedArray.from([RED, RED, BLUE, HOLE, BLUE, RED, RED, RED].flat()),
      hatch: [9, 9, 9],
    },
    { kind: "rect", x: 1, y: 2, width: 3, height: 4, stroke: [1, 2, 3], line: 2, radius: 1 },
    { kind: "rect", x: 60, y: 2, width: 3, height: 4, fill: [4, 5, 6] },
    {
      kind: "text",
      x: 5,
      y: 50,
      text: "</text><script>alert(1)</script>",
      fill: [0, 0, 0],
      size: 11,
      font: '"DejaVu Sans Mono", monospace',
      turn: 90,
      align: "end",
      bold: true,
    },
    {
      kind: "path",
      points: [
        [0, 0],
        [10, 10],
      ],
      stroke: [7, 8, 9],
      line: 1,
      dash: [2, 2],
    },
  ],
};

/** Records what a canvas is asked to draw: the two back ends are compared by it. */
function recorder() {
  const calls: unknown[][] = [];
  const record =
    (name: string) =>
    (...values: unknown[]) => {
      calls.push([name, ...values]);
    };
  const target: Record<string, unknown> = { calls };
  const context = new Proxy(target, {
    get: (held, name: string) => (name in held ? held[name] : record(name)),
    set: (held, name: string, value) => {
      held[name] = value;
      calls.push([`=${name}`, value]);
      return true;
    },
  });
  return { calls, context };
}

describe("SVG", () => {
  const document = new DOMParser().parseFromString(toSvg(figure, 'A & B "quoted"'), "image/svg+xml");
  const all = (name: string) => [...document.getElementsByTagName(name)];

  test("is well formed and sized", () => {
    expect(document.documentElement.getAttribute("viewBox")).toBe("0 0 100 60");
    expect(all("title")[0]?.textContent).toBe('A & B "quoted"');
    expect(all("script")).toHaveLength(0);
    expect(all("text")[0]?.textContent).toContain("</text><script>alert(1)</script>");
  });

  test("cells of a colour are one path, a run along a row one rectangle", () => {
    const paths = all("g").flatMap((group) => [...group.children]);
    const red = paths.find((path) => path.getAttribute("fill") === "rgb(255,0,0)");
    expect(red?.getAttribute("d")).toBe("M0 0h2v1h-2zM1 1h3v1h-3z");
    const holes = paths.filter((path) => path.getAttribute("stroke") === "rgb(9,9,9)");
    expect(holes.map((path) => path.getAttribute("d"))).toEqual(["M3 1L4 0"]);
    expect(all("g")[0]?.getAttribute("transform")).toBe("translate(10 5) scale(10 10)");
  });

  test("rects, text and paths are where the list says", () => {
    const stroked = all("rect").find((rect) => rect.getAttribute("stroke") === "rgb(1,2,3)");
    expect([stroked?.getAttribute("x"), stroked?.getAttribute("rx"), stroked?.getAttribute("fill")]).toEqual([
      "1",
      "1",
      "none",
    ]);
    expect(all("text")[0]?.getAttribute("transform")).toBe("rotate(90 5 50)");
    expect(all("text")[0]?.getAttribute("text-anchor")).toBe("end");
    expect(all("path").some((path) => path.getAttribute("d") === "M0 0L10 10")).toBe(true);
  });
});

test("the canvas is drawn from the same list, at the screen's ratio", () => {
  const { calls, context } = recorder();
  const canvas = Object.assign(document.createElement("canvas"), { getContext: () => context });
  const items = figure.items.filter((item) => item.kind !== "cells");
  drawCanvas(canvas as unknown as HTMLCanvasElement, { ...figure, items }, 2);
  expect([canvas.width, canvas.height, canvas.style.width]).toEqual([200, 120, "100px"]);
  const has = (...call: unknown[]) => calls.some((it) => JSON.stringify(it) === JSON.stringify(call));
  expect(has("setTransform", 2, 0, 0, 2, 0, 0)).toBe(true);
  expect(has("roundRect", 1, 2, 3, 4, 1)).toBe(true);
  expect(has("roundRect", 60, 2, 3, 4, 0)).toBe(true);
  expect(has("translate", 5, 50)).toBe(true);
  expect(has("fillText", "\u2068</text><script>alert(1)</script>\u2069", 0, 0)).toBe(true);
  expect(has("lineTo", 10, 10)).toBe(true);
});

test("what XML forbids is replaced, what is markup is escaped", () => {
  expect(escapeXml("a\u0000b\ud800c<&>\"'")).toBe("a\ufffdb\ufffdc&#60;&#38;&#62;&#34;&#39;");
  expect(escapeXml("🙂\n")).toBe("🙂\n");
});
