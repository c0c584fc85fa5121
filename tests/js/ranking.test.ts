// @vitest-environment happy-dom
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { type Atlas, scoreText } from "../../js/lib/atlas";
import { HeadsSession } from "../../js/lib/heads-session";
import { golden } from "./contract";
import { FakeHost, FakeModel, FakeTimers, tick } from "./fakes";

let model: FakeModel;
let session: HeadsSession;

const score = (label: string, values: (number | null)[][], bars = values) => ({
  label,
  card: "c",
  source: "s",
  values,
  bars,
  n: 1,
  reason: null,
});
const PREVIOUS = score("previous", [
  [0.2, 0.9],
  [0.9, 0.1],
]);
const EFFECT = score(
  "logit effect",
  [
    [-3, 1],
    [0.5, null],
  ],
  [
    [1, 0.33],
    [0.17, null],
  ],
);
const CELL = score("cell 3<1", [
  [0.1, 0.2],
  [0.3, 0.4],
]);

function atlas(facts: Record<string, unknown> = {}): Record<string, unknown> {
  const { message, buffers } = golden("atlas");
  const thumbs = (message.arrays as Record<string, { buffer?: number }>).thumbs;
  const { buffer, ...entry } = thumbs as { buffer?: number };
  const arrays = { thumbs: { ...entry, data: buffers[buffer ?? 0] } };
  return { ...message, arrays, missing: {}, scores: { previous: PREVIOUS, logit_effect: EFFECT }, ...facts };
}
const question = (facts: Record<string, unknown> = {}) => ({ ...golden("question").message, ...facts });
const last = () =>
  model.of("request").at(-1) as { id: string; op: string; params: Record<string, unknown>; slot: string };
async function answer(kind: string, facts: Record<string, unknown>): Promise<void> {
  model.receive({ kind, id: last().id, rev: 1, arrays: {}, ...facts });
  await tick();
}

beforeEach(() => {
  const revs = { question: 1, atlas: 1 };
  const status = golden("status-idle").message;
  const base = { epoch: "e", protocol: 1, experiment: "x", revs, selection: [], status };
  model = new FakeModel({ ...base, question: question(), atlas: atlas() });
  session = new HeadsSession(model, new FakeTimers(), new FakeHost(), "tab");
  session.start();
  model.receive({ kind: "welcome", client: "tab", epoch: "e", revs, snapshot: {}, running: [] });
  session.setScore("previous");
});
afterEach(() => session.close());

describe("order and filter", () => {
  test("by score: strongest first, equal ones in the order of layers", () => {
    expect(session.ranking.listed).toBeNull();
    session.ranking.setOrder("score");
    expect(session.ranking.listed).toEqual([
      [0, 1],
      [1, 0],
      [0, 0],
      [1, 1],
    ]);
  });

  test("an effect is as strong as it is large, of either sign; a head without the score is not in the list", () => {
    session.setScore("logit_effect");
    session.ranking.setOrder("score");
    expect(session.ranking.listed).toEqual([
      [0, 0],
      [0, 1],
      [1, 0],
    ]);
  });

  test("the filter keeps the strongest, in a list and in the order of layers", () => {
    session.ranking.setTop(2);
    expect(session.ranking.kept).toEqual(new Set(["L0H1", "L1H0"]));
    session.ranking.setOrder("score");
    expect([session.ranking.listed?.length, session.ranking.kept]).toEqual([2, null]);
    session.ranking.setTop(null);
    expect(session.ranking.listed?.length).toBe(4);
  });

  test("layers without attention are left out", () => {
    model.update({ atlas: atlas({ missing: { "0": "no attention" } }) });
    expect(session.ranking.strongest.map(([layer]) => layer)).toEqual([1, 1]);
  });

  test("while an atlas streams in the order stays", () => {
    session.ranking.setOrder("score");
    const before = session.ranking.listed;
    const { message, buffers } = golden("partial-thumbs");
    model.receive({ ...message, id: "k-9" }, buffers);
    expect(session.growing).not.toBeNull();
    expect(session.ranking.listed).toEqual(before);
  });
});

test("a score's text: with a sign where it is an effect or a difference, and a dash where there is none", () => {
  const text = (name: string, head: readonly [number, number], run: Atlas["run"] = "clean") =>
    scoreText({ ...(session.atlas as Atlas), run }, name, head);
  expect([text("previous", [0, 1]), text("logit_effect", [0, 0]), text("logit_effect", [0, 1])]).toEqual([
    "0.90",
    "−3.00",
    "+1.00",
  ]);
  expect([text("previous", [0, 1], "against"), text("previous", [0, 1], "other")]).toEqual(["+0.90", "0.90"]);
  expect([text("logit_effect", [1, 1]), text("unheard_of", [0, 0])]).toEqual(["–", "–"]);
});

test("the first head in focus is the strongest; without a score the first that has a pattern", () => {
  expect(session.inFocus).toEqual([[0, 1]]);
  model.update({ atlas: atlas({ scores: {}, missing: { "0": "no attention" } }) });
  expect(session.inFocus).toEqual([[1, 0]]);
});

