// @vitest-environment happy-dom
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { luminance } from "../../js/lib/colour";
import { FEW, MANY, MOST_PINS, slotColour } from "../../js/lib/lens-card";
import { LensSession } from "../../js/lib/lens-session";
import { themeFor } from "../../js/lib/theme";
import { golden } from "./contract";
import { FakeHost, FakeModel, FakeTimers, tick } from "./fakes";

let model: FakeModel;
let timers: FakeTimers;
let session: LensSession;

const POSITIONS = 4;
const ROWS = [
  { site: "resid_pre", layer: 0, label: "input", kind: "stream" },
  { site: "attn_out", layer: 0, label: "L0 attn", kind: "contribution" },
  { site: "resid_post", layer: 0, label: "L0", kind: "stream" },
  { site: "resid_post", layer: 1, label: "L1", kind: "stream" },
];
const K = 5;
const answerOf = (id: number, label: string) => ({
  texts: [label],
  labels: [label],
  ids: [id],
  guessed: false,
});
const question = (facts = {}) => ({
  ...golden("question").message,
  rev: 1,
  answer: answerOf(12, "␣Mary"),
  distractor: answerOf(14, "␣John"),
  answer_position: 3,
  ...facts,
});
const entry = (dtype: string, shape: number[], data: ArrayBufferLike) => ({
  dtype,
  shape,
  layout: "full",
  data: new DataView(data as ArrayBuffer),
});

/** Token `10 + row + place` at every cell; values fall by halves. */
function lens(facts: Record<string, unknown> = {}, rows = ROWS) {
  const cells = rows.length * POSITIONS;
  const ids = Int32Array.from(
    { length: cells * K },
    (_, at) => 10 + Math.floor(at / K / POSITIONS) + (at % K),
  );
  const tops = Float32Array.from({ length: cells * K }, (_, at) => 0.5 ** ((at % K) + 1));
  return {
    rev: 1,
    run: "clean",
    measure: "prob",
    sublayers: true,
    tuned: false,
    n_layers: 2,
    positions: POSITIONS,
    rows,
    shown: { rows: rows.map((_, at) => at), columns: [0, POSITIONS] },
    k: K,
    tokens: Object.fromEntries(Array.from({ length: 12 }, (_, at) => [10 + at, `␣t${10 + at}`])),
    provenance: {},
    card: { title: "", formula: "", source: "" },
    scale: { low: 0, high: 1, signed: false, unit: "" },
    measures: [{ name: "prob", label: "prob", card: "", reason: null }],
    arrays: {
      top_ids: entry("i32", [rows.length, POSITIONS, K], ids.buffer),
      top_values: entry("f32", [rows.length, POSITIONS, K], tops.buffer),
      value: entry("f32", [rows.length, POSITIONS], new Float32Array(cells).fill(0.5).buffer),
    },
    ...facts,
  };
}
const requests = (op: string) => model.of("request").filter((it) => it.op === op);
const last = (op: string) => requests(op).at(-1) as { id: string; params: Record<string, unknown> };
async function answer(op: string, data: object, planes: Record<string, number[][]> = {}) {
  const buffers: unknown[] = [];
  const arrays = Object.fromEntries(
    Object.entries(planes).map(([name, rows]) => {
      const shape = rows.length === 1 ? [rows[0]?.length] : [rows.length, rows[0]?.length];
      const buffer = buffers.push(new DataView(Float32Array.from(rows.flat()).buffer)) - 1;
      return [name, { dtype: "f32", shape, layout: "full", buffer }];
    }),
  );
  model.receive({ kind: "done", id: last(op).id, rev: 1, data, arrays }, buffers);
  await tick();
}
const fail = async (op: string, message: string) => {
  model.receive({ kind: "failed", id: last(op).id, error: "X", message, hint: "", retryable: true });
  await tick();
};

