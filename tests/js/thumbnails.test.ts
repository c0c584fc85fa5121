import { describe, expect, test } from "vitest";
import { Grid } from "../../js/lib/arrays";
import type { Atlas } from "../../js/lib/atlas";
import { themeFor } from "../../js/lib/theme";
import { paletteFor, Thumbnails } from "../../js/lib/thumbnails";

const theme = themeFor([255, 255, 255], { font: "f", mono: "m" });

/** An atlas of one layer whose heads are given as bytes. */
function atlasOf(heads: number[][], side: number, facts: Partial<Atlas> = {}): Atlas {
  const signed = facts.run === "difference";
  const raw = Uint8Array.from(heads.flat());
  const shape = [1, heads.length, side, side];
  const [scale, offset] = signed ? [2 / 254, -1] : [1 / 254, 0];
  return {
    rev: 1,
    run: "clean",
    layers: 1,
    heads: heads.length,
    kvHeads: heads.length,
    span: side,
    side,
    thumbnails: new Grid("u8", shape, "full", raw, scale, offset),
    arrived: [true],
    scores: {},
    absent: {},
    provenance: {},
    ...facts,
  };
}

function draw(atlas: Atlas, pixels: number, head = 0) {
  const palette = paletteFor(atlas, theme);
  const into = new Uint32Array(pixels * pixels);
  new Thumbnails(atlas, pixels).draw(into, pixels, 0, [0, head], palette);
  return { into, palette, at: (y: number, x: number) => into[y * pixels + x] as number };
}
const rgb = (pixel: number) => [...new Uint8Array(Uint32Array.of(pixel).buffer)];

test("a cell has the colour of its value, opaque", () => {
  const atlas = atlasOf([[254, 0, 127, 64]], 2);
  const { at } = draw(atlas, 2);
  expect(rgb(at(0, 0))).toEqual([...theme.sequential.colour(1), 255]);
  expect(rgb(at(1, 0))).toEqual([...theme.sequential.colour(127 / 254), 255]);
  expect(rgb(at(0, 1))).toEqual([...theme.future.map(Math.round), 255]);
});

test.each([2, 3, 5, 7, 16, 33])(
  "drawn larger, at %i pixels, every pixel shows the cell under it",
  (pixels) => {
    const side = 2;
    const { at, palette } = draw(atlasOf([[10, 0, 20, 30]], side), pixels);
    for (let y = 0; y < pixels; y++) {
      for (let x = 0; x < pixels; x++) {
        const [row, col] = [Math.floor((y * side) / pixels), Math.floor((x * side) / pixels)];
        const wanted = col > row ? palette.future : palette.cells[[10, 0, 20, 30][row * 2 + col] as number];
        expect(at(y, x)).toBe(wanted);
      }
    }
  },
);

describe("drawn smaller", () => {
  const side = 48;

  test.each([8, 11, 13, 24, 31, 47])("at %i pixels, no single strong key vanishes", (pixels) => {
    for (let row = 0; row < side; row += 5) {
      for (let col = 0; col <= row; col += 3) {
        const bytes = new Array(side * side).fill(3);
        bytes[row * side + col] = 250;
        const { into, palette } = draw(atlasOf([bytes], side), pixels);
        expect([...into].filter((it) => it === palette.cells[250]).length).toBeGreaterThan(0);
      }
    }
  });

  test("a difference keeps the larger magnitude, whatever its sign", () => {
    const bytes = new Array(16).fill(127);
    bytes[8] = 10;
    bytes[9] = 200;
    const { at, palette } = draw(atlasOf([bytes], 4, { run: "difference" }), 2);
    expect(at(1, 0)).toBe(palette.cells[10]);
    expect(rgb(palette.cells[10] as number)).toEqual([...theme.diverging.colour(-1 + 20 / 254), 255]);
  });

  test("a block that the mask forbids altogether is its ground; one that it cuts shows what is allowed", () => {
    const bytes = new Array(16).fill(50);
    const { at, palette } = draw(atlasOf([bytes], 4), 2);
    expect(at(0, 1)).toBe(palette.future);
    expect(at(0, 0)).toBe(palette.cells[50]);
  });
});

test("what is not finite is hatched, and wins over what it is pooled with", () => {
  const bytes = new Array(64 * 64).fill(255);
  const { into, palette } = draw(atlasOf([bytes], 64), 20);
  const kinds = new Set(into);
  expect(kinds).toEqual(new Set([palette.hatch, palette.ground, palette.future]));
  const one = new Array(16).fill(50);
  one[8] = 255;
  expect([palette.hatch, palette.ground]).toContain(draw(atlasOf([one], 4), 2).at(1, 0));
});

test("layers still to come and layers without attention are one flat ground", () => {
  for (const facts of [{ arrived: [false] }, { absent: { "0": "no attention" } }]) {
    const { into, palette } = draw(atlasOf([[1, 2, 3, 4]], 2, facts), 6);
    expect(new Set(into)).toEqual(new Set([palette.future]));
  }
});

test("a head goes to its own place of a wider row and nowhere else", () => {
  const atlas = atlasOf(
    [
      [1, 2, 3, 4],
      [5, 6, 7, 8],
    ],
    2,
  );
  const palette = paletteFor(atlas, theme);
  const into = new Uint32Array(2 * 9).fill(7);
  new Thumbnails(atlas, 2).draw(into, 9, 4, [0, 1], palette);
  const untouched = [...into.keys()].filter((at) => into[at] === 7);
  expect(untouched).toHaveLength(18 - 4);
  expect(into[4]).toBe(palette.cells[5]);
  expect(into[13]).toBe(palette.cells[7]);
});

test("a head that is filtered out fades into the background", () => {
  const atlas = atlasOf([[254, 0, 254, 254]], 2);
  const [faded, full] = [paletteFor(atlas, theme, true), paletteFor(atlas, theme)].map((it) =>
    rgb(it.cells[254] as number),
  ) as [number[], number[]];
  for (const axis of [0, 1, 2]) {
    const share = (255 - (faded[axis] as number)) / (255 - (full[axis] as number));
    expect(share).toBeGreaterThan(0.1);
    expect(share).toBeLessThan(0.25);
  }
});
