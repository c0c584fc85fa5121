// @vitest-environment happy-dom
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { LensSession } from "../../js/lib/lens-session";
import { golden } from "./contract";
import { FakeHost, FakeModel, FakeTimers, tick } from "./fakes";
import { block, lensEntry } from "./lens";

let model: FakeModel;
let session: LensSession;
const opened: LensSession[] = [];
const EDIT = { label: "zero L1H1.z", on: true, site: "L1H1.z", note: "" };
const WINDOW = { shown: { rows: [0, 3], columns: [2, 6] } };
const question = (facts: Record<string, unknown> = {}) => ({
  ...golden("question").message,
  answer_position: 5,
  ...facts,
});

function open(lens: Record<string, unknown> = {}, facts: Record<string, unknown> = {}): LensSession {
  model = new FakeModel({
    epoch: "e",
    protocol: 1,
    experiment: "x",
    revs: { question: 1, lens: 1 },
    question: question(facts),
    status: golden("status-idle").message,
    selection: [],
    lens: lensEntry(lens),
  });
  const made = new LensSession(model, new FakeTimers(), new FakeHost(), "tab");
  session = made;
  opened.push(made);
  made.start();
  const revs = { question: 1, lens: 1 };
  model.receive({ kind: "welcome", client: "tab", epoch: "e", revs, snapshot: {}, running: [] });
  return made;
}
const requests = (op: string) =>
  model.of("request").filter((it) => it.op === op) as { id: string; params: Record<string, unknown> }[];
const last = (op: string) => requests(op).at(-1) as { id: string; params: Record<string, unknown> };

function sendCells(id: string, rows: number[], columns: [number, number], kind = "done", facts = {}): void {
  const { sent, buffers } = block(rows, columns, () => 0.25);
  model.receive(
    { kind, id, rev: 1, data: { rows, columns, tokens: { 101: "␣new" } }, arrays: sent, ...facts },
    buffers,
  );
}

beforeEach(() => {
  open();
});
afterEach(() => {
  for (const it of opened.splice(0)) it.close();
});

describe("what is shown", () => {
  test("another measure is asked for with everything else as it was, and shown once its picture is there", async () => {
    session.setMeasure("entropy");
    expect(last("lens.run").params).toEqual({
      run: "clean",
      measure: "entropy",
      sublayers: false,
      tuned: false,
    });
    expect(session.stale).toBe(true);
    model.update({ lens: lensEntry({ measure: "entropy" }) });
    model.receive({ kind: "done", id: last("lens.run").id, rev: 1, data: {}, arrays: {} });
    await tick();
    expect([session.measure, session.stale]).toEqual(["entropy", false]);
  });

  test("when a picture fails, what is shown is what is wanted again", async () => {
    session.setSublayers(true);
    expect(session.sublayers).toBe(true);
    const failure = { error: "X", message: "no", hint: "", retryable: true };
    model.receive({ kind: "failed", id: last("lens.run").id, ...failure });
    await tick();
    expect(session.sublayers).toBe(false);
    expect(session.trouble?.failure.message).toBe("no");
  });

  test("a measure that cannot be, translators that are not there and an edit that is off say why", () => {
    const measures = [{ name: "rank", label: "rank", card: "", reason: "There is no answer." }];
    open({ measures });
    expect(session.measureReason("rank")).toBe("There is no answer.");
    session.setMeasure("rank");
    expect(requests("lens.run")).toEqual([]);
    expect(session.translated).toBe(false);
    open({ translators: null });
    expect([session.translated, session.tunedReason]).toEqual([true, null]);
    expect(session.runReason("change")).toBe("No edit is switched on.");
  });

  test("C compares with the unedited run while an edit is on", () => {
    open({ run: "edited" }, { edits: [EDIT] });
    expect(session.flip("change", "difference")).toBeNull();
    expect(last("lens.run").params.run).toBe("change");
    session.flip("change", "difference");
    expect(last("lens.run").params.run).toBe(golden("question").message.base);
  });
});

