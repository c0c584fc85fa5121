// @vitest-environment happy-dom
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { barEnds, barSpan } from "../../js/lib/geometry";
import { HeadsSession } from "../../js/lib/heads-session";
import { golden } from "./contract";
import { FakeHost, FakeModel, FakeTimers, tick } from "./fakes";

let model: FakeModel;
let timers: FakeTimers;
let session: HeadsSession;

const question = (facts = {}) => ({ ...golden("question").message, rev: 1, ...facts });
function trait() {
  const { message, buffers } = golden("atlas");
  const thumbs = (message.arrays as { thumbs: object }).thumbs;
  return {
    ...message,
    missing: {},
    rev: 1,
    arrays: { thumbs: { ...thumbs, buffer: undefined, data: buffers[0] } },
  };
}
const requests = (op: string) => model.of("request").filter((it) => it.op === op);
const last = (op: string) => requests(op).at(-1) as { id: string; params: Record<string, unknown> };
const effect = {
  metric: {
    name: "logit_diff",
    label: "logit difference",
    base: 4.71,
    after: 1.64,
    recovered: null,
    destroyed: 0.3,
  },
  tokens: [],
  edits: [],
  note: "",
  provenance: {},
};
async function answer(op: string, data: Record<string, unknown>) {
  model.receive({ kind: "done", id: last(op).id, rev: 1, data, arrays: {} });
  await tick();
}

beforeEach(() => {
  timers = new FakeTimers();
  model = new FakeModel({
    epoch: "e",
    protocol: 1,
    experiment: "",
    revs: { question: 1, atlas: 1 },
    question: question(),
    status: golden("status-idle").message,
    selection: [],
    atlas: trait(),
  });
  session = new HeadsSession(model, timers, new FakeHost(), "tab");
  session.start();
  model.receive({ kind: "welcome", client: "tab", epoch: "e", revs: {}, snapshot: {}, running: [] });
});
afterEach(() => session.close());

describe("effects", () => {
  test("nothing runs before a person chooses; then the heads in focus stay", () => {
    session.lock([0, 1]);
    timers.pass(1000);
    expect(requests("heads.effect")).toEqual([]);
    session.intervention.choose("zero");
    timers.pass(1);
    expect(last("heads.effect").params).toEqual({ run: "clean", what: "zero", heads: [[0, 1]] });
    session.hoverHead([1, 1]);
    timers.pass(1000);
    expect(requests("heads.effect")).toHaveLength(1);
  });

  test("with no head locked the one in focus is", () => {
    session.hoverHead([1, 0]);
    session.intervention.choose("mean");
    expect(session.locked).toEqual([[1, 0]]);
  });

  test("the newest wins: an answer to an older question is not shown", async () => {
    session.lock([0, 1]);
    session.intervention.choose("zero");
    timers.pass(1);
    const old = last("heads.effect").id;
    session.intervention.choose("mean");
    timers.pass(1);
    model.receive({ kind: "done", id: old, rev: 1, data: effect, arrays: {} });
    await tick();
    expect(session.intervention.effect.answer).toBeNull();
    await answer("heads.effect", { ...effect, note: "mean" });
    expect(session.intervention.effect.answer?.note).toBe("mean");
    expect(session.intervention.effect.running).toBe(false);
  });

  test("an edge needs a cell, and another cell asks again", () => {
    session.lock([0, 1]);
    session.intervention.choose("knockout");
    timers.pass(1);
    expect(requests("heads.effect")).toEqual([]);
    expect(session.intervention.lacks).toBe("no-cell");
    session.pickCell({ dest: 3, src: 1 });
    timers.pass(1);
    expect(last("heads.effect").params).toMatchObject({ what: "knockout", dest: 3, src: 1 });
    session.pickCell({ dest: 2, src: 1 });
    timers.pass(1);
    expect(last("heads.effect").params).toMatchObject({ dest: 2, src: 1 });
  });

  test("a failure stays with its intervention and can be tried again", async () => {
    session.lock([0, 1]);
    session.intervention.choose("resample");
    timers.pass(1);
    const failure = { error: "BadInput", message: "give a corrupted prompt", hint: "", retryable: true };
    model.receive({ kind: "failed", id: last("heads.effect").id, ...failure });
    await tick();
    expect(session.intervention.effect.failure?.message).toBe("give a corrupted prompt");
    expect(session.trouble).toBeNull();
    session.intervention.effect.retry();
    expect(requests("heads.effect")).toHaveLength(2);
    session.intervention.choose("zero");
    expect(session.intervention.effect.failure).toBeNull();
  });

  test("after the question has changed it is asked again, but not while the picture is old", () => {
    session.lock([0, 1]);
    session.intervention.choose("zero");
    timers.pass(1);
    model.update({ question: question({ rev: 2 }) });
    timers.pass(1000);
    expect(requests("heads.effect")).toHaveLength(1);
    model.update({ atlas: { ...trait(), rev: 2 } });
    timers.pass(1);
    expect(requests("heads.effect")).toHaveLength(2);
  });

  test.each([
    ["arrays", { arrays: true }, /no-model/],
    ["nothing in the way", {}, null],
  ])("%s", (_name, facts, reason) => {
    model.update({ question: question(facts) });
    if (reason) expect(session.intervention.off).toMatch(reason);
    else expect(session.intervention.off).toBeNull();
  });

  test("choosing it again puts it away", () => {
    session.lock([0, 1]);
    session.intervention.choose("zero");
    session.intervention.choose("zero");
    timers.pass(100);
    expect([session.intervention.what, requests("heads.effect").length]).toEqual([null, 0]);
  });
});

