// @vitest-environment happy-dom
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { BoardSession } from "../../js/lib/board-session";
import { boardEntry, effectOf, gridArrays } from "./board";
import { golden } from "./contract";
import { FakeHost, FakeModel, FakeTimers, tick } from "./fakes";

let model: FakeModel;
let timers: FakeTimers;
let session: BoardSession;
const spec = (layer: number, positions: number[]) => ({
  kind: "patch",
  site: "resid_post",
  layer,
  head: null,
  positions,
  source: "other",
  source_positions: null,
  src: null,
  alpha: 1,
});
const question = (facts: Record<string, unknown> = {}) => ({
  ...golden("question").message,
  rev: 1,
  base: "corrupted",
  answer_position: 5,
  ...facts,
});
const requests = (op: string) =>
  model.of("request").filter((it) => it.op === op) as { id: string; params: Record<string, never> }[];
const last = (op: string) => requests(op).at(-1) as { id: string; params: Record<string, never> };

function open(board: Record<string, unknown> = {}, facts: Record<string, unknown> = {}): BoardSession {
  model = new FakeModel({
    epoch: "e",
    protocol: 1,
    experiment: "x",
    revs: { question: 1, board: 1 },
    question: question(facts),
    status: golden("status-idle").message,
    selection: [],
    board: boardEntry(board),
  });
  timers = new FakeTimers();
  session = new BoardSession(model, timers, new FakeHost(), "tab");
  session.start();
  const revs = { question: 1, board: 1 };
  model.receive({ kind: "welcome", client: "tab", epoch: "e", revs, snapshot: {}, running: [] });
  return session;
}
beforeEach(() => {
  open();
});
afterEach(() => session.close());

function pickUp(row: number, column: number): void {
  const carried = session.carriedOf({ grid: "clean", rows: [row], columns: [column] }, column);
  if (!carried) throw new Error("nothing to carry");
  session.drag.start(carried, false);
}
/** The kernel's answer to a preview: this much recovered. */
function answer(id: string, recovered: number, kind = "done", facts = {}): void {
  const arrays = gridArrays("edited", 4, 6, recovered);
  const names = Object.keys(arrays);
  const sent = Object.fromEntries(
    names.map((name, buffer) => [name, { ...arrays[name], data: undefined, buffer }]),
  );
  const effect = effectOf({ after: -4 + 8 * recovered, recovered });
  const buffers = names.map((name) => arrays[name]?.data);
  model.receive({ kind, id, rev: 1, data: { effect }, arrays: sent, ...facts }, buffers);
}
/** A finished map of resid_post whose cells recover layer/10 + column/100. */
async function finishMap(state = 2): Promise<void> {
  const { id, params } = last("sweep.start");
  const layers = [0, 1, 2];
  const columns = Array.from({ length: 6 }, (_, position) => ({
    position,
    head: null,
    label: "t",
    other: "",
  }));
  const share = (at: number) => Math.floor(at / 6) / 10 + (at % 6) / 100;
  const floats = (make: (at: number) => number) => Float32Array.from({ length: 18 }, (_, at) => make(at));
  const bytes = [
    floats((at) => -4 + 8 * share(at)),
    floats(share),
    floats(() => Number.NaN),
    new Uint8Array(18).fill(state),
  ];
  const entry = (dtype: string, buffer: number) => ({ dtype, shape: [3, 6], layout: "full", buffer });
  const arrays = {
    metric: entry("f32", 0),
    recovered: entry("f32", 1),
    stderr: entry("f32", 2),
    state: entry("u8", 3),
  };
  const map = { ...params, rev: 1, axis: "position", layers, columns, done: 18, total: 18, complete: true };
  model.receive(
    { kind: "done", id, rev: 1, data: { map }, arrays },
    bytes.map((it) => new Uint8Array(it.buffer)),
  );
  await tick();
}

