import { describe, expect, test } from "vitest";
import { apart, axisOf, pieces, roundTicks } from "../../js/lib/trajectory-layout";

describe("ticks", () => {
  test("are round, ascending, within the ends and few, over twelve orders of magnitude", () => {
    for (let power = -6; power <= 6; power++) {
      for (const [low, high] of [
        [0, 1],
        [-3.7, 11.2],
        [0.2, 0.9],
        [-9, -8.5],
      ] as const) {
        const [from, to] = [low * 10 ** power, high * 10 ** power];
        const ticks = roundTicks(from, to);
        expect(ticks.length).toBeGreaterThan(1);
        expect(ticks.length).toBeLessThanOrEqual(6);
        const slack = (to - from) * 1e-6;
        expect(ticks[0]).toBeGreaterThanOrEqual(from - slack);
        expect(ticks.at(-1)).toBeLessThanOrEqual(to + slack);
        const step = (ticks[1] as number) - (ticks[0] as number);
        const digit = step / 10 ** Math.floor(Math.log10(step) + 1e-9);
        expect([1, 2, 5, 10].some((it) => Math.abs(it - digit) < 1e-6)).toBe(true);
      }
    }
  });
  test("of a range without extent are its one value", () => {
    expect(roundTicks(2, 2)).toEqual([2]);
    expect(roundTicks(0, Number.POSITIVE_INFINITY)).toEqual([0]);
  });
});

describe("axes", () => {
  test("probability goes from 0 to 1 whatever the values", () => {
    const axis = axisOf("prob", [0.01, 0.02]);
    expect(axis.ticks.map((it) => it.label)).toEqual(["0.0", "0.5", "1.0"]);
    expect([0, 0.25, 1].map(axis.share)).toEqual([0, 0.25, 1]);
  });

  test("rank 0 lies on top and ranks fall by powers of ten; the deepest one is on the axis", () => {
    const axis = axisOf("rank", [0, 41_234, Number.NaN]);
    expect(axis.share(0)).toBe(1);
    expect(axis.ticks.map((it) => it.label)).toEqual(["0", "10", "100", "1k", "10k", "50k"]);
    expect(axis.ticks.at(-1)?.share).toBeCloseTo(0);
    const shares = [0, 1, 10, 500, 41_234].map(axis.share);
    expect([...shares].sort((a, b) => b - a)).toEqual(shares);
    expect(Math.min(...shares)).toBeGreaterThan(0);
    expect(axisOf("rank", [3, 18]).ticks.map((it) => it.label)).toEqual(["0", "10", "20"]);
    // One rank below the best is told from the best even where the worst is far down.
    expect((shares[0] as number) - (shares[1] as number)).toBeGreaterThan(0.05);
  });

  test("logits take the room there is, with labels as exact as the step", () => {
    const axis = axisOf("logit", [-3.2, 12.6]);
    expect(axis.share(-3.2)).toBeGreaterThan(0);
    expect(axis.share(12.6)).toBeLessThan(1);
    expect(axis.ticks.map((it) => it.label)).toEqual(["0", "5", "10"]);
    expect(axisOf("logit", [0.01, 0.04]).ticks.map((it) => it.label)).toEqual([
      "0.01",
      "0.02",
      "0.03",
      "0.04",
    ]);
    expect(axisOf("logit", [-20, -2]).ticks.map((it) => it.label)).toContain("−10");
  });

  test("one value, and none, still have an axis; a hole lies nowhere", () => {
    for (const values of [[4], [], [Number.NaN]]) {
      const axis = axisOf("logit", values);
      expect(axis.share(values[0] ?? 0.5)).not.toBe(Number.POSITIVE_INFINITY);
      expect(axis.ticks.every((it) => Number.isFinite(it.share))).toBe(true);
    }
    expect(axisOf("logit", [4]).share(4)).toBeCloseTo(0.5);
    expect(axisOf("rank", [3]).share(Number.NaN)).toBeNaN();
  });
});

test("a line is cut at its holes and keeps every point that has a number", () => {
  const hole = [2, Number.NaN] as const;
  const points = [[0, 1], [1, 2], hole, [3, 3], hole, hole, [6, 1], [7, 1]] as const;
  expect(pieces(points)).toEqual([
    [
      [0, 1],
      [1, 2],
    ],
    [[3, 3]],
    [
      [6, 1],
      [7, 1],
    ],
  ]);
  expect(pieces([hole])).toEqual([]);
});

describe("labels at the ends of lines", () => {
  const gaps = (heights: number[]) => {
    const sorted = [...heights].sort((a, b) => a - b);
    return sorted.slice(1).map((it, at) => it - (sorted[at] as number));
  };
  test("stand apart, in the order of their lines, within the chart", () => {
    const heights = [100, 99, 5, 4, 3, 98, 50];
    const moved = apart(heights, 11, 0, 100);
    expect(Math.min(...gaps(moved))).toBeGreaterThanOrEqual(11 - 1e-9);
    expect(Math.min(...moved)).toBeGreaterThanOrEqual(0);
    expect(Math.max(...moved)).toBeLessThanOrEqual(100);
    const order = (list: number[]) => list.map((_, at) => at).sort((a, b) => list[a]! - list[b]!);
    expect(order(moved)).toEqual(order(heights));
    expect(moved[6]).toBe(50);
  });
  test("share the room evenly when there are more than fit", () => {
    const moved = apart(Array(12).fill(40), 20, 0, 110);
    expect(gaps(moved).every((gap) => Math.abs(gap - 10) < 1e-9)).toBe(true);
    expect(apart([], 10, 0, 10)).toEqual([]);
  });
});
