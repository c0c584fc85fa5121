// @vitest-environment happy-dom
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { HeadsSession } from "../../js/lib/heads-session";
import { stateOf } from "../../js/lib/state-name";
import { golden } from "./contract";
import { FakeHost, FakeModel, FakeTimers, tick } from "./fakes";

let model: FakeModel;
let timers: FakeTimers;
let session: HeadsSession;
const opened: HeadsSession[] = [];

function trait(name: string): Record<string, unknown> {
  const { message, buffers } = golden(name);
  const arrays = (message.arrays ?? {}) as Record<string, { buffer?: number }>;
  const inline = Object.fromEntries(
    Object.entries(arrays).map(([key, { buffer, ...entry }]) => [
      key,
      { ...entry, data: buffers[buffer ?? 0] },
    ]),
  );
  return message.arrays ? { ...message, arrays: inline } : message;
}
const atlas = (facts: Record<string, unknown> = {}) => ({ ...trait("atlas"), missing: {}, ...facts });
const question = (facts: Record<string, unknown> = {}) => ({ ...trait("question"), ...facts });
const long = (positions: number) => atlas({ positions });

function open(state: Record<string, unknown> = {}): HeadsSession {
  model = new FakeModel({
    epoch: "e",
    protocol: 1,
    experiment: "x",
    revs: { question: 1, atlas: 1 },
    question: question(),
    status: trait("status-idle"),
    selection: [],
    atlas: atlas(),
    ...state,
  });
  session = new HeadsSession(model, timers, new FakeHost(), "tab");
  opened.push(session);
  session.start();
  model.receive({
    kind: "welcome",
    client: "tab",
    epoch: "e",
    revs: { question: 1, atlas: 1 },
    snapshot: {},
    running: [],
  });
  return session;
}
const lastRequest = () =>
  model.of("request").at(-1) as { id: string; op: string; params: Record<string, unknown> };
const answer = (kind: string, facts: Record<string, unknown>) =>
  model.receive({ kind, id: lastRequest().id, arrays: {}, ...facts });

beforeEach(() => {
  timers = new FakeTimers();
  open();
});
afterEach(() => {
  for (const it of opened.splice(0)) it.close();
});

describe("revisions", () => {
  test("hello says what is held, in the counts of revs", () => {
    session.channel.hello();
    expect(model.of("hello").at(-1)?.have).toEqual({ question: 1, atlas: 1 });
    model.update({ revs: { question: 2, atlas: 1 }, question: question({ rev: 2 }) });
    session.channel.hello();
    expect(model.of("hello").at(-1)?.have).toEqual({ question: 2, atlas: 1 });
  });

  test("an older question or atlas is dropped", () => {
    model.update({ question: question({ rev: 5, metric: "prob" }) });
    model.update({ question: question({ rev: 4, metric: "old" }) });
    expect(session.question?.metric).toBe("prob");
    model.update({ atlas: atlas({ rev: 5 }) });
    model.update({ atlas: atlas({ rev: 4 }) });
    expect(session.atlas?.rev).toBe(5);
  });

  test("the picture is stale until the atlas of the new question is there", () => {
    model.update({ question: question({ rev: 2 }) });
    expect(session.stale).toBe(true);
    model.update({ atlas: atlas({ rev: 2 }) });
    expect(session.stale).toBe(false);
  });

  test("a welcome's snapshot is taken like traits", () => {
    const { buffers } = golden("atlas");
    const snapshot = { atlas: { ...golden("atlas").message, rev: 7 }, question: question({ rev: 7 }) };
    model.receive(
      { kind: "welcome", client: "tab", epoch: "e", revs: { question: 3, atlas: 3 }, snapshot, running: [] },
      buffers,
    );
    expect([session.question?.rev, session.atlas?.rev]).toEqual([7, 7]);
    expect(session.have()).toEqual({ question: 3, atlas: 3 });
  });

  test("a welcome without a snapshot brings nothing, whatever it counts", () => {
    const held = session.have();
    model.receive({
      kind: "welcome",
      client: "tab",
      epoch: "e",
      revs: { question: 3, atlas: 3 },
      running: [],
    });
    expect(session.have()).toEqual(held);
  });
});