describe("previews", () => {
  test("200 quick moves ask for one run, of the last place", () => {
    pickUp(2, 3);
    for (let move = 0; move < 200; move++) {
      session.drag.over("corrupted", move % 6);
      timers.pass(10);
    }
    expect(requests("patch.preview")).toEqual([]);
    timers.pass(149);
    expect(requests("patch.preview").length).toBe(1);
    expect(last("patch.preview").params).toEqual({
      edits: [{ ...spec(1, [1]), source_positions: [3] }],
      base: "corrupted",
      replace: null,
    });
  });

  test("of two that are asked for the older one is called off, and shown by no way that it may still come", async () => {
    pickUp(2, 3);
    session.drag.over("corrupted", 3);
    timers.pass(150);
    const first = last("patch.preview").id;
    session.drag.over("corrupted", 4);
    expect(model.of("cancel").map((it) => it.id)).toEqual([first]);
    answer(first, 0.9, "partial", { seq: 0, progress: null });
    answer(first, 0.9);
    await tick();
    expect(session.drag.shown).toMatchObject({ of: "run", effect: { after: -4 }, waiting: true });
    timers.pass(150);
    const second = last("patch.preview").id;
    expect(second).not.toBe(first);
    answer(second, 0.5);
    await tick();
    expect(session.drag.shown).toMatchObject({ of: "preview", effect: { after: 0 }, waiting: false });
    expect(session.drag.cells?.top(0, 0)?.value).toBe(0.5);
    answer(first, 0.9);
    await tick();
    expect(session.drag.shown?.effect.after).toBe(0);
  });

  test("the effect of a large model comes before its cells", async () => {
    pickUp(2, 3);
    session.drag.over("corrupted", 3);
    timers.pass(150);
    const effect = effectOf({ after: 2, recovered: 0.75 });
    const part = (seq: number, data: object) =>
      model.receive({ kind: "partial", id: last("patch.preview").id, seq, progress: null, data, arrays: {} });
    part(0, {});
    expect(session.drag.shown).toMatchObject({ of: "run", waiting: true });
    part(1, { effect });
    expect(session.drag.shown).toMatchObject({ of: "preview", effect: { after: 2 } });
    expect(session.drag.cells).toBeNull();
  });

  test("put back: nothing is asked, and what there was is shown", async () => {
    pickUp(2, 3);
    session.drag.over("corrupted", 3);
    timers.pass(150);
    answer(last("patch.preview").id, 0.5);
    await tick();
    session.drag.end();
    expect([session.drag.shown?.of, session.drag.cells]).toEqual(["run", null]);
    session.drag.over("corrupted", 2);
    timers.pass(1000);
    expect(requests("patch.preview").length).toBe(1);
  });

  test("its own place asks for nothing; a failure is told where the number would be", async () => {
    pickUp(2, 3);
    session.drag.over("clean", 3);
    timers.pass(1000);
    expect(requests("patch.preview")).toEqual([]);
    session.drag.over("corrupted", 3);
    timers.pass(150);
    const failure = { error: "X", message: "no such site", hint: "", retryable: false };
    model.receive({ kind: "failed", id: last("patch.preview").id, ...failure });
    await tick();
    expect(session.drag.failure?.message).toBe("no such site");
    expect(session.drag.shown?.of).toBe("run");
  });

  test("while the question changes under it, what is tried out is asked for anew", () => {
    pickUp(2, 3);
    session.drag.over("corrupted", 3);
    timers.pass(150);
    model.update({
      revs: { question: 2, board: 2 },
      question: question({ rev: 2 }),
      board: boardEntry({ rev: 2 }),
    });
    timers.pass(150);
    expect(requests("patch.preview").length).toBe(2);
  });
});

describe("the map answers first", () => {
  test("a finished cell at once, without a message; the tokens follow", async () => {
    expect(last("sweep.start").params).toEqual({
      site: "resid_post",
      edit: "patch",
      base: "corrupted",
      on_top: false,
      first: null,
      part: null,
    });
    await finishMap();
    pickUp(2, 3);
    const before = model.sent.length;
    session.drag.over("corrupted", 3);
    const shown = session.drag.shown;
    expect(model.sent.length).toBe(before);
    expect(shown).toMatchObject({ of: "map", waiting: true });
    expect(shown?.effect.recovered).toBeCloseTo(0.13, 6);
    expect(shown?.effect.after).toBeCloseTo(-4 + 8 * 0.13, 5);
  });

  test("an estimate says so; another place, a row and another base are not on it", async () => {
    await finishMap(1);
    pickUp(2, 3);
    session.drag.over("corrupted", 3);
    expect(session.drag.shown?.of).toBe("estimate");
    session.drag.over("corrupted", 4);
    expect(session.drag.shown?.of).toBe("run");
    session.drag.over("clean", 4);
    expect(session.drag.shown?.of).toBe("run");
    const row = session.carriedOf({ grid: "clean", rows: [2], columns: null });
    session.drag.start(row as NonNullable<typeof row>, false);
    session.drag.over("corrupted", 3);
    expect(session.drag.shown?.of).toBe("run");
  });

  test("another kind of activation, the stream before layers and edits have maps of their own", () => {
    session.setCarry("z");
    expect(last("sweep.start").params).toMatchObject({ site: "z" });
    session.setCarry("residual");
    session.setStream("pre");
    expect(last("sweep.start").params).toMatchObject({ site: "resid_pre" });
    session.close();
    open({}, { edits: [{ label: "a", on: true, site: "s", note: "" }] });
    expect(last("sweep.start").params).toMatchObject({ on_top: true });
    session.close();
    open({ alone: true, base: "clean" }, { base: "clean" });
    expect(requests("sweep.start")).toEqual([]);
  });
});

