import { describe, expect, test } from "vitest";
import { asBytes, BuffersMissing, decode, Grid } from "../../js/lib/arrays";
import type { ArrayEntry } from "../../js/lib/protocol";

const entry = (facts: Partial<ArrayEntry>): ArrayEntry => ({
  dtype: "u8",
  shape: [1, 2, 2],
  layout: "full",
  buffer: 0,
  ...facts,
});

describe("decode", () => {
  test("u8 is offset + scale x byte, and 255 is not finite", () => {
    const grid = decode(entry({ scale: 2 / 254, offset: -1 }), [Uint8Array.of(0, 127, 254, 255)]);
    expect([grid.value(0, 0, 0), grid.value(0, 0, 1), grid.value(0, 1, 0)]).toEqual([-1, 0, 1]);
    expect(grid.value(0, 1, 1)).toBeNaN();
  });

  test("lower keeps the triangle row by row, plane after plane", () => {
    const bytes = Uint8Array.of(1, 2, 3, 4, 5, 6, 11, 12, 13, 14, 15, 16);
    const grid = decode(entry({ shape: [2, 3, 3], layout: "lower", scale: 1, offset: 0 }), [bytes]);
    const plane = (p: number) => [0, 1, 2].map((row) => [0, 1, 2].map((col) => grid.value(p, row, col)));
    expect(plane(0)).toEqual([
      [1, 0, 0],
      [2, 3, 0],
      [4, 5, 6],
    ]);
    expect(plane(1)[2]).toEqual([14, 15, 16]);
    expect(grid.index(0, 0, 1)).toBe(-1);
  });

  test("f32 and i32 are little-endian, from any alignment, with NaN kept", () => {
    const view = new DataView(new ArrayBuffer(17), 1, 16);
    [1.5, Number.NaN, -2, Number.POSITIVE_INFINITY].forEach((value, at) => {
      view.setFloat32(at * 4, value, true);
    });
    const floats = decode(entry({ dtype: "f32" }), [view]);
    expect(floats.value(0, 0, 0)).toBe(1.5);
    expect(floats.value(0, 0, 1)).toBeNaN();
    expect(floats.value(0, 1, 1)).toBe(Number.POSITIVE_INFINITY);
    view.setInt32(0, -70000, true);
    expect(decode(entry({ dtype: "i32" }), [view]).value(0, 0, 0)).toBe(-70000);
  });

  test("a trait's bytes are in the entry itself", () => {
    const data = new DataView(Uint8Array.of(9, 0, 254, 0, 0, 9).buffer, 1, 4);
    expect(decode(entry({ data, scale: 1 / 254, offset: 0 })).value(0, 0, 1)).toBe(1);
  });

  test("missing and damaged buffers are said in words", () => {
    expect(() => decode(entry({}), [])).toThrow(BuffersMissing);
    expect(() => decode(entry({ data: {} }))).toThrow(/without its binary data/);
    expect(() => decode(entry({}), [Uint8Array.of(1, 2, 3)])).toThrow(
      /3 bytes arrived where 4 were expected/,
    );
  });

  test("no copy is made of bytes", () => {
    const buffer = Uint8Array.of(1, 2, 3, 4).buffer;
    expect(asBytes(new DataView(buffer, 1, 2))?.buffer).toBe(buffer);
    expect(asBytes("text")).toBeNull();
  });
});

test.each(["full", "lower"] as const)("all values of a plane are those of its cells, %s", (layout) => {
  const side = 5;
  const stored = layout === "lower" ? (side * (side + 1)) / 2 : side * side;
  const bytes = Uint8Array.from({ length: 2 * stored }, (_, at) => (at * 37 + 255) % 256);
  const grids = [
    new Grid("u8", [2, side, side], layout, bytes, 2 / 254, -1),
    new Grid(
      "f32",
      [2, side, side],
      layout,
      Float32Array.from(bytes, (byte) => byte / 3),
    ),
  ];
  for (const grid of grids) {
    for (const plane of [0, 1]) {
      const each = Array.from({ length: side * side }, (_, at) =>
        Math.fround(grid.value(plane, Math.floor(at / side), at % side)),
      );
      expect([...grid.values(plane)]).toEqual(each);
    }
  }
});
