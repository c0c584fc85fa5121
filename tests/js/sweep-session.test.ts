// @vitest-environment happy-dom
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { EditSpec } from "../../js/lib/protocol";
import { placeOf, rectOf } from "../../js/lib/sweep-places";
import { SweepSession } from "../../js/lib/sweep-session";
import { ESTIMATE, EXACT, type SweepMap } from "../../js/lib/sweep-table";
import { golden } from "./contract";
import { FakeHost, FakeModel, FakeTimers, tick } from "./fakes";
import { recoveredAt, sent, some, sweepEntry, sweepMap, whole } from "./sweep";

let model: FakeModel;
let timers: FakeTimers;
let session: SweepSession;
const opened: SweepSession[] = [];
const seqs = new Map<string, number>();
const PROMPT = golden("question").message.prompts as { clean: object };
const question = (facts: Record<string, unknown> = {}) => ({
  ...golden("question").message,
  rev: 1,
  prompts: { clean: PROMPT.clean, corrupted: PROMPT.clean },
  base: "corrupted",
  edits: [],
  ...facts,
});

function open(facts: Partial<SweepMap> = {}, asked: Record<string, unknown> = {}) {
  model = new FakeModel({
    epoch: "e",
    protocol: 1,
    experiment: "x",
    revs: { question: 1, sweep: 1 },
    question: question(asked),
    status: golden("status-idle").message,
    selection: [],
    sweep: sweepEntry(facts),
  });
  timers = new FakeTimers();
  session = new SweepSession(model, timers, new FakeHost(), "tab");
  opened.push(session);
  session.start();
  const revs = { question: 1, sweep: 1 };
  model.receive({ kind: "welcome", client: "tab", epoch: "e", revs, snapshot: {}, running: [] });
}
const requests = (op: string) =>
  model.of("request").filter((it) => it.op === op) as { id: string; params: Record<string, unknown> }[];
const last = (op: string) => requests(op).at(-1) as { id: string; params: Record<string, unknown> };

function tell(id: string, data: object, arrays = {}, kind = "partial") {
  const message = sent(arrays);
  const seq = seqs.get(id) ?? 0;
  seqs.set(id, seq + 1);
  const progress = { done: 1, total: 9, seconds_left: 0.4 };
  model.receive({ kind, id, rev: 1, seq, progress, data, arrays: message.arrays }, message.buffers);
}
const running = (job: string) =>
  model.update({ status: { ...golden("status-idle").message, state: "running", op: "sweep.start", job } });

beforeEach(() => {
  seqs.clear();
  open();
});
afterEach(() => {
  for (const it of opened.splice(0)) it.close();
});