describe("changes of the list", () => {
  test("a drop adds its edits to the base it lands on, and later ones wait for the revision it makes", async () => {
    pickUp(2, 3);
    session.drag.over("corrupted", 3);
    expect(session.drag.drop()).toBe(true);
    pickUp(3, 5);
    session.drag.over("corrupted", 5);
    session.drag.drop();
    await tick();
    expect(requests("edits.add").length).toBe(1);
    expect(last("edits.add").params).toEqual({ edits: [spec(1, [3])], base: "corrupted", base_rev: 1 });
    model.update({ revs: { question: 2, board: 1 }, question: question({ rev: 2 }) });
    model.receive({ kind: "done", id: last("edits.add").id, rev: 2, data: { rev: 2 }, arrays: {} });
    await tick();
    await tick();
    expect(last("edits.add").params).toEqual({ edits: [spec(2, [5])], base: "corrupted", base_rev: 2 });
  });

  test("dropped on nothing, or where it came from, nothing is added", async () => {
    pickUp(2, 3);
    expect(session.drag.drop()).toBe(false);
    pickUp(2, 3);
    session.drag.over("clean", 3);
    expect(session.drag.drop()).toBe(false);
    await tick();
    expect(requests("edits.add")).toEqual([]);
  });

  test("a strength that moves is tried out, the newest, and sent once", async () => {
    session.close();
    open({}, { edits: [{ label: "a", on: true, site: "s", note: "", alpha: 1, spec: spec(1, [3]) }] });
    for (let step = 1; step <= 20; step++) {
      session.drag.slide(0, 1 - step / 40);
      timers.pass(5);
    }
    timers.pass(40);
    expect(requests("patch.preview").length).toBe(1);
    expect(last("patch.preview").params).toEqual({
      edits: [{ ...spec(1, [3]), alpha: 0.5 }],
      base: "corrupted",
      replace: 0,
    });
    session.drag.slide(0, null);
    session.setAlpha(0, 0.5);
    await tick();
    expect(last("edits.replace").params).toEqual({ index: 0, alpha: 0.5, base_rev: 1 });
  });

  test("an edit leaves the picture as it is until its effect is here; other prompts dim it", () => {
    model.update({ revs: { question: 2, board: 1 }, question: question({ rev: 2, edits: [] }) });
    expect([session.behind, session.stale]).toEqual([true, false]);
    model.update({ revs: { question: 3, board: 1 }, question: question({ rev: 3, metric: "prob" }) });
    expect([session.behind, session.stale]).toEqual([true, true]);
  });
});

describe("what is picked and where", () => {
  test("the selection names the site, and is read from other widgets", () => {
    session.pick({ grid: "corrupted", rows: [2], columns: [4] });
    expect(session.selection).toEqual(["L1.resid_post@4"]);
    model.update({ selection: ["L0.resid_post@2"] });
    expect(session.picked).toEqual({ grid: "corrupted", rows: [1], columns: [2] });
    session.setCarry("z");
    session.pick({ grid: "clean", rows: [2], columns: [3] });
    expect(session.selection).toEqual(["L1H3.z"]);
  });

  test("heads are carried at the positions that are chosen, in the run they come from", () => {
    session.close();
    open({
      lengths: [6, 8],
      pairs: [
        [0, 0],
        [1, 3],
        [2, 4],
        [3, 5],
        [4, 6],
        [5, 7],
      ],
    });
    session.setCarry("z");
    session.setAt([5, 1]);
    const carried = session.carriedOf({ grid: "clean", rows: [2], columns: [3] });
    // Of the base's positions 1 and 5 only the second has a partner.
    expect(carried).toMatchObject({ site: "z", layer: 1, heads: [3], positions: [3], source: "clean" });
    session.drag.start(carried as NonNullable<typeof carried>, false);
    session.drag.over("corrupted", null);
    expect(session.drag.specs).toMatchObject([{ head: 3, positions: [5], source_positions: null }]);
  });

  test("cells that lack are asked for once, of one grid at a time", async () => {
    session.close();
    open({
      shown: { rows: [0, 3] },
      grids: {
        clean: { positions: 9, columns: [0, 6] },
        corrupted: null,
        edited: { positions: 6, columns: [0, 6] },
      },
    });
    session.want("clean", [0, 3], 0, 9);
    session.want("edited", [1], 0, 6);
    expect(requests("lens.cells").map((it) => it.params)).toEqual([
      { run: "clean", measure: "prob", sublayers: false, tuned: false, rows: [0, 3], columns: [6, 9] },
    ]);
    model.receive({
      kind: "done",
      id: last("lens.cells").id,
      rev: 1,
      data: { rows: [0, 3], columns: [6, 9] },
      arrays: {},
    });
    await tick();
    session.want("clean", [0, 3], 0, 9);
    expect(requests("lens.cells").length).toBe(1);
  });
});
