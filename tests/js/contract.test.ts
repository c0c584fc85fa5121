import { describe, expect, test } from "vitest";
import { decodeAll } from "../../js/lib/arrays";
import { growAtlas, readAtlas } from "../../js/lib/atlas";
import { createChannel } from "../../js/lib/channel";
import type { ArrayEntries, AtlasEntry, Question, Status } from "../../js/lib/protocol";
import { golden, names } from "./contract";
import { FakeHost, FakeModel, FakeTimers, tick } from "./fakes";

const REPLIES = ["accepted", "partial", "done", "failed", "cancelled", "welcome"];

test("there are golden messages", () => {
  expect(names().length).toBeGreaterThan(10);
});

describe.each(names())("%s", (name) => {
  const { message, buffers } = golden(name);

  test("every array in it decodes to finite numbers or NaN of its own shape", () => {
    const found: ArrayEntries[] = [];
    const walk = (value: unknown) => {
      if (!value || typeof value !== "object") return;
      for (const [key, inner] of Object.entries(value)) {
        if (key === "arrays") found.push(inner as ArrayEntries);
        else walk(inner);
      }
    };
    walk(message);
    const grids = found.flatMap((arrays) => Object.entries(decodeAll(arrays, buffers)));
    expect(grids.length).toBe(buffers.length);
    const { top = 1 } = (message.data ?? {}) as { top?: number };
    for (const [name, grid] of grids) {
      // Weights and flags; the states of a map's cells are numbered.
      const most = name === "state" ? 4 : top;
      const [rows, cols] = grid.plane;
      for (let row = 0; row < rows; row++) {
        for (let col = 0; col < cols; col++) {
          const value = grid.value(0, row, col);
          if (!Number.isNaN(value) && grid.dtype === "u8")
            expect(Math.abs(value)).toBeLessThanOrEqual(most * (1 + 1e-9));
        }
      }
    }
  });
});

const replies = names().filter((name) => REPLIES.includes(golden(name).message.kind as string));

test.each(replies)("the channel takes %s and settles what it settles", async (name) => {
  const { message, buffers } = golden(name);
  const model = new FakeModel({ epoch: message.epoch ?? "e", protocol: 1, revs: {} });
  const [client, number] = String(message.id ?? "tab-1").split("-");
  const channel = createChannel(model, new FakeHost(), () => ({}), new FakeTimers(), client);
  channel.start();
  const partials: unknown[] = [];
  let last = channel.request("test.op", {}, { onPartial: (partial) => partials.push(partial) });
  for (let n = 1; n < Number(number); n++) last = channel.request("test.op", {}, {});
  let settled = "";
  void last.reply.then((reply) => {
    settled = reply.kind;
  });
  model.receive(message, buffers);
  await tick();
  expect(settled).toBe(["done", "failed", "cancelled"].includes(message.kind as string) ? message.kind : "");
  if (message.kind === "welcome") expect(channel.connection).toBe("live");
  if (message.kind === "partial") expect(partials).toHaveLength(1);
});

test("the atlas: thumbnails as bytes, missing layers with their reason", () => {
  const { message, buffers } = golden("atlas");
  const atlas = readAtlas(message as unknown as AtlasEntry, buffers);
  expect([atlas.layers, atlas.heads, atlas.side, atlas.span]).toEqual([2, 2, 4, 4]);
  expect(atlas.thumbnails.shape).toEqual([2, 2, 4, 4]);
  expect(atlas.absent[1]).toContain("recurrent");
  expect(atlas.scores.previous?.values).toEqual([
    [0, 0.25],
    [0.5, 0.75],
  ]);
});

test("a streamed part fills its layers and leaves the others to come", () => {
  const { message, buffers } = golden("partial-thumbs");
  const arrays = decodeAll(message.arrays as ArrayEntries, buffers);
  const atlas = growAtlas(
    null,
    { id: "k-1", progress: null, data: message.data as Record<string, unknown>, arrays },
    { layers: 2, kvHeads: 1 },
  );
  expect(atlas?.kvHeads).toBe(1);
  expect(atlas?.arrived).toEqual([true, false]);
  expect(atlas?.thumbnails.value(0, 1, 0)).toBeCloseTo(arrays.thumbs?.value(0, 1, 0) as number);
  expect(atlas?.thumbnails.value(2, 1, 0)).toBeNaN();
});

test("a value-weighted pattern reaches the top that it states, in steps of its own", () => {
  const { message, buffers } = golden("done-pattern-value");
  const { pattern } = decodeAll(message.arrays as ArrayEntries, buffers);
  const { top, weighting } = message.data as { top: number; weighting: string };
  const cells = [0, 1, 2, 3].flatMap((row) =>
    [0, 1, 2, 3].map((col) => pattern?.value(0, row, col) as number),
  );
  expect(weighting).toBe("value");
  expect(Math.max(...cells)).toBeCloseTo(top, 6);
  expect(top).toBeGreaterThan(1);
});

test("an effect tells the metric, the next tokens and the chips that keeping it would add", () => {
  const { metric, tokens, edits, note, provenance } = golden("done-effect").message.data as {
    metric: Record<string, unknown>;
    tokens: { id: number; label: string; before: number; after: number }[];
    edits: unknown[];
    note: string;
    provenance: Record<string, unknown>;
  };
  expect(metric).toEqual({
    name: "logit_diff",
    label: "logit difference",
    base: 4,
    after: 1,
    recovered: 0.25,
    destroyed: 0.75,
  });
  expect(tokens.map((token) => [token.label, token.before, token.after])).toEqual([
    ["␣b", 0.25, 0.625],
    ["␣a", 0.5, 0.125],
  ]);
  expect(edits).toHaveLength(2);
  expect([note, provenance.forward_ms]).toEqual(["a note", 6.12]);
});

test("what is kept stands among the edits, and can be undone", () => {
  const question = golden("question-edited").message as unknown as Question & { history: unknown };
  expect(question.edits.map((edit) => [edit.label, edit.on])).toEqual([
    ["mean L0H1.z over its own positions", true],
  ]);
  expect(question.history).toEqual({ undo: true, redo: false });
  expect(question.base).toBe("clean");
});

test("a widget made from arrays has a prompt and no model", () => {
  const question = golden("question-arrays").message as unknown as Question & Record<string, unknown>;
  expect([question.model, question.arrays, question.title]).toEqual([null, true, "two heads"]);
  expect(question.prompts.clean.labels).toEqual(["a", "␣b"]);
  const { message, buffers } = golden("atlas-arrays");
  const atlas = readAtlas(message as unknown as AtlasEntry, buffers);
  expect([atlas.layers, atlas.heads, atlas.span]).toEqual([1, 2, 2]);
  expect(atlas.scores.mine?.values).toEqual([[0.5, -1]]);
});

test("question and status have the fields that views read", () => {
  const question = golden("question").message as unknown as Question;
  expect(question.prompts.clean.labels).toHaveLength(question.prompts.clean.ids.length);
  expect(question.answer?.labels[0]).toBe("␣a");
  const status = golden("status-running").message as unknown as Status;
  expect(status.job).toMatch(/^k-\d+$/);
});
