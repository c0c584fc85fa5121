import { describe, expect, test } from "vitest";
import {
  type AtlasLayout,
  headAt,
  listLayout,
  matrixLayout,
  placeOf,
  stepFrom,
  thumbOrigin,
} from "../../js/lib/atlas-layout";
import type { Head } from "../../js/lib/heads";

const some = (count: number): Head[] => Array.from({ length: count }, (_, at) => [count - at, at % 3]);

function everyHeadCanBeHit(layout: AtlasLayout): void {
  expect(layout.pitchX).toBeGreaterThan(layout.thumb);
  expect(layout.pitchY).toBeGreaterThan(layout.thumb + layout.bar + layout.caption);
  for (const [place, head] of layout.cells.entries()) {
    const [x, y] = thumbOrigin(layout, place);
    expect(headAt(layout, x + 1, y + 1)).toEqual(head);
    expect(headAt(layout, x + layout.thumb - 1, y + layout.thumb - 1)).toEqual(head);
    expect(placeOf(layout, head)).toBe(place);
    expect(x + layout.thumb).toBeLessThanOrEqual(layout.width);
    expect(y + layout.thumb + layout.bar).toBeLessThanOrEqual(layout.height);
  }
}

describe("matrix", () => {
  test.each([
    [4, 4, 340],
    [12, 12, 340],
    [24, 16, 480],
    [32, 32, 450],
    [1, 1, 300],
    [120, 3, 200],
  ])("%i layers x %i heads in %i px: no overlap, every head can be hit", (layers, heads, width) => {
    everyHeadCanBeHit(matrixLayout(layers, heads, { width }));
    everyHeadCanBeHit(matrixLayout(layers, heads, { width, scale: 1.3, grouped: true }));
  });

  test("it fits the width as long as thumbnails can be seen", () => {
    for (const heads of [4, 8, 12, 16, 24, 32])
      expect(matrixLayout(4, heads, { width: 360 }).width).toBeLessThanOrEqual(360);
    expect(matrixLayout(4, 64, { width: 340 }).thumb).toBe(8);
  });

  test("names have room: three figures, larger type, brackets", () => {
    const plain = matrixLayout(4, 4, { width: 340 });
    expect(matrixLayout(120, 4, { width: 340 }).left).toBeGreaterThan(plain.left);
    expect(matrixLayout(4, 4, { width: 340, scale: 1.3 }).top).toBeGreaterThan(plain.top);
    expect(matrixLayout(4, 4, { width: 340, grouped: true }).top).toBeGreaterThan(plain.top + 10);
  });

  test("between thumbnails, on names and outside is no head", () => {
    const layout = matrixLayout(4, 4, { width: 340 });
    const [x, y] = thumbOrigin(layout, 5);
    expect(headAt(layout, x - 2, y + 5)).toBeNull();
    expect(headAt(layout, 3, y + 5)).toBeNull();
    expect(headAt(layout, layout.width + 50, y)).toBeNull();
    expect(placeOf(layout, [0, 4])).toBe(-1);
  });

  test("steps stay inside; far ones go to the end of a row or column", () => {
    const layout = matrixLayout(3, 4, { width: 340 });
    expect(stepFrom(layout, [1, 1], -1, 0)).toEqual([0, 1]);
    expect(stepFrom(layout, [0, 1], -1, 0)).toEqual([0, 1]);
    expect(stepFrom(layout, [1, 3], 0, 1)).toEqual([1, 3]);
    expect(stepFrom(layout, [1, 1], 0, -1e6)).toEqual([1, 0]);
    expect(stepFrom(layout, [1, 1], 1e6, 0)).toEqual([2, 1]);
  });
});

describe("list", () => {
  test.each([
    [1, 340],
    [8, 340],
    [24, 340],
    [256, 340],
    [8, 120],
  ])("%i heads in %i px: no overlap, every head can be hit", (count, width) => {
    const layout = listLayout(some(count), { width });
    everyHeadCanBeHit(layout);
    expect(layout.width).toBeLessThanOrEqual(width);
  });

  test("few heads are large, many are small enough to be seen at once or at least to be named", () => {
    expect(listLayout(some(8), { width: 340 }).thumb).toBeGreaterThan(60);
    expect(listLayout(some(24), { width: 340 }).height).toBeLessThanOrEqual(620);
    expect(listLayout(some(256), { width: 340 }).thumb).toBeGreaterThanOrEqual(40);
  });

  test("the name above a thumbnail belongs to it", () => {
    const layout = listLayout(some(8), { width: 340 });
    const [x, y] = thumbOrigin(layout, 5);
    expect(headAt(layout, x + 5, y - layout.caption + 3)).toEqual(layout.cells[5]);
  });

  test("a step past the end of a row is the next head in order; the last row may be short", () => {
    const layout = listLayout(some(6), { width: 340 });
    const { columns, cells } = layout;
    expect(columns).toBeLessThan(6);
    expect(stepFrom(layout, cells[columns - 1] as Head, 0, 1)).toEqual(cells[columns]);
    expect(stepFrom(layout, cells[columns - 1] as Head, 1, 0)).toEqual(cells[5]);
    expect(stepFrom(layout, [99, 99], 0, 1)).toEqual(cells[1]);
  });
});