describe("the map", () => {
  test("another site is asked for with the rest as it was, and drawn cell by cell", async () => {
    session.setSite("attn_out");
    const { id, params } = last("sweep.start");
    expect(params).toEqual({
      site: "attn_out",
      edit: "patch",
      base: "corrupted",
      on_top: false,
      first: null,
      part: null,
    });
    expect([session.stale, session.table?.map.site]).toEqual([true, "resid_pre"]);
    const map = sweepMap({ site: "attn_out" });
    tell(id, { map });
    expect([session.stale, session.table?.map.site, session.exactShare]).toEqual([false, "attn_out", 0]);
    tell(
      id,
      { done: 0, total: 9 },
      some(
        map,
        [
          [0, 2],
          [0, 3],
        ],
        () => ESTIMATE,
      ),
    );
    tell(
      id,
      { done: 1, total: 9 },
      some(map, [[0, 2]], () => EXACT),
    );
    expect([session.table?.count(ESTIMATE), session.table?.count(EXACT)]).toEqual([1, 1]);
    expect(session.table?.cell(0, 3).recovered).toBeCloseTo(recoveredAt(0, 3), 5);
    model.update({ sweep: sweepEntry({ site: "attn_out" }) });
    tell(id, { map: { ...map, complete: true } }, whole(map), "done");
    await tick();
    expect([session.site, session.exactShare, session.work]).toEqual(["attn_out", 1, null]);
  });

  test("a sweep that fails keeps the cells it has; one that cannot begin gives the old map back", async () => {
    const failure = { error: "X", message: "no", hint: "", retryable: true };
    session.setEdit("zero");
    tell(last("sweep.start").id, { map: sweepMap({ edit: "zero" }) });
    tell(
      last("sweep.start").id,
      { done: 1, total: 9 },
      some(sweepMap(), [[0, 2]], () => EXACT),
    );
    model.receive({ kind: "failed", id: last("sweep.start").id, ...failure });
    await tick();
    expect([session.edit, session.table?.map.edit, session.table?.count(EXACT)]).toEqual(["zero", "zero", 1]);
    expect([session.trouble?.title, session.trouble?.failure.message]).toEqual(["The map failed", "no"]);
    expect(session.stopped, "it is tried again").toBe(false);
    open();
    session.setEdit("mean");
    model.receive({ kind: "failed", id: last("sweep.start").id, ...failure });
    await tick();
    expect([session.edit, session.table?.count(EXACT)]).toEqual(["patch", 9]);
  });

  test("one that was stopped is gone on with, one that failed is not", () => {
    running("k-1");
    tell("k-1", { map: sweepMap({ rev: 2 }), done: 0, total: 9 });
    expect(session.stopped, "it runs").toBe(false);
    const status = golden("status-idle").message;
    model.update({ status });
    expect(session.stopped).toBe(true);
    const error = (name: string) => ({ error: name, message: "", hint: "", retryable: true });
    model.update({ status: { ...status, state: "failed", error: error("Cancelled") } });
    expect(session.stopped).toBe(true);
    model.update({ status: { ...status, state: "failed", error: error("NotFinite") } });
    expect(session.stopped).toBe(false);
    model.update({ status, sweep: sweepEntry({ rev: 2 }) });
    expect(session.stopped, "it is whole").toBe(false);
  });

  test("the kernel's own sweep of a new question streams in; what is left of an older one is dropped", () => {
    running("k-1");
    model.update({ question: question({ rev: 2 }) });
    tell("k-1", { map: sweepMap() });
    expect(session.stale, "still the old question's").toBe(true);
    running("k-2");
    const map = sweepMap({ rev: 2 });
    tell("k-2", { map });
    tell(
      "k-1",
      { done: 9, total: 9 },
      some(map, [[1, 4]], () => EXACT),
    );
    expect([session.table?.rev, session.table?.count(EXACT)]).toEqual([2, 0]);
    tell(
      "k-2",
      { done: 1, total: 9 },
      some(map, [[2, 4]], () => EXACT),
    );
    expect([session.stale, session.table?.count(EXACT)]).toEqual([false, 1]);
  });

  test("a sweep under way takes the column first on which the pointer rests, once", () => {
    running("k-1");
    model.update({ question: question({ rev: 2 }) });
    const map = sweepMap({ rev: 2 });
    tell("k-1", { map });
    tell(
      "k-1",
      { done: 3, total: 9 },
      some(
        map,
        [
          [0, 4],
          [1, 4],
          [2, 4],
        ],
        () => EXACT,
      ),
    );
    session.hoverAt({ row: 0, column: 4 });
    timers.pass(400);
    expect(requests("sweep.start"), "its cells are all there").toEqual([]);
    session.hoverAt({ row: 0, column: 2 });
    session.hoverAt({ row: 1, column: 3 });
    timers.pass(400);
    session.hoverAt({ row: 2, column: 3 });
    timers.pass(400);
    expect(requests("sweep.start").map(({ params }) => params.first)).toEqual([3]);
  });

  test("choices that cannot be say why, and ask for nothing", () => {
    open({ sites: [{ name: "resid_mid", reason: "attention and MLP run in parallel" }] });
    expect(session.choiceReason({ name: "resid_mid", reason: "parallel" })).toBe("parallel");
    expect(session.onTopReason).toBe("No edit is switched on.");
    session.setOnTop(true);
    expect(requests("sweep.start")).toEqual([]);
    expect(session.runReason("clean")).toMatch(/edited/);
    model.receive({ kind: "welcome", client: "tab", epoch: "other", revs: {}, snapshot: {}, running: [] });
    session.setSite("z");
    session.rerun();
    expect(requests("sweep.start")).toEqual([]);
    expect(session.partReason).toMatch(/kernel/);
  });

  test("a finished map without a model is looked at and no more", () => {
    open({}, { model: null, arrays: true, edits: [] });
    session.setSite("z");
    session.runPart(rectOf({ row: 0, column: 0 }, { row: 1, column: 1 }));
    session.addEdits([{ row: 0, column: 2 }]);
    session.goTo({ row: 0, column: 2 });
    session.watchFocus();
    timers.pass(400);
    expect(model.of("request")).toEqual([]);
    expect(session.addReason({ row: 0, column: 2 })).toBe(session.why("no-model"));
  });
});

describe("a part", () => {
  test("is asked for by layers and columns, and laid over the cells there are", async () => {
    open({ layers: [3, 4, 5] });
    session.runPart(rectOf({ row: 2, column: 4 }, { row: 1, column: 3 }));
    const { id, params } = last("sweep.start");
    expect(params.part).toEqual({ layers: [4, 5], columns: [3, 4] });
    expect(session.part).not.toBeNull();
    const map = sweepMap({ layers: [3, 4, 5] });
    tell(id, { map });
    tell(
      id,
      { done: 1, total: 4 },
      some(map, [[1, 3]], () => EXACT),
    );
    expect(session.table?.count(EXACT)).toBe(9);
    tell(id, { map }, whole(map), "done");
    await tick();
    expect(session.part).toBeNull();
  });
});

