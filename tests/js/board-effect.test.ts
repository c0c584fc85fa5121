// The line from corrupted to clean: where its marks stand, whatever the numbers are.
import { describe, expect, test } from "vitest";
import type { BoardEffect } from "../../js/lib/board-cells";
import { themeFor } from "../../js/lib/theme";
import { effectItems, lineEnds, shareText } from "../../js/views/effect-line";
import { effectOf } from "./board";

const theme = themeFor([255, 255, 255], { font: "f", mono: "m" });
const effect = (facts = {}) => effectOf(facts) as unknown as BoardEffect;
const look = (facts = {}, width = 400) => ({
  effect: effect(facts),
  word: "patched",
  estimate: false,
  live: null,
  width,
  theme,
  scale: 1,
});
/** Texts with where they begin and end. */
const words = (facts = {}, width = 400) =>
  effectItems(look(facts, width)).flatMap((it) =>
    it.kind === "text" ? [{ text: it.text, x: it.x, half: (it.text.length * 11 * 0.602) / 2 }] : [],
  );
const mark = (facts = {}) =>
  effectItems(look(facts))
    .filter((it) => it.kind === "rect" && it.width === 4)
    .at(-1) as { x: number } | undefined;

describe("the line", () => {
  test("corrupted is left and clean right, also where clean is the smaller one", () => {
    expect(lineEnds(effect())).toEqual({ left: -4.96, right: 4.96 });
    const turned = lineEnds(effect({ clean: -4, corrupted: 4, before: 4, after: 0 }));
    expect(turned.left).toBeGreaterThan(turned.right);
    expect(mark({ after: 0 })?.x).toBeCloseTo(198, 6);
    expect(mark({ clean: -4, corrupted: 4, before: 4, after: 0 })?.x).toBeCloseTo(198, 6);
  });

  test.each([
    ["beyond clean", { after: 30, recovered: 4.25 }],
    ["beyond corrupted", { after: -30, recovered: -3.25 }],
    ["equal ends", { clean: 1, corrupted: 1, before: 1, after: 1, recovered: null }],
    ["all at zero", { clean: 0, corrupted: 0, before: 0, after: 0, recovered: null }],
    ["one prompt", { clean: 4, corrupted: null, base: "clean", before: 4, after: 1, recovered: null }],
    ["no number", { after: null, recovered: null }],
    ["nothing known", { clean: null, corrupted: null, before: null, after: null, recovered: null }],
    ["several prompts", { after: 2, recovered: 0.75, stderr: 0.2, n_prompts: 8 }],
    ["very small", { clean: 1e-9, corrupted: -1e-9, before: -1e-9, after: 0, recovered: 0.5 }],
  ])("%s: every mark and every word is on it, and words do not cover each other", (_, facts) => {
    for (const width of [300, 400, 900]) {
      const items = effectItems(look(facts, width));
      for (const it of items)
        if (it.kind === "rect") {
          expect(it.x).toBeGreaterThanOrEqual(-1);
          expect(it.x + it.width).toBeLessThanOrEqual(width + 1);
        }
      const [above, ...below] = words(facts, width).reverse();
      expect(above?.text).toMatch(/^patched/);
      for (const it of below) {
        expect(it.x - it.half).toBeGreaterThanOrEqual(-0.01);
        expect(it.x + it.half).toBeLessThanOrEqual(width + 0.01);
      }
      const [a, b] = below.sort((one, two) => one.x - two.x);
      if (a && b) expect(a.x + a.half).toBeLessThanOrEqual(b.x - b.half);
    }
  });

  test("with one prompt the line holds zero, so that a small change looks small", () => {
    const alone = { clean: 4, corrupted: null, base: "clean", before: 4, recovered: null };
    const [small, large] = [mark({ ...alone, after: 3.9 }), mark({ ...alone, after: 0.5 })];
    expect(small?.x).toBeGreaterThan(300);
    expect(large?.x).toBeLessThan(100);
    expect(words({ ...alone, after: 3.9 }).map((it) => it.text)).toEqual([
      "zero",
      "clean +4.00",
      "patched +3.90",
    ]);
  });

  test("shares: recovered, destroyed on the clean base, their standard error, or why there is none", () => {
    expect(shareText(effect({ recovered: 0.74 }))).toBe("74 % recovered");
    expect(shareText(effect({ recovered: -0.004 }))).toBe("−0.4 % recovered");
    expect(shareText(effect({ recovered: 1.5, stderr: 0.05 }))).toBe("150 % recovered ± 5 %");
    expect(shareText(effect({ base: "clean", recovered: 0.37, destroyed: 0.63 }))).toBe("63 % destroyed");
    expect(shareText(effect({ recovered: null }))).toBe("no share: clean and corrupted are too close");
    expect(shareText(effect({ recovered: null, corrupted: null }))).toBe("");
  });

  test("an estimate is hollow and says ~", () => {
    const items = effectItems({ ...look({ after: 1, recovered: 0.62 }), estimate: true, word: "estimate" });
    expect(items.some((it) => it.kind === "text" && it.text.startsWith("estimate ~+1.00"))).toBe(true);
    expect(items.some((it) => it.kind === "rect" && it.width === 4 && it.fill)).toBe(false);
  });
});
