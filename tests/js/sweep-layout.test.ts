import { describe, expect, test } from "vitest";
import { columnLeft } from "../../js/lib/lens-layout";
import {
  nearestCell,
  rowsBetween,
  rowsHeight,
  type SweepLayout,
  sweepLayout,
  sweepSpot,
} from "../../js/lib/sweep-layout";

const SIZES = { width: 860, names: 14, words: 60, rows: 4, columns: 15, stacked: true, first: 0 };
const layout = (facts = {}) => sweepLayout({ ...SIZES, ...facts });

/** The middle of a cell, `y` below the headings. */
const middle = (it: SweepLayout, row: number, column: number) =>
  [columnLeft(it, column) + it.cell / 2, (row + 0.5) * it.row] as const;

describe("the heat map", () => {
  test("holds all columns as long as one of them can be hit, narrower where there are more", () => {
    let before = Number.POSITIVE_INFINITY;
    for (let columns = 1; columns <= 58; columns++) {
      const it = layout({ columns });
      expect([it.first, it.end, it.before, it.after]).toEqual([0, columns, 0, 0]);
      expect(it.cell).toBeLessThanOrEqual(before);
      expect(it.cell).toBeGreaterThanOrEqual(14);
      expect(it.width).toBeLessThanOrEqual(860);
      before = it.cell;
    }
    expect(layout({ columns: 3 }).turned).toBe(false);
    expect(layout({ columns: 58 }).turned).toBe(true);
  });

  test("puts what has no room behind strips on both sides, and never loses a column", () => {
    const seen = new Set<number>();
    for (let first = 0; first < 300; first += 20) {
      const it = layout({ columns: 300, first });
      for (let column = it.first; column < it.end; column++) seen.add(column);
      expect(it.before > 0).toBe(it.first > 0);
      expect(it.after > 0).toBe(it.end < 300);
      expect(it.width).toBeLessThanOrEqual(860);
      if (it.before) expect(sweepSpot(it, it.left - 3, 10)).toEqual({ kind: "before" });
      if (it.after) expect(sweepSpot(it, columnLeft(it, it.end) + 3, 10)).toEqual({ kind: "after" });
    }
    expect(seen.size).toBe(300);
    expect(layout({ columns: 300, first: 1e9 }).end).toBe(300);
    expect(layout({ columns: 300, first: -5 }).first).toBe(0);
  });

  test("finds every cell, name and heading where it draws it, at every type size", () => {
    for (const scale of [1, 1.3])
      for (const columns of [1, 15, 40, 300]) {
        const it = layout({ columns, scale, rows: 7, first: 90 });
        for (const row of [0, 3, 6])
          for (const column of [it.first, it.end - 1]) {
            const [x, y] = middle(it, row, column);
            expect(sweepSpot(it, x, y)).toEqual({ kind: "cell", row, column });
            expect(sweepSpot(it, x, -4)).toEqual({ kind: "column", column });
            expect(sweepSpot(it, 3, y)).toEqual({ kind: "row", row });
            expect(nearestCell(it, x, y)).toEqual({ row, column });
          }
        expect(sweepSpot(it, it.width + 30, 5)).toBeNull();
        expect(sweepSpot(it, it.left + 1, rowsHeight(it))).toBeNull();
      }
  });

  test("a brush that leaves the map goes on along its edge", () => {
    const it = layout({ columns: 300, first: 100 });
    expect(nearestCell(it, -50, -50)).toEqual({ row: 0, column: it.first });
    expect(nearestCell(it, 9999, 9999)).toEqual({ row: 3, column: it.end - 1 });
  });

  test("draws the rows on screen and no others", () => {
    const it = layout({ rows: 100 });
    expect(rowsBetween(it, 0, it.row * 10)).toEqual([0, 10]);
    expect(rowsBetween(it, it.row * 4 + 1, it.row * 10 + 1)).toEqual([4, 11]);
    expect(rowsBetween(it, 0, 1e9)).toEqual([0, 100]);
    expect(it.row).toBeLessThan(layout().row);
  });

  test("headings have the room that the longest needs, up to a limit", () => {
    const narrow = { columns: 40 };
    expect(layout({ ...narrow, words: 30 }).top).toBe(42);
    expect(layout({ ...narrow, words: 9999 }).top, "two tokens").toBe(116);
    expect(layout({ ...narrow, words: 9999, stacked: false }).top).toBe(76);
    expect(layout({ stacked: false }).top).toBeLessThan(layout().top);
  });
});