describe("heads", () => {
  test("nothing chosen, the strongest head of the score is shown", () => {
    session.setScore("previous");
    expect(session.inFocus).toEqual([[1, 1]]);
  });

  test("hover previews, click locks, shift-click adds, Escape's clear frees", () => {
    session.hoverHead([0, 1]);
    expect(session.inFocus).toEqual([[0, 1]]);
    session.lock([0, 1]);
    session.hoverHead(null);
    session.lock([1, 0], true);
    expect(session.inFocus).toEqual([
      [0, 1],
      [1, 0],
    ]);
    session.lock([0, 1], true);
    expect(session.inFocus).toEqual([[1, 0]]);
    session.clearSelection();
    expect(session.locked).toEqual([]);
  });

  test("a selection goes to Python once it rests, as sites", () => {
    session.lock([1, 1]);
    session.pickCell({ dest: 3, src: 1 });
    expect(model.saves).toBe(0);
    timers.pass(200);
    expect(model.saves).toBe(1);
    expect(model.state.selection).toEqual(["L1H1.pattern@3<1"]);
  });

  test("a selection from Python is shown; what the model lacks is left out", () => {
    model.update({ selection: ["L1H0.pattern@2", "L7H7.pattern", "L1.resid_pre"] });
    expect(session.locked).toEqual([[1, 0]]);
    expect(session.focusToken).toBe(2);
  });

  test("other widgets of the experiment hear hover and selection, those of another do not", () => {
    const here = model;
    const make = (experiment: string) => {
      const fresh = new FakeModel({ ...here.state, experiment });
      const made = new HeadsSession(fresh, timers, new FakeHost());
      opened.push(made);
      made.start();
      return made;
    };
    const [same, other] = [make("x"), make("y")];
    session.hoverHead([1, 1]);
    expect(same.inFocus).toEqual([[1, 1]]);
    expect(other.linkedHover).toBeNull();
    session.lock([1, 0]);
    expect(same.locked).toEqual([[1, 0]]);
    expect(other.locked).toEqual([]);
  });
});

describe("patterns", () => {
  test("thumbnails that are the pattern need no request", () => {
    session.lock([0, 0]);
    timers.pass(1000);
    expect(model.of("request")).toEqual([]);
    expect(session.focusing.pattern?.size).toBe(4);
  });

  test("coarser ones are fetched when the pointer rests, newest only", () => {
    open({ atlas: long(9) });
    timers.pass(1000);
    const before = model.of("request").length;
    session.hoverHead([0, 0]);
    session.hoverHead([0, 1]);
    timers.pass(500);
    expect(model.of("request")).toHaveLength(before + 1);
    expect(lastRequest()).toMatchObject({
      op: "heads.pattern",
      slot: "pattern",
      params: { run: "clean", heads: [[0, 1]], dest: [0, 9], src: [0, 9] },
    });
  });

  test("a reply is drawn; one for an older question is not", async () => {
    const { buffers, message } = golden("done-pattern-lower");
    open({ atlas: atlas({ positions: 9, rev: 2 }), question: question({ rev: 2 }) });
    session.lock([0, 1]);
    expect(session.focusing.pattern?.size).toBe(4);
    const arrays = { pattern: { ...(message.arrays as Record<string, object>).pattern, shape: [1, 4, 4] } };
    const one = [new Uint8Array(10).fill(127)];
    model.receive({ ...message, id: lastRequest().id, rev: 1, arrays }, one);
    await tick();
    expect(session.focusing.pattern?.numbers[0]).not.toBeCloseTo(0.5, 2);
    session.focusing.want();
    model.receive({ ...message, id: lastRequest().id, rev: 2, arrays }, one);
    await tick();
    expect(session.focusing.pattern?.numbers[0]).toBeCloseTo(0.5, 2);
    expect(buffers).toHaveLength(1);
  });

  test("the exact value is asked for when the pointer rests on a cell, not for the future", async () => {
    session.lock([0, 1]);
    session.hoverAt({ dest: 1, src: 3 });
    timers.pass(500);
    expect(model.of("request")).toHaveLength(0);
    session.hoverAt({ dest: 3, src: 2 });
    timers.pass(500);
    expect(lastRequest()).toMatchObject({
      op: "heads.value",
      params: { layer: 0, head: 1, dest: 3, src: 2 },
    });
    answer("done", { rev: 1, data: { value: 0.3 } });
    await tick();
    expect(session.focusing.exact?.value).toBe(0.3);
  });
});

describe("runs", () => {
  test("what cannot be shown says why", () => {
    expect(session.runReason("edited")).toMatch(/No edit/);
    model.update({
      question: question({ rev: 2, prompts: { ...(question().prompts as object), corrupted: null } }),
    });
    expect(session.runReason("corrupted")).toMatch(/no-corrupted/);
    session.setRun("difference");
    expect(model.of("request")).toEqual([]);
  });

  test("another run is asked for; the old picture is stale until it is there", () => {
    session.setRun("corrupted");
    expect(lastRequest()).toMatchObject({ op: "heads.atlas", params: { run: "corrupted" }, slot: "atlas" });
    expect(session.stale).toBe(true);
    model.update({ atlas: atlas({ run: "corrupted" }) });
    expect([session.stale, session.run, session.shownPrompt?.text]).toEqual([false, "corrupted", " a b b"]);
  });

  test("a failed run goes back to what is shown, with words and a retry", async () => {
    session.setRun("corrupted");
    answer("failed", {
      error: "NotFinite",
      message: "not finite at resid_pre 1",
      hint: "h",
      retryable: true,
    });
    await tick();
    expect([session.run, stateOf(session)]).toEqual(["clean", "failed"]);
    session.trouble?.retry?.();
    expect(model.of("request")).toHaveLength(2);
    expect(session.trouble).toBeNull();
  });

  test("thumbnails stream in, and half a picture goes when the work is cancelled", () => {
    const { message, buffers } = golden("partial-thumbs");
    model.update({ status: trait("status-running") });
    model.receive({ ...message, id: "k-9" }, buffers);
    expect(session.shown?.arrived).toEqual([true, false]);
    expect(stateOf(session)).toBe("running");
    model.update({
      status: {
        ...trait("status-idle"),
        state: "failed",
        error: { error: "Cancelled", message: "", hint: "", retryable: false },
      },
    });
    expect(session.shown?.arrived).toEqual([true, true]);
    expect(stateOf(session)).toBe("ready");
  });
});