describe("cells on screen", () => {
  test("what lacks is asked for once, and laid in where it belongs", async () => {
    open(WINDOW);
    session.want([0, 3], 2, 6);
    expect(requests("lens.cells")).toEqual([]);
    session.want([0, 1, 3], 1, 6);
    session.want([0, 1, 3], 1, 6);
    expect(requests("lens.cells").map(({ params }) => params)).toEqual([
      { run: "clean", measure: "prob", sublayers: false, tuned: false, rows: [0, 1, 3], columns: [1, 6] },
    ]);
    sendCells(last("lens.cells").id, [1], [1, 6], "partial", { seq: 0, progress: null });
    expect(session.lens?.cells.value({ row: 1, position: 4 })).toBe(0.25);
    expect(session.lens?.cells.has({ row: 0, position: 1 })).toBe(false);
    expect(session.tokenLabel(101)).toBe("␣new");
    sendCells(last("lens.cells").id, [0, 3], [1, 2]);
    await tick();
    session.want([0, 1, 3], 1, 6);
    expect(requests("lens.cells").length).toBe(1);
  });

  test("what left the screen gives way to what is on it", () => {
    open(WINDOW);
    session.want([1], 0, 6);
    session.want([2], 0, 6);
    expect(requests("lens.cells").map(({ params }) => params.rows)).toEqual([[1], [2]]);
    // Every request goes by one slot: the kernel drops the older.
    expect(
      model
        .of("request")
        .filter((it) => it.op === "lens.cells")
        .map((it) => it.slot),
    ).toEqual(["cells", "cells"]);
  });

  test("cells of an older picture are dropped", async () => {
    open(WINDOW);
    session.want([1], 0, 6);
    const { id } = last("lens.cells");
    model.update({ revs: { question: 1, lens: 2 }, lens: lensEntry({ ...WINDOW, measure: "prob" }) });
    sendCells(id, [1], [0, 6]);
    await tick();
    expect(session.lens?.cells.has({ row: 1, position: 0 })).toBe(false);
  });

  test("what failed is told and not asked for again until the reader says so", async () => {
    open(WINDOW);
    session.want([1], 0, 6);
    const failure = { error: "X", message: "too large", hint: "", retryable: true };
    model.receive({ kind: "failed", id: last("lens.cells").id, ...failure });
    await tick();
    session.want([1], 0, 6);
    expect(requests("lens.cells").length).toBe(1);
    expect(session.trouble?.title).toBe("lens.cells");
    session.trouble?.retry?.();
    session.want([1], 0, 6);
    expect(requests("lens.cells").length).toBe(2);
  });

  test("nothing is asked of a question that is being replaced", () => {
    open(WINDOW);
    model.update({ question: question({ rev: 2 }) });
    session.want([1], 0, 6);
    expect(requests("lens.cells")).toEqual([]);
  });

  test("without a kernel the reason stands where cells lack, and none where they are here", () => {
    open(WINDOW);
    model.receive({ kind: "welcome", client: "tab", epoch: "other", revs: {}, snapshot: {}, running: [] });
    expect(session.lacking([1], 2, 6)).toBe(session.offReason);
    expect(session.offReason).toMatch(/kernel/);
    expect(session.lacking([0, 3], 2, 6)).toBeNull();
  });
});

describe("the cell in focus", () => {
  test("is the answer's in the last row, then what is clicked, then what is hovered", () => {
    expect(session.focusCell).toEqual({ row: 3, position: 5 });
    session.pickCell({ row: 1, position: 2 });
    expect(session.focusCell).toEqual({ row: 1, position: 2 });
    session.hoverAt({ row: 2, position: 4 });
    expect(session.focusCell).toEqual({ row: 2, position: 4 });
    session.hoverAt(null);
    session.pickCell({ row: 1, position: 2 });
    expect(session.cell).toBeNull();
  });

  test("the answer is where this run reads it, whatever the prompt of the question", () => {
    open({ answer: { position: 2, ids: [1], distractor: [2] } });
    expect(session.focusCell).toEqual({ row: 3, position: 2 });
  });

  test("is told to other widgets as sites, layers and positions, and heard from them", () => {
    const other = new LensSession(new FakeModel({ ...model.state }), new FakeTimers(), new FakeHost(), "b");
    opened.push(other);
    other.start();
    session.pickCell({ row: 2, position: 3 });
    expect(other.cell).toEqual({ row: 2, position: 3 });
    session.hoverAt({ row: 1, position: 4 });
    expect(other.linkedHover).toEqual({ layer: 0, position: 4 });
    expect(other.focusCell).toEqual({ row: 1, position: 4 });
    session.hoverAt({ row: 0, position: 4 });
    expect(other.linkedHover).toEqual({ position: 4 });
    session.hoverAt(null);
    expect(other.linkedHover).toBeNull();
  });

  test("Python's selection is shown; a folded row opens for it; a site without a position changes nothing", () => {
    open(WINDOW);
    expect(session.openRows).toEqual([0, 3]);
    model.update({ selection: ["L1.resid_post@4"] });
    expect(session.cell).toEqual({ row: 2, position: 4 });
    expect(session.openRows).toEqual([0, 2, 3]);
    model.update({ selection: ["L1H2.z"] });
    expect(session.cell).toEqual({ row: 2, position: 4 });
    model.update({ selection: [] });
    expect(session.cell).toBeNull();
    session.foldRows();
    expect(session.openRows).toEqual([0, 3]);
  });

  test("the selection names the same site when sublayers come between", () => {
    session.pickCell({ row: 2, position: 3 });
    const site = (name: string, layer: number, label: string) => ({
      site: name,
      layer,
      label,
      kind: "stream",
    });
    const rows = [
      site("resid_pre", 0, "input"),
      ...[0, 1, 2].flatMap((at) => [site("resid_mid", at, `L${at} mid`), site("resid_post", at, `L${at}`)]),
    ];
    model.update({ lens: lensEntry({ rows, sublayers: true }) });
    expect(session.cell).toEqual({ row: 4, position: 3 });
    expect(session.stepLayer(-1)).toBe(true);
    expect(session.cell).toEqual({ row: 2, position: 3 });
    expect(session.selection).toEqual(["L0.resid_post@3"]);
  });

  test("layers step to the input and the last row and no further", () => {
    session.goTo({ row: 1, position: 2 });
    expect(session.stepLayer(-1)).toBe(true);
    expect(session.selection).toEqual(["L0.resid_pre@2"]);
    expect(session.stepLayer(-1)).toBe(false);
    session.goTo({ row: 3, position: 2 });
    expect(session.stepLayer(1)).toBe(false);
  });

  test("a shorter prompt lets go of a cell beyond its end", () => {
    session.goTo({ row: 1, position: 5 });
    model.update({
      question: question({ rev: 2, answer_position: 3 }),
      lens: lensEntry({ rev: 2, positions: 4 }),
    });
    expect(session.cell).toBeNull();
    expect(session.focusCell).toEqual({ row: 3, position: 3 });
  });
});