function open(facts: Record<string, unknown> = {}, asked: Record<string, unknown> = {}, rows = ROWS) {
  timers = new FakeTimers();
  model = new FakeModel({
    epoch: "e",
    protocol: 1,
    experiment: "",
    revs: { question: 1, lens: 1 },
    question: question(asked),
    status: golden("status-idle").message,
    selection: [],
    lens: lens(facts, rows),
  });
  session = new LensSession(model, timers, new FakeHost(), "tab");
  session.start();
  model.receive({ kind: "welcome", client: "tab", epoch: "e", revs: {}, snapshot: {}, running: [] });
  timers.pass(300);
}
beforeEach(() => open());
afterEach(() => session.close());

describe("card", () => {
  test("the table's own numbers are there at once, and nothing more is asked for", () => {
    session.hoverAt({ row: 2, position: 1 });
    timers.pass(1000);
    expect(requests("lens.card")).toEqual([]);
    const tokens = session.card.tokens({ row: 2, position: 1 });
    expect(tokens.map((it) => it.id)).toEqual([12, 13, 14, 15, 16]);
    expect(tokens[0]).toMatchObject({ label: "␣t12", value: 0.5 });
  });

  test("more tokens, all measures and a contribution ask for the cell once the pointer rests on it", async () => {
    session.card.setCount(MANY);
    for (const position of [0, 1, 2]) session.hoverAt({ row: 2, position });
    timers.pass(1000);
    expect(requests("lens.card").map((it) => it.params)).toEqual([
      { run: "clean", row: 2, position: 2, k: MANY, sublayers: true, tuned: false },
    ]);
    const tokens = Array.from({ length: MANY }, (_, at) => ({
      id: at,
      label: `x${at}`,
      value: 1 / (at + 2),
    }));
    await answer("lens.card", { tokens, measures: { prob: 0.5 } });
    expect(session.card.tokens({ row: 2, position: 2 })).toHaveLength(MANY);
    expect(session.card.exact({ row: 2, position: 1 })).toBeNull();
    session.card.setCount(FEW);
    session.hoverAt({ row: 1, position: 2 });
    timers.pass(1000);
    expect(last("lens.card").params).toMatchObject({ row: 1, k: FEW });
    session.hoverAt({ row: 3, position: 2 });
    session.card.setMeasuring(true);
    timers.pass(1000);
    expect(last("lens.card").params).toMatchObject({ row: 3 });
  });

  test("numbers of one cell are never shown under another, however late they come", async () => {
    session.card.setMeasuring(true);
    session.hoverAt({ row: 2, position: 2 });
    timers.pass(1000);
    session.hoverAt({ row: 3, position: 2 });
    timers.pass(1000);
    const first = requests("lens.card").at(-2) as { id: string };
    model.receive({
      kind: "done",
      id: first.id,
      rev: 1,
      data: { tokens: [], measures: { prob: 9 } },
      arrays: {},
    });
    await tick();
    expect(session.card.exact({ row: 3, position: 2 })).toBeNull();
    await answer("lens.card", { tokens: [], measures: { prob: 0.25 } });
    expect(session.card.exact({ row: 3, position: 2 })?.measures).toEqual({ prob: 0.25 });
  });

  test("an edited run asks for what the tokens were without the edits", () => {
    session.close();
    open({ run: "edited" }, { edits: [{ label: "zero", on: true, site: "L0H0.z", note: "" }] });
    session.hoverAt({ row: 2, position: 1 });
    timers.pass(1000);
    expect(last("lens.card").params).toMatchObject({ run: "edited", row: 2, position: 1, k: FEW });
  });

  test("nothing is asked about a picture that is being replaced", () => {
    const before = model.of("request").length;
    model.update({ question: question({ rev: 2 }) });
    session.card.setMeasuring(true);
    session.card.setAttributing(true);
    timers.pass(1000);
    expect(model.of("request").length).toBe(before);
  });
});

