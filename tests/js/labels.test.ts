import { describe, expect, test } from "vitest";
import { bare, shorten, shortLabel, signed, visible } from "../../js/lib/labels";
import { parsePatternSite, patternSite } from "../../js/lib/sites";

describe("labels", () => {
  test.each([
    ["\n", "↵"],
    ["a\tb", "a⇥b"],
    ["\u200b", "⟨200B⟩"],
    ["\u202eabc", "⟨202E⟩abc"],
    ["", "∅"],
    ["␣Mary", "␣Mary"],
    ["é", "é"],
    ["שלום", "שלום"],
    ["<b>x</b>", "<b>x</b>"],
  ])("%j is shown as %j", (label, shown) => {
    expect(visible(label)).toBe(shown);
  });

  test("long ones lose their middle, whole characters only", () => {
    expect(shorten("abcdefghij", 5)).toBe("ab…ij");
    expect([...shorten("x".repeat(20000), 14)]).toHaveLength(14);
    expect(shorten("🙂".repeat(40), 9)).toBe(`${"🙂".repeat(4)}…${"🙂".repeat(4)}`);
    expect(shorten("short", 14)).toBe("short");
    expect(shortLabel(`${"a".repeat(9000)}\n${"b".repeat(9000)}`, 9)).toBe("aaaa…bbbb");
  });

  test("only the leading space sign of a word is dropped", () => {
    expect([bare("␣Mary"), bare("␣"), bare("Mary")]).toEqual(["Mary", "␣", "Mary"]);
  });

  test("signs are typographic, and zero has none", () => {
    expect([signed(3.756), signed(-4.62), signed(-0.001)]).toEqual(["+3.76", "−4.62", "0.00"]);
  });
});

describe("sites", () => {
  test.each(["L1H1.pattern", "L0H11.pattern@10", "L11H0.pattern@10<4"])("%s round-trips", (text) => {
    const site = parsePatternSite(text);
    expect(site && patternSite(site)).toBe(text);
  });
  test("a head named by another site is the head all the same", () => {
    expect(parsePatternSite("L1H1.z")).toEqual({ layer: 1, head: 1, dest: null, src: null });
  });
  test.each(["L1H1.q", "L1.pattern", "L1H1.pattern@", "", "xL1H1.pattern"])("%j is none", (text) => {
    expect(parsePatternSite(text)).toBeNull();
  });
});