describe("random tokens", () => {
  const scores = { induction_random: score("induction (random)", CELL.values) };

  test("they are asked for once, shown under names of their own, and said", async () => {
    session.ranking.askRandom();
    session.ranking.askRandom();
    expect(model.of("request").filter((it) => it.op === "heads.random")).toHaveLength(1);
    expect([last().params, last().slot, session.ranking.waiting]).toEqual([{}, "random", "random"]);
    await answer("done", { data: { scores } });
    expect([session.scoreName, session.ranking.waiting]).toEqual(["induction_random", null]);
    expect(Object.keys(session.atlas?.scores ?? {})).toContain("previous");
    expect(session.ranking.news).toBe("heads ranked by induction (random): L1 H1 first, 0.40");
    session.setScore("previous");
    session.ranking.askRandom();
    expect(session.scoreName).toBe("induction_random");
    expect(model.of("request").filter((it) => it.op === "heads.random")).toHaveLength(1);
  });

  test("they outlive another prompt and run, not another model", async () => {
    session.ranking.askRandom();
    await answer("done", { data: { scores } });
    model.update({ question: question({ rev: 2 }), atlas: atlas({ rev: 2 }) });
    expect(session.scoreName).toBe("induction_random");
    expect(session.scoreDefined("induction_random")).toBe(true);
    const facts = question().model as Record<string, unknown>;
    model.update({ question: question({ rev: 3, model: { ...facts, name: "another" } }) });
    model.update({ atlas: atlas({ rev: 3 }) });
    expect(session.scoreDefined("induction_random")).toBe(false);
    expect(session.scoreDefined(session.scoreName)).toBe(true);
  });

  test("a failure has words and a retry that still shows them", async () => {
    session.ranking.askRandom();
    await answer("failed", { error: "X", message: "m", hint: "h", retryable: true });
    expect([session.ranking.waiting, session.scoreName]).toEqual([null, "previous"]);
    session.trouble?.retry?.();
    await answer("done", { data: { scores } });
    expect(session.scoreName).toBe("induction_random");
  });
});

describe("one cell", () => {
  beforeEach(async () => {
    session.ranking.byCell({ dest: 3, src: 1 });
    expect(last()).toMatchObject({
      op: "heads.rank",
      slot: "rank",
      params: { run: "clean", dest: 3, src: 1, weighting: "attention" },
    });
    await answer("done", { data: { score: CELL } });
  });

  test("all heads are ranked by it, the strongest first", () => {
    expect([session.scoreName, session.ranking.order]).toEqual(["cell", "score"]);
    expect(session.ranking.listed?.[0]).toEqual([1, 1]);
    expect(session.inFocus).toEqual([[1, 1]]);
  });

  test("on another run of the same tokens the same cell is asked for again", async () => {
    model.update({ atlas: atlas({ run: "difference" }) });
    expect(session.scoreDefined("cell")).toBe(false);
    expect(last()).toMatchObject({ op: "heads.rank", params: { run: "difference", dest: 3, src: 1 } });
    await answer("done", { data: { score: CELL } });
    expect([session.scoreName, session.scoreDefined("cell")]).toEqual(["cell", true]);
  });

  test("other tokens have other cells: the score goes", () => {
    const asked = model.of("request").length;
    const prompts = question().prompts as { clean: { ids: number[] } };
    const clean = { ...prompts.clean, ids: prompts.clean.ids.map((id) => id + 1) };
    model.update({ question: question({ rev: 2, prompts: { ...prompts, clean } }) });
    model.update({ atlas: atlas({ rev: 2 }) });
    expect(session.scoreName).toBe("previous");
    expect(model.of("request").filter((it) => it.op === "heads.rank")).toHaveLength(1);
    expect(asked).toBeGreaterThan(0);
  });

  test("an answer for a run that is no longer shown is not", async () => {
    session.setScore("previous");
    session.ranking.byCell({ dest: 2, src: 1 });
    const { id } = last();
    model.update({ atlas: atlas({ run: "difference" }) });
    model.receive({ kind: "done", id, rev: 1, arrays: {}, data: { score: CELL } });
    await tick();
    expect([session.scoreName, session.scoreDefined("cell")]).toEqual(["previous", false]);
  });
});

describe("compared", () => {
  test("without another experiment its runs say what is needed; with one they have its name", () => {
    expect(session.runReason("other")).toMatch(/no-compare/);
    model.update({ question: question({ rev: 2, compare: { label: "step 600" } }) });
    expect([session.runReason("other"), session.runReason("against")]).toEqual([null, null]);
    expect([session.runLabel("other"), session.runLabel("against"), session.runLabel("clean")]).toEqual([
      "step 600",
      "clean − step 600",
      "clean",
    ]);
    session.setRun("against");
    expect(last()).toMatchObject({ op: "heads.atlas", params: { run: "against" } });
    model.update({ atlas: atlas({ rev: 2, run: "against" }) });
    expect([session.run, session.focusing.pattern?.twoSided]).toEqual(["against", true]);
  });

  test("a picture made from arrays has no other run", () => {
    model.update({ question: question({ rev: 2, model: null, arrays: true }) });
    expect(session.runReason("corrupted")).toMatch(/no-model/);
  });
});