describe("the question", () => {
  test("every change carries the revision it was made on", async () => {
    const done = session.setQuestion({ answer: " b" });
    expect(lastRequest()).toMatchObject({
      op: "question.set",
      params: { answer: " b", base_rev: 1 },
    });
    expect(session.stale).toBe(true);
    answer("done", { rev: 2, data: { rev: 2 } });
    expect(await done).toMatchObject({ kind: "done" });
  });

  const undo = () => session.askChange("edits.undo", {});
  const rev = () => lastRequest().params.base_rev;
  test("one asked for before the last is settled waits, and is of what that made, though it is not read yet", async () => {
    void undo();
    void session.setQuestion({ metric: "prob" });
    void undo();
    await tick();
    expect(model.of("request").length).toBe(1);
    answer("done", { rev: 2, data: { rev: 2 } });
    await tick();
    expect([lastRequest().op, rev(), session.asking, session.question?.rev]).toEqual([
      "question.set",
      2,
      true,
      1,
    ]);
    answer("done", { rev: 3, data: { rev: 3 } });
    await tick();
    expect([lastRequest().op, rev(), session.asking]).toEqual(["edits.undo", 3, false]);
  });

  test("what was asked for on top of a change that was not made is not made either", async () => {
    void undo();
    void undo();
    model.update({ question: question({ rev: 4 }) });
    answer("failed", { error: "Stale", message: "m", hint: "h", retryable: true });
    await tick();
    expect(model.of("request").length).toBe(1);
    void undo();
    expect(rev()).toBe(4);
  });

  const remove = (index: number) => session.askChange("edits.remove", { index });
  test("what names a place is of what was seen where a change has moved that, and a double click is one", async () => {
    void session.askChange("edits.toggle", { index: 2 });
    void remove(0);
    void remove(0);
    void remove(1);
    answer("done", { rev: 2, data: { rev: 2 } });
    await tick();
    expect([lastRequest().op, rev()]).toEqual(["edits.remove", 2]);
    answer("done", { rev: 3, data: { rev: 3 } });
    await tick();
    // The kernel refuses it: the list is another one.
    expect([lastRequest().params, model.of("request").length]).toEqual([{ index: 1, base_rev: 1 }, 3]);
  });

  test("after Stale the retry carries the new revision", async () => {
    void session.setQuestion({ metric: "prob" });
    answer("failed", { error: "Stale", message: "m", hint: "h", retryable: true });
    await tick();
    const retry = session.trouble?.retry;
    model.update({ question: question({ rev: 2 }) });
    retry?.();
    expect(lastRequest().params).toEqual({ metric: "prob", base_rev: 2 });
  });

  test("a draft is a change of the picture until it is run or restored", () => {
    session.setDraft("clean", " other");
    expect([session.stale, stateOf(session)]).toEqual([true, "changed"]);
    session.setDraft("clean", " a b a");
    expect(session.drafted).toBe(false);
    session.setDraft("clean", " x");
    const prompts = question().prompts as { clean: object; corrupted: object };
    model.update({
      question: question({ rev: 2, prompts: { ...prompts, clean: { ...prompts.clean, text: " x" } } }),
    });
    expect(session.drafted).toBe(false);
  });
});

describe("states", () => {
  test.each([
    ["empty", { question: {}, atlas: {}, status: {} }],
    ["loading", { atlas: {}, status: trait("status-running") }],
    ["running", { status: trait("status-running") }],
    [
      "failed",
      {
        status: {
          ...trait("status-idle"),
          state: "failed",
          error: { error: "X", message: "m", hint: "", retryable: false },
        },
      },
    ],
    ["ready", {}],
  ])("%s", (name, state) => {
    open(state);
    expect(stateOf(session)).toBe(name);
  });

  test("work is announced after 300 ms, not before, and no longer than it takes", () => {
    void session.setQuestion({ metric: "prob" });
    timers.pass(299);
    expect(session.busyLong).toBe(false);
    timers.pass(1);
    expect(session.busyLong).toBe(true);
    answer("done", { rev: 2, data: {} });
    expect(session.busyLong).toBe(false);
  });

  test("glances at values and patterns are not announced", () => {
    open({ atlas: long(9) });
    session.lock([0, 1]);
    timers.pass(500);
    expect([session.busyLong, session.work]).toEqual([false, null]);
  });

  test("dropped buffers are said, and the last picture stays", () => {
    model.update({ atlas: golden("atlas").message });
    expect(session.pictureTrouble).toMatch(/without its binary data/);
    expect(session.atlas).not.toBeNull();
  });
});