describe("cells and sites", () => {
  test("name each other, also across sites", () => {
    const table = session.table as NonNullable<typeof session.table>;
    for (const row of [0, 1, 2])
      for (const column of [0, 3])
        expect(placeOf(table, session.siteOf({ row, column }))).toEqual({ row, column });
    expect(session.siteOf({ row: 1, column: 3 })).toBe("L1.resid_pre@3");
    expect(placeOf(table, "L0.resid_post@3"), "the stream after a layer").toEqual({ row: 1, column: 3 });
    expect(placeOf(table, "L2.resid_post@3"), "the last layer has no next").toEqual({ row: 2, column: 3 });
    for (const text of ["", "L1", "L9.resid_pre@1", "L1.resid_pre@9", "L1H2.z", "nonsense"])
      expect(placeOf(table, text)).toBeNull();
    const columns = [0, 1].map((head) => ({ position: null, head, label: `H${head}`, other: "" }));
    open({ axis: "head", site: "z", columns });
    expect(session.siteOf({ row: 2, column: 1 })).toBe("L2H1.z");
    model.update({ selection: ["L1H1.pattern@5<2"] });
    expect(session.cell).toEqual({ row: 1, column: 1 });
  });

  test("hover and selection are told to other widgets and heard from them", () => {
    const other = new SweepSession(new FakeModel({ ...model.state }), new FakeTimers(), new FakeHost(), "b");
    opened.push(other);
    other.start();
    session.goTo({ row: 1, column: 4 });
    expect(other.cell).toEqual({ row: 1, column: 4 });
    session.hoverAt({ row: 2, column: 3 });
    expect(other.linkedHover).toEqual({ layer: 2, position: 3 });
    expect(other.focusCell).toEqual({ row: 2, column: 3 });
    session.hoverAt(null, 2);
    expect(other.linkedHover).toEqual({ position: 2 });
    session.hoverAt(null);
    expect(other.focusCell).toEqual({ row: 1, column: 4 });
    session.pickCell({ row: 1, column: 4 });
    expect(session.selection).toEqual([]);
  });

  test("the cell on which the pointer rests is run by itself, and its exact number laid into the map", async () => {
    open({}, {});
    model.update({ sweep: sweepEntry({}, (_, column) => (column < 2 ? 3 : 1)) });
    session.hoverAt({ row: 0, column: 0 });
    session.watchFocus();
    timers.pass(400);
    expect(requests("sweep.cell"), "what cannot differ is not run").toEqual([]);
    session.hoverAt({ row: 1, column: 2 });
    session.watchFocus();
    session.hoverAt({ row: 2, column: 3 });
    session.watchFocus();
    timers.pass(400);
    expect(requests("sweep.cell").map(({ params }) => params)).toEqual([
      { site: "resid_pre", edit: "patch", base: "corrupted", on_top: false, layer: 2, column: 3 },
    ]);
    const effect = { tokens: [], note: "", after: 1 };
    const data = { layer: 2, column: 3, metric: 1.5, recovered: 0.6875, stderr: null, exact: true, effect };
    model.receive({ kind: "done", id: last("sweep.cell").id, rev: 1, data, arrays: {} });
    await tick();
    expect(session.table?.cell(2, 3)).toEqual({
      metric: 1.5,
      recovered: 0.6875,
      stderr: Number.NaN,
      state: EXACT,
    });
    expect(session.effect).toEqual(effect);
    session.hoverAt({ row: 1, column: 3 });
    expect(session.effect, "of another cell").toBeNull();
  });
});

describe("edits", () => {
  const spec = (facts: Partial<EditSpec>): EditSpec => ({
    kind: "patch",
    site: "resid_pre",
    layer: 1,
    head: null,
    positions: [4],
    source: "other",
    source_positions: null,
    src: null,
    alpha: 1,
    ...facts,
  });
  const withEdits = (...specs: EditSpec[]) =>
    open({}, { edits: specs.map((it) => ({ label: "", on: true, site: "", note: "", spec: it })) });

  test("of cells are added in one step, on the base that the map is of", () => {
    session.addEdits([
      { row: 1, column: 4 },
      { row: 2, column: 4 },
    ]);
    expect(last("edits.add").params).toEqual({
      edits: [spec({}), spec({ layer: 2 })],
      base: "corrupted",
      base_rev: 1,
    });
    const columns = [{ position: null, head: 3, label: "H3", other: "" }];
    open({ axis: "head", site: "z", columns, edit: "zero" });
    session.addEdits([{ row: 0, column: 0 }]);
    expect(last("edits.add").params.edits).toEqual([
      spec({ kind: "zero", site: "z", layer: 0, head: 3, positions: null }),
    ]);
  });

  test("that are there are known by what they are, and not added twice", () => {
    const place = { row: 1, column: 4 };
    for (const it of [
      spec({}),
      spec({ source: "clean" }),
      spec({ positions: [3, 4] }),
      spec({ alpha: 0.5 }),
    ]) {
      withEdits(it);
      expect(session.isAdded(place)).toBe(true);
      expect(session.addReason(place)).toMatch(/already/);
    }
    for (const it of [
      spec({ layer: 2 }),
      spec({ kind: "zero" }),
      spec({ site: "attn_out" }),
      spec({ source: "corrupted" }),
      spec({ positions: [3] }),
    ]) {
      withEdits(it);
      expect(session.isAdded(place)).toBe(false);
      expect(session.addReason(place)).toBeNull();
    }
  });
});