describe("pins", () => {
  const ids = () => session.card.pins.map((it) => it.id);
  const slots = () => Object.fromEntries(session.card.pins.map((it) => [it.id, it.slot]));

  test("answer and distractor are pinned from the start, in colours of their own; the reader unpins them too", () => {
    expect(ids()).toEqual([12, 14]);
    expect(slots()).toEqual({ 12: 0, 14: 1 });
    expect(session.card.togglePin(12)).toBe(false);
    expect(ids()).toEqual([14]);
    expect(slots()).toEqual({ 14: 1 });
    expect(session.card.togglePin(12)).toBe(true);
    expect(slots()).toEqual({ 12: 0, 14: 1 });
  });

  test("a token keeps its colour while others come and go, and a new one takes a free colour", () => {
    const { card } = session;
    for (const id of [20, 21, 19]) card.togglePin(id);
    expect(slots()).toEqual({ 12: 0, 14: 1, 20: 2, 21: 3, 19: 4 });
    card.togglePin(20);
    expect(slots()).toEqual({ 12: 0, 14: 1, 21: 3, 19: 4 });
    card.togglePin(18);
    expect(slots()[18]).toBe(2);
    expect(card.pinColour(18, themeFor([255, 255, 255], { font: "", mono: "" }))).toEqual(
      slotColour(2, themeFor([255, 255, 255], { font: "", mono: "" })),
    );
    expect(card.pinColour(17, themeFor([255, 255, 255], { font: "", mono: "" }))).toBeNull();
  });

  test("no more are pinned than can be tracked: the oldest of the reader's own gives way", () => {
    for (let id = 100; id < 100 + MOST_PINS; id++) session.card.togglePin(id);
    expect(ids()).toHaveLength(MOST_PINS);
    expect(ids()).toContain(12);
    expect(ids()).not.toContain(100);
    expect(ids()).toContain(100 + MOST_PINS - 1);
  });

  test("pins outlive another question of the same model, and not another model", () => {
    session.card.togglePin(15);
    model.update({ question: question({ rev: 2, answer: answerOf(11, "␣a") }), lens: lens({ rev: 2 }) });
    expect(ids()).toEqual([11, 14, 15]);
    expect(slots()[11]).toBe(0);
    model.update({
      question: question({
        rev: 3,
        model: { ...(golden("question").message.model as object), name: "another" },
      }),
      lens: lens({ rev: 3 }),
    });
    expect(ids()).toEqual([12, 14]);
  });

  test("a token is pinned by its text, and what was not found is said", async () => {
    const said = session.card.pinText(" store");
    expect(last("lens.find").params).toEqual({ text: " store" });
    await answer("lens.find", { tokens: [{ id: 77, label: "␣store" }] });
    expect(await said).toBe("␣store pinned");
    expect(session.card.pins.at(-1)).toMatchObject({ id: 77, label: "␣store" });
    const none = session.card.pinText("nosuch");
    await answer("lens.find", { tokens: [] });
    expect(await none).toContain("no single token");
  });

  test("of a word with and without its space the one with it is pinned, and the other when it is asked for again", async () => {
    const [plain, spaced] = [
      { id: 81, label: "Zoe" },
      { id: 82, label: "␣Zoe" },
    ];
    const pinning = async (text: string) => {
      const said = session.card.pinText(text);
      await answer("lens.find", { tokens: text.startsWith(" ") ? [spaced, plain] : [plain, spaced] });
      return said;
    };
    expect(await pinning("Zoe")).toBe("␣Zoe pinned; there is Zoe too");
    expect([session.card.isPinned(81), session.card.isPinned(82)]).toEqual([false, true]);
    expect(await pinning("Zoe")).toBe("Zoe pinned; there is ␣Zoe too");
    expect([session.card.isPinned(81), session.card.isPinned(82)]).toEqual([true, true]);
    session.card.togglePin(81);
    session.card.togglePin(82);
    expect(await pinning(" Zoe")).toBe("␣Zoe pinned; there is Zoe too");
  });

  test("colours are told apart from the background and from each other in both themes", () => {
    for (const background of [
      [255, 255, 255],
      [17, 20, 24],
    ] as const) {
      const theme = themeFor(background, { font: "", mono: "" });
      const colours = Array.from({ length: 8 }, (_, slot) => slotColour(slot, theme));
      expect(new Set(colours.map(String)).size).toBe(8);
      for (const colour of colours) {
        const [low, high] = [luminance(colour), luminance(background)].sort((a, b) => a - b) as [
          number,
          number,
        ];
        expect((high + 0.05) / (low + 0.05)).toBeGreaterThan(4.5);
      }
    }
  });
});

