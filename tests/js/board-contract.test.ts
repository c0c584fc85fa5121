// @vitest-environment happy-dom
import { afterEach, expect, test } from "vitest";
import { decodeAll } from "../../js/lib/arrays";
import { type BoardEntry, GRIDS, readBoard } from "../../js/lib/board-cells";
import { BoardSession } from "../../js/lib/board-session";
import type { ArrayEntries } from "../../js/lib/protocol";
import { golden } from "./contract";
import { FakeHost, FakeModel, FakeTimers, tick } from "./fakes";

const read = (name: string) => {
  const { message, buffers } = golden(name);
  return readBoard(message as unknown as BoardEntry, buffers);
};
let session: BoardSession | null = null;
afterEach(() => session?.close());

test.each(["board", "board-edited", "board-alone"])(
  "%s: every cell of the window is there, with its label",
  (name) => {
    const board = read(name);
    expect(board.grids.corrupted === null).toBe(name === "board-alone");
    for (const grid of GRIDS) {
      const cells = board.grids[grid];
      if (!cells) continue;
      const [low, high] = board.columns[grid];
      expect(cells.missing(board.shown.rows, low, high)).toBeNull();
      for (const row of board.shown.rows)
        for (let at = low; at < high; at++) {
          const top = cells.top(row, at);
          expect(board.tokens.has(top?.id ?? -1)).toBe(true);
          expect(top?.value).toBeGreaterThan(0);
          // What changed could.
          if (cells.changed(row, at)) expect(cells.canChange(row, at)).toBe(true);
        }
    }
    expect(board.carries.map((it) => it.name)).toContain("residual");
  },
);

/** A session over the kernel's own messages. */
async function open() {
  const { message: board, buffers } = golden("board-edited");
  const { message: question } = golden("question-edited");
  const model = new FakeModel({
    epoch: "e",
    protocol: 1,
    experiment: "x",
    revs: { question: 1 },
    question: { ...question, rev: board.rev },
    status: golden("status-idle").message,
    selection: [],
    board: {},
  });
  const timers = new FakeTimers();
  session = new BoardSession(model, timers, new FakeHost(), "tab");
  session.start();
  const snapshot = { board };
  model.receive(
    { kind: "welcome", client: "tab", epoch: "e", revs: { question: 1, board: 1 }, snapshot, running: [] },
    buffers,
  );
  await tick();
  const reply = (op: string, name: string) => {
    const request = model
      .of("request")
      .filter((it) => it.op === op)
      .at(-1) as { id: string; params: object; slot: string | null };
    const { message, buffers: bytes } = golden(name);
    model.receive({ ...message, id: request.id }, bytes);
    return request;
  };
  return { session, model, timers, reply };
}

test("a drag asks as the contract has it, and shows the effect and the cells of the answer", async () => {
  const { session, timers, reply } = await open();
  const carried = session.carriedOf({ grid: "clean", rows: [2], columns: [10] }, 10);
  session.drag.start(carried as NonNullable<typeof carried>, false);
  session.drag.over("corrupted", 10);
  timers.pass(150);
  const { params } = reply("patch.preview", "done-patch-preview");
  expect(params).toEqual(golden("request-patch-preview").message.params);
  await tick();
  const { effect } = golden("done-patch-preview").message.data as { effect: { after: number } };
  expect(session.drag.shown).toMatchObject({ of: "preview", effect: { after: effect.after } });
  const board = session.board as NonNullable<typeof session.board>;
  expect(session.drag.cells?.missing(board.shown.rows, ...board.columns.edited)).toBeNull();
});

test("cells of the edited run, the history and the effect of a run", async () => {
  const { session, reply } = await open();
  const { message, buffers } = golden("done-board-cells");
  const arrays = decodeAll(message.arrays as ArrayEntries, buffers);
  expect(Object.keys(arrays)).toEqual(expect.arrayContaining(["top_ids", "top_values", "changed", "cone"]));
  session.runs.toggle();
  (session.timers as FakeTimers).pass(1);
  // Also the slot: the kernel refuses what names another one.
  const words = (name: string) => {
    const { op, params, slot } = golden(name).message;
    return { op, params, slot };
  };
  expect(reply("runs.list", "done-runs-list")).toMatchObject(words("request-runs-list"));
  await tick();
  expect(session.runs.list.answer?.runs.map((it) => it.number)).toEqual([1, 2]);
  session.runs.choose(1);
  (session.timers as FakeTimers).pass(1);
  expect(reply("runs.effect", "done-runs-effect")).toMatchObject(words("request-runs-effect"));
  await tick();
  expect(session.runs.effects.get(1)?.after).toBeCloseTo(-7.4854, 4);
});