describe("a row that overwrites", () => {
  beforeEach(() => {
    session.lock([0, 1]);
    session.pickToken(2);
    session.intervention.choose("pattern");
  });
  const weights = () => session.intervention.row?.weights ?? [];
  const sum = () => weights().reduce((a, b) => a + b, 0);

  test("begins as the head has it, sums to 1, and reaches to its own token", () => {
    expect(session.intervention.row?.dest).toBe(2);
    expect(weights()).toHaveLength(3);
    expect(sum()).toBeCloseTo(1, 6);
  });

  test("presets fill it; the kernel gets all sources, none after the row's token", () => {
    session.intervention.preset("first");
    timers.pass(1000);
    expect(last("heads.effect").params).toMatchObject({ dest: 2, weights: [1, 0, 0, 0] });
    session.intervention.preset("here", 1);
    expect(weights()).toEqual([0, 1, 0]);
    session.intervention.preset("uniform");
    expect(weights()[0]).toBeCloseTo(1 / 3, 6);
  });

  test("weights stay between 0 and 1, and are scaled only when asked for", () => {
    session.intervention.preset("uniform");
    session.intervention.setWeight(0, 7);
    session.intervention.setWeight(1, -1);
    session.intervention.setWeight(2, Number.NaN);
    session.intervention.setWeight(3, 1);
    expect(weights().slice(0, 2)).toEqual([1, 0]);
    expect(sum()).toBeCloseTo(4 / 3, 6);
    session.intervention.preset("sum");
    expect(sum()).toBeCloseTo(1, 6);
  });

  test("drawing asks once it rests", () => {
    timers.pass(1000);
    const before = requests("heads.effect").length;
    for (let step = 0; step < 10; step++) {
      session.intervention.setWeight(0, step / 10);
      timers.pass(20);
    }
    timers.pass(1000);
    expect(requests("heads.effect")).toHaveLength(before + 1);
  });

  test("another token is another row", () => {
    session.pickToken(1);
    expect([session.intervention.row?.dest, weights().length]).toEqual([1, 2]);
    session.intervention.choose("zero");
    expect(session.intervention.row).toBeNull();
  });
});

describe("keeping and reading", () => {
  test("keep sends the same with the revision it was made on, and then it is done with", async () => {
    session.lock([0, 1]);
    session.intervention.choose("zero");
    session.intervention.keep();
    expect(last("heads.keep").params).toEqual({ run: "clean", what: "zero", heads: [[0, 1]], base_rev: 1 });
    await answer("heads.keep", { rev: 2 });
    expect(session.intervention.what).toBeNull();
  });

  test("what a head writes is asked for while it is looked at, for the token that was picked", async () => {
    session.lock([0, 1]);
    session.pickToken(1);
    timers.pass(1000);
    expect(requests("heads.writes")).toEqual([]);
    session.intervention.setTab("writes");
    timers.pass(1000);
    expect(last("heads.writes").params).toMatchObject({ run: "clean", layer: 0, head: 1, position: 1 });
    session.hoverPosition(3);
    timers.pass(1000);
    expect(requests("heads.writes")).toHaveLength(1);
    session.pickToken(3);
    timers.pass(1000);
    expect(last("heads.writes").params).toMatchObject({ position: 3 });
  });
});

describe("bars", () => {
  test.each([
    [4, [4, 2], { left: 0, width: 100 }],
    [2, [4, 2], { left: 0, width: 50 }],
    [-3, [1, -3], { left: 0, width: 75 }],
    [1, [1, -3], { left: 75, width: 25 }],
    [0, [0, 0], { left: 0, width: 0 }],
    [1e30, [1e30, 1], { left: 0, width: 100 }],
    [null, [1], null],
    [Number.NaN, [1], null],
  ])("%s among %s", (value, among, span) => {
    expect(barSpan(value, ...barEnds(among))).toEqual(span);
  });
});