describe("trajectories", () => {
  test("pinned tokens are tracked at the selected position, and again where it moves or a pin is added", () => {
    expect(last("lens.track").params).toEqual({
      run: "clean",
      position: 3,
      tokens: [12, 14],
      sublayers: true,
      tuned: false,
    });
    session.hoverAt({ row: 0, position: 0 });
    timers.pass(1000);
    expect(requests("lens.track")).toHaveLength(1);
    session.pickCell({ row: 2, position: 1 });
    timers.pass(1000);
    expect(last("lens.track").params).toMatchObject({ position: 1 });
    session.card.togglePin(20);
    timers.pass(1000);
    expect(last("lens.track").params).toMatchObject({ position: 1, tokens: [12, 14, 20] });
    for (const id of [12, 14, 20]) session.card.togglePin(id);
    expect(session.card.tracking.answer).toBeNull();
  });

  test("contributions are left out of the lines, and what there was without edits is kept beside them", async () => {
    const tokens = [12, 14].map((id) => ({ id, label: `${id}` }));
    const hole = Number.NaN;
    await answer(
      "lens.track",
      { position: 3, tokens, rows: [0, 1, 2, 3] },
      {
        probs: [
          [0.1, hole, 0.2, 0.3],
          [0.4, hole, 0.5, hole],
        ],
        logits: [
          [1, 9, 2, 3],
          [4, 9, 5, 6],
        ],
        ranks: [
          [7, hole, 8, 9],
          [0, hole, 1, 2],
        ],
        unedited_probs: [
          [0.6, hole, 0.6, 0.6],
          [0, hole, 0, 0],
        ],
      },
    );
    const tracks = session.card.tracking.answer;
    expect(tracks?.rows).toEqual([0, 2, 3]);
    expect(tracks?.lines.logit).toEqual([1, 2, 3, 4, 5, 6]);
    expect(tracks?.lines.prob.slice(0, 3).map((it) => it.toFixed(1))).toEqual(["0.1", "0.2", "0.3"]);
    expect(tracks?.lines.prob[5]).toBeNaN();
    expect(tracks?.lines.rank).toEqual([7, 8, 9, 0, 1, 2]);
    expect(tracks?.before?.prob[0]).toBeCloseTo(0.6);
  });

  test("pictures of two runs track the run that their tokens are of", () => {
    for (const [run, of] of [
      ["change", "edited"],
      ["difference", "clean"],
    ]) {
      session.close();
      open({ run }, { edits: [{ label: "zero", on: true, site: "L0H0.z", note: "" }] });
      expect(last("lens.track").params).toMatchObject({ run: of });
    }
  });
});

describe("attribution", () => {
  const components = [
    { name: "embed", layer: null, head: null, value: 0.5 },
    { name: "L0H1", layer: 0, head: 1, value: -2 },
  ];
  const facts = { components, total: -1.5, residue: 0, softcap: false, note: "", card: {} };

  test("nothing is computed before it is unfolded, nor without an answer", () => {
    expect(requests("lens.attribution")).toEqual([]);
    session.card.setAttributing(true);
    timers.pass(1);
    expect(last("lens.attribution").params).toEqual({ run: "clean", by: "component" });
    session.close();
    open({}, { answer: null, distractor: null });
    session.card.setAttributing(true);
    timers.pass(1000);
    expect(requests("lens.attribution")).toEqual([]);
  });

  test("a head is selected for all widgets, and its sources follow once the components are there", async () => {
    session.card.setAttributing(true);
    timers.pass(1);
    session.card.pickHead([0, 1]);
    timers.pass(1);
    // One slot: the newer question would take the place of the one that is under way.
    expect(requests("lens.attribution")).toHaveLength(1);
    await answer("lens.attribution", facts);
    timers.pass(1);
    expect(session.selection).toEqual(["L0H1.z"]);
    expect(last("lens.attribution").params).toEqual({ run: "clean", by: "source", layer: 0, head: 1 });
    await answer("lens.attribution", { by: "source" }, { values: [[0.5, -1, -1.5, 0]] });
    expect([...(session.card.sources.answer ?? [])]).toEqual([0.5, -1, -1.5, 0]);
    session.card.pickHead(null);
    expect(session.card.sources.answer).toBeNull();
    // Selected in another widget, or in Python; a cell that is selected then puts it not away.
    model.update({ selection: ["L1H1.pattern@3"] });
    expect(session.card.head).toEqual([1, 1]);
    session.pickCell({ row: 2, position: 1 });
    expect(session.card.head).toEqual([1, 1]);
    session.card.pickHead(null);
    expect(session.selection).toEqual(["L0.resid_post@1"]);
    model.update({ selection: ["L9H9.pattern"] });
    expect(session.card.head).toBeNull();
  });

  test("a failure stays in its section and can be tried again", async () => {
    session.card.setAttributing(true);
    timers.pass(1);
    await fail("lens.attribution", "there is no final norm");
    expect(session.card.attribution.failure?.message).toBe("there is no final norm");
    expect(session.trouble).toBeNull();
    session.card.attribution.retry();
    await answer("lens.attribution", facts);
    expect(session.card.attribution.answer?.total).toBe(-1.5);
  });
});

