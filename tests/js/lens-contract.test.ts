// @vitest-environment happy-dom
import { expect, test } from "vitest";
import { decodeAll } from "../../js/lib/arrays";
import { type LensEntry, nameTokens, readLens } from "../../js/lib/lens-cells";
import { measureText, spokenMeasure } from "../../js/lib/lens-colours";
import { LensSession } from "../../js/lib/lens-session";
import type { ArrayEntries } from "../../js/lib/protocol";
import { golden } from "./contract";
import { FakeHost, FakeModel, FakeTimers } from "./fakes";

const read = (name: string) => {
  const { message, buffers } = golden(name);
  return readLens(message as unknown as LensEntry, buffers);
};

test.each(["lens", "lens-edited"])(
  "%s: every cell of the window is there, and every token has a label",
  (name) => {
    const lens = read(name);
    const [low, high] = lens.shown.columns;
    expect(lens.cells.missing(lens.shown.rows, low, high)).toBeNull();
    for (const row of lens.shown.rows) {
      for (let position = low; position < high; position++) {
        const cell = { row, position };
        const top = lens.cells.top(cell);
        expect(top).toHaveLength(lens.k);
        for (const { id } of top) expect(lens.tokens.has(id)).toBe(true);
        const falling = top.every(({ value }, at) => at === 0 || value <= (top[at - 1]?.value ?? 0) + 1e-6);
        expect(falling, `${row} ${position}`).toBe(true);
        if (lens.rows[row]?.kind === "stream" && lens.measure === "prob")
          expect(lens.cells.value(cell)).toBeCloseTo(top[0]?.value ?? Number.NaN, 5);
        expect(spokenMeasure(lens, cell)).toMatch(/\d/);
      }
    }
    expect(lens.cells.compared).toBe(name === "lens-edited");
    expect(lens.measures.map((it) => it.name)).toContain(lens.measure);
    expect(measureText(lens, lens.scale.high)).not.toContain("NaN");
  },
);

test("the page asks for runs and cells in the words of the contract", () => {
  for (const [name, trait] of [
    ["request-lens", "lens"],
    ["request-lens-cells", "lens-edited"],
  ] as const) {
    const wanted = golden(name).message as { op: string; slot: string; params: Record<string, unknown> };
    const { message, buffers } = golden(trait);
    const arrays = Object.fromEntries(
      Object.entries(message.arrays as ArrayEntries).map(([key, { buffer = 0, ...entry }]) => [
        key,
        { ...entry, data: buffers[buffer] },
      ]),
    );
    const { run, measure, sublayers, tuned, rows, columns } = wanted.params as {
      run: string;
      measure: string;
      sublayers: boolean;
      tuned: boolean;
      rows?: number[];
      columns?: [number, number];
    };
    // Where cells are asked for, the picture is of that run and measure and opened elsewhere.
    const facts = rows ? { run, measure, sublayers, tuned, shown: { rows: [], columns: [0, 0] } } : {};
    const none = rows ? { arrays: {} } : { arrays };
    const edits = [{ label: "zero", on: true, site: "L0H0.z", note: "" }];
    const model = new FakeModel({
      epoch: "e",
      protocol: 1,
      revs: {},
      selection: [],
      status: golden("status-idle").message,
      question: {
        ...golden("question").message,
        rev: message.rev,
        edits,
        prompts: golden("question").message.prompts,
      },
      lens: { ...message, ...none, ...facts },
    });
    const session = new LensSession(model, new FakeTimers(), new FakeHost(), "tab");
    session.start();
    model.receive({ kind: "welcome", client: "tab", epoch: "e", revs: {}, snapshot: {}, running: [] });
    if (rows && columns) session.want(rows, ...columns);
    else {
      session.measure = measure;
      session.sublayers = sublayers;
      session.tuned = tuned;
      session.run = session.lens?.run ?? "clean";
      if (session.run === run) session.rerun();
      else session.setRun(run as typeof session.run);
    }
    const sent = model.of("request").find((it) => it.op === wanted.op);
    expect({ op: sent?.op, slot: sent?.slot, params: sent?.params }).toEqual({
      op: wanted.op,
      slot: wanted.slot,
      params: wanted.params,
    });
    session.close();
  }
});

test("cells that come later are laid where they belong, with their labels", () => {
  for (const name of ["done-lens-cells", "partial-lens-cells"]) {
    const { message, buffers } = golden(name);
    const { rows, columns, tokens } = message.data as {
      rows: number[];
      columns: [number, number];
      tokens: Record<string, string>;
    };
    const lens = read("lens");
    const grids = decodeAll(message.arrays as ArrayEntries, buffers);
    nameTokens(lens, tokens);
    lens.cells.put(rows, columns[0], grids);
    expect(columns[1] - columns[0]).toBe(grids.value?.shape[1]);
    for (const [at, row] of rows.entries())
      for (let position = columns[0]; position < columns[1]; position++) {
        const value = grids.value?.value(0, at, position - columns[0]);
        expect(lens.cells.value({ row, position })).toBe(value);
        for (const { id } of lens.cells.top({ row, position })) expect(lens.tokens.has(id)).toBe(true);
      }
  }
});
