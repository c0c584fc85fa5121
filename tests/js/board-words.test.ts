// What a chip calls its edit: with the tokens of the prompts, in the fewest signs, and as a voice says it.
import { describe, expect, test } from "vitest";
import { chipWords } from "../../js/lib/board-words";
import type { Edit, EditSpec, Prompt, Question } from "../../js/lib/protocol";

const prompt = (text: string): Prompt => {
  const labels = ["‹bos›", ...text.split(" ").map((it) => `␣${it}`)];
  return { text, labels, ids: labels.map((_, at) => at), special: [0] };
};
const asked = (clean: string, corrupted: string | null, base: "clean" | "corrupted" = "corrupted") =>
  ({
    base,
    prompts: { clean: prompt(clean), corrupted: corrupted && prompt(corrupted) },
  }) as unknown as Question;
const QUESTION = asked("John gave Ann it", "Mary gave Ann it");
const edit = (facts: Partial<EditSpec>, label = "patch L1.resid_post@1"): Edit => ({
  label,
  on: true,
  site: "L1.resid_post@1",
  note: "",
  spec: {
    kind: "patch",
    site: "resid_post",
    layer: 1,
    head: null,
    positions: [1],
    source: "other",
    source_positions: null,
    src: null,
    alpha: 1,
    ...facts,
  },
});
/** Without the marks that keep a token's writing direction to itself. */
const text = (question: Question, of: Edit) => chipWords(question, of)[0].replace(/[\u2068\u2069]/g, "");

describe("a chip", () => {
  test("of a patch names the site, the token that is taken and the one that is written", () => {
    expect(text(QUESTION, edit({}))).toBe("resid_post L1 · John₁ → Mary₁");
    expect(chipWords(QUESTION, edit({}))[1]).toBe(
      "resid_post L1, John position 1 of clean onto Mary position 1",
    );
    const head = edit({ site: "z", layer: 3, head: 2, positions: [4] });
    expect(text(QUESTION, head)).toBe("z L3.H2 · it₄ → it₄");
    expect(chipWords(QUESTION, head)[1]).toContain("z L3.H2, it position 4 of clean onto it position 4");
  });

  test("reads the run that the patch reads, where it was told to read it", () => {
    expect(text({ ...QUESTION, base: "clean" }, edit({}))).toBe("resid_post L1 · Mary₁ → John₁");
    expect(text(QUESTION, edit({ source: "corrupted", source_positions: [2] }))).toBe(
      "resid_post L1 · gave₂ → Mary₁",
    );
    expect(text(asked("John gave", null, "clean"), edit({ source: "clean", source_positions: [2] }))).toBe(
      "resid_post L1 · gave₂ → John₁",
    );
  });

  test("of many positions names the first and the last, of all says so", () => {
    expect(text(QUESTION, edit({ positions: [2, 3] }))).toBe("resid_post L1 · gave₂, Ann₃ → gave₂, Ann₃");
    expect(text(QUESTION, edit({ positions: [1, 2, 3, 4] }))).toBe(
      "resid_post L1 · John₁ … it₄ → Mary₁ … it₄",
    );
    expect(text(QUESTION, edit({ site: "z", head: 0, positions: null }))).toBe("z L1.H0 · all positions");
    expect(chipWords(QUESTION, edit({ positions: [1, 2, 3] }))[1]).toContain(
      "John position 1 to Ann position 3 of clean onto Mary position 1 to Ann position 3",
    );
  });

  test("of prompts of different length asks who the partner is, and names none where there is none", () => {
    const uneven = asked("John gave Ann it", "Mary Jane gave Ann it");
    expect(text(uneven, edit({ positions: [5] }))).toBe("resid_post L1 · it₅");
    const [known] = chipWords(uneven, edit({ positions: [5] }), { pairs: [[4, 5]] });
    expect(known.replace(/[\u2068\u2069]/g, "")).toBe("resid_post L1 · it₄ → it₅");
  });

  test("of another edit keeps its name, with the token in place of the position", () => {
    const zero = edit({ kind: "zero", site: "z", layer: 0, head: 2, positions: [4] }, "zero L0H2.z@4");
    expect(text(QUESTION, zero)).toBe("zero L0H2.z · it₄");
    expect(chipWords(QUESTION, zero)[1]).toBe("zero L0H2.z, it position 4");
    const mean = edit({ kind: "mean", positions: [1, 2] }, "mean L1.resid_post@[1,2] over its own positions");
    expect(text(QUESTION, mean)).toBe("mean L1.resid_post over its own positions · Mary₁, gave₂");
    const own = { ...zero, label: "knock out L1H2 from 3 to 1", spec: null };
    expect(chipWords(QUESTION, own)).toEqual([own.label, own.label]);
  });

  test("a token is shortened, seen, and turns nothing but itself", () => {
    const hostile = asked(`\u202eabc ${"x".repeat(9000)}`, `שלום b`);
    const [words] = chipWords(hostile, edit({ positions: [1] }));
    expect(words).toBe("resid_post L1 · \u2068⟨202E⟩abc\u2069₁ → \u2068שלום\u2069₁");
    expect(text(hostile, edit({ positions: [2] })).length).toBeLessThan(40);
  });
});