test("requests and replies are those of the contract", async () => {
  const keys = (name: string) => Object.keys(golden(name).message.params as object).sort();
  const sent = (op: string) => Object.keys(last(op).params).sort();
  async function replay(op: string, name: string): Promise<Record<string, unknown>> {
    const { message, buffers } = golden(name);
    model.receive({ ...message, id: last(op).id, rev: 1 }, buffers);
    await tick();
    return message.data as Record<string, unknown>;
  }
  session.close();
  const rows = ["input", "L0", "L1", "L2", "L3"].map((label, at) => ({
    site: at ? "resid_post" : "resid_pre",
    layer: Math.max(0, at - 1),
    label,
    kind: "stream",
  }));
  open({ run: "edited", sublayers: false }, { edits: [{ label: "", on: true, site: "", note: "" }] }, rows);
  const { card } = session;
  expect(sent("lens.track")).toEqual(keys("request-lens-track"));
  const tracked = await replay("lens.track", "done-lens-track");
  expect(card.tracking.answer?.rows).toEqual(tracked.rows);
  expect(card.tracking.answer?.tokens).toEqual(tracked.tokens);
  const { lines, before } = card.tracking.answer ?? {};
  expect(lines?.prob).toHaveLength(10);
  expect(Math.max(...(before?.prob ?? []))).toBeLessThanOrEqual(1);
  expect(lines?.rank.every(Number.isInteger)).toBe(true);
  session.hoverAt({ row: 4, position: 3 });
  timers.pass(1000);
  expect(sent("lens.card")).toEqual(keys("request-lens-card"));
  const found = await replay("lens.card", "done-lens-card");
  expect(card.tokens({ row: 4, position: 3 })).toEqual(found.tokens);
  const text = card.pinText("Mary");
  expect(sent("lens.find")).toEqual(keys("request-lens-find"));
  await replay("lens.find", "done-lens-find");
  expect(await text).toContain("Mary pinned");
  card.setAttributing(true);
  timers.pass(1);
  expect(sent("lens.attribution")).toEqual(keys("request-lens-attribution"));
  const direct = await replay("lens.attribution", "done-lens-attribution");
  const { components, total } = card.attribution.answer ?? { components: [], total: 0 };
  const sum = components.reduce((all, it) => all + (it.value ?? 0), 0);
  expect(sum).toBeCloseTo(total as number, 3);
  expect(components).toEqual(direct.components);
  card.pickHead([1, 2]);
  timers.pass(1);
  expect(sent("lens.attribution")).toEqual(keys("request-lens-attribution-source"));
  await replay("lens.attribution", "done-lens-attribution-source");
  const { layer, head } = golden("done-lens-attribution-source").message.data as Record<string, number>;
  const whole = components.find((it) => it.layer === layer && it.head === head)?.value ?? Number.NaN;
  const sources = card.sources.answer ?? [];
  expect(sources.reduce((all, it) => all + it, 0)).toBeCloseTo(whole, 3);
});
