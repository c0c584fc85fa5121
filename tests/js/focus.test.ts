// @vitest-environment happy-dom
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { HeadsSession } from "../../js/lib/heads-session";
import { type Pattern, resample, weight } from "../../js/lib/patterns";
import { golden } from "./contract";
import { FakeHost, FakeModel, FakeTimers, tick } from "./fakes";

let model: FakeModel;
let timers: FakeTimers;
let session: HeadsSession;

/** One layer of two heads over `positions` tokens; the thumbnails have at most 4 cells a side. */
function atlas(positions: number, facts: Record<string, unknown> = {}) {
  const side = Math.min(4, positions);
  const data = new Uint8Array(2 * side * side).fill(25);
  return {
    ...golden("atlas").message,
    n_layers: 1,
    n_heads: 2,
    n_kv_heads: 2,
    positions,
    side,
    missing: {},
    scores: {},
    arrays: {
      thumbs: { dtype: "u8", shape: [1, 2, side, side], layout: "full", scale: 1 / 254, offset: 0, data },
    },
    ...facts,
  };
}

function open(positions: number): HeadsSession {
  model = new FakeModel({
    epoch: "e",
    protocol: 1,
    experiment: "",
    revs: { question: 1, atlas: 1 },
    question: { ...golden("question").message, rev: 1 },
    status: golden("status-idle").message,
    selection: [],
    atlas: atlas(positions, { rev: 1 }),
  });
  session = new HeadsSession(model, timers, new FakeHost(), "tab");
  session.start();
  model.receive({ kind: "welcome", client: "tab", epoch: "e", revs: {}, snapshot: {}, running: [] });
  session.lock([0, 0]);
  return session;
}
type Window = { dest: [number, number]; src: [number, number]; side: number; heads: number[][] };
const asked = (op = "heads.pattern") =>
  model
    .of("request")
    .filter((it) => it.op === op)
    .at(-1) as { id: string; params: Window & Record<string, unknown> };

/** Answers the last request with `value(dest, src)` of each cell's first tokens. */
async function answer(
  value: (dest: number, src: number) => number,
  facts = {},
  scale = 1 / 254,
): Promise<void> {
  const { id, params } = asked();
  const [dest, src] = [params.dest, params.src];
  const span = dest[1] - dest[0];
  const size = Math.min(params.side, span);
  const bytes = new Uint8Array(params.heads.length * size * size);
  for (let at = 0; at < bytes.length; at++) {
    const [row, col] = [Math.floor((at % (size * size)) / size), at % size];
    const token = (index: number) => Math.floor((index * span) / size);
    bytes[at] = Math.round(value(dest[0] + token(row), src[0] + token(col)) / scale);
  }
  const pattern = {
    dtype: "u8",
    shape: [params.heads.length, size, size],
    layout: "full",
    scale,
    offset: 0,
    buffer: 0,
  };
  model.receive({ kind: "done", id, rev: 1, data: { ...facts }, arrays: { pattern } }, [bytes]);
  await tick();
}

beforeEach(() => {
  timers = new FakeTimers();
});
afterEach(() => session.close());

describe("zoom", () => {
  test("what lies under the pointer stays there, and the ends are not passed", () => {
    open(100);
    session.focusing.zoom(0.5, 0.2, 0.9);
    expect(session.focusing.window).toEqual({ dest: 10, src: 45, span: 50 });
    session.focusing.zoom(0.5, 0, 1);
    expect(session.focusing.window).toEqual({ dest: 10, src: 70, span: 25 });
    session.focusing.show({ dest: -5, src: 400, span: 25 });
    expect(session.focusing.window).toEqual({ dest: 0, src: 75, span: 25 });
    session.focusing.zoom(100);
    expect([session.focusing.window.span, session.focusing.zoomed]).toEqual([100, false]);
  });

  test("the closest look is a handful of tokens, and each step moves", () => {
    open(9);
    for (let step = 0; step < 9; step++) session.focusing.zoom(0.95);
    expect(session.focusing.window.span).toBe(6);
    open(3);
    session.focusing.zoom(0.5);
    expect(session.focusing.zoomed).toBe(false);
  });

  test("only the window is asked for, once it rests, at no more cells than are drawn", async () => {
    open(4000);
    session.focusing.pixels = 300;
    await answer(() => 0.5);
    const before = model.of("request").length;
    session.focusing.zoom(0.5, 0, 0);
    session.focusing.zoom(0.5, 0, 0);
    expect(model.of("request")).toHaveLength(before);
    timers.pass(500);
    expect(model.of("request")).toHaveLength(before + 1);
    expect(asked().params).toMatchObject({ dest: [0, 1000], src: [0, 1000], side: 300 });
  });

  test("the old picture stays, scaled, until the new one is there", async () => {
    open(40);
    await answer((dest) => dest / 40);
    session.focusing.pixels = 16;
    session.focusing.show({ dest: 20, src: 0, span: 10 });
    const meanwhile = session.focusing.pattern as Pattern;
    expect([meanwhile.span, meanwhile.dest, meanwhile.size]).toEqual([10, 20, 10]);
    expect(weight(meanwhile, 25, 3)).toBeCloseTo(25 / 40, 2);
    expect(weight(meanwhile, 35, 3)).toBeNaN();
  });

  test("a pattern known token by token is never asked for again", async () => {
    open(40);
    await answer(() => 0.25);
    const before = model.of("request").length;
    session.focusing.zoom(0.5);
    timers.pass(1000);
    expect(model.of("request")).toHaveLength(before);
  });

  test("the window scrolls just as far as a cell needs", () => {
    open(100);
    session.focusing.show({ dest: 50, src: 50, span: 10 });
    session.focusing.reveal({ dest: 61, src: 48 });
    expect(session.focusing.window).toEqual({ dest: 52, src: 48, span: 10 });
  });
});

describe("weighting", () => {
  test("values have their own scale and are asked for at every size", async () => {
    open(4);
    expect(model.of("request")).toEqual([]);
    session.focusing.setWeighting("value");
    expect(asked().params).toMatchObject({ weighting: "value", dest: [0, 4] });
    expect(session.focusing.pattern).toBeNull();
    expect(session.focusing.pending).toBe(true);
    await answer((dest) => dest, { weighting: "value", top: 3 }, 3 / 254);
    const pattern = session.focusing.pattern as Pattern;
    expect(pattern.top).toBe(3);
    expect(weight(pattern, 3, 1)).toBeCloseTo(3, 5);
    session.focusing.setWeighting("attention");
    expect((session.focusing.pattern as Pattern).top).toBe(1);
  });

  test("where values cannot be had attention is shown again, and why is said", async () => {
    open(4);
    session.focusing.setWeighting("value");
    model.receive({
      kind: "failed",
      id: asked().id,
      error: "SiteUnavailable",
      message: "m",
      hint: "",
      retryable: false,
    });
    await tick();
    expect(session.focusing.weighedBy).toBe("attention");
    expect(session.trouble?.failure.message).toBe("m");
  });

  test("the exact value is of the weighting shown", async () => {
    open(4);
    session.focusing.setWeighting("value");
    await answer(() => 1, { top: 3 }, 3 / 254);
    session.hoverAt({ dest: 3, src: 1 });
    timers.pass(500);
    expect(asked("heads.value").params).toMatchObject({ weighting: "value", dest: 3, src: 1 });
  });
});

describe("the sink", () => {
  test("pooled, the window begins behind the first token, so that no other one goes with it", () => {
    open(100);
    session.focusing.pixels = 20;
    session.focusing.setHideSink(true);
    expect(session.focusing.window).toEqual({ dest: 1, src: 1, span: 99 });
    expect(session.focusing.zoomed).toBe(false);
    expect(asked().params).toMatchObject({ dest: [1, 100], src: [1, 100] });
  });

  test("token by token the window stays as it is", () => {
    open(4);
    session.focusing.setHideSink(true);
    expect(session.focusing.window).toEqual({ dest: 0, src: 0, span: 4 });
  });
});

describe("a window of a pattern", () => {
  const fine: Pattern = {
    size: 8,
    span: 8,
    dest: 0,
    src: 0,
    twoSided: true,
    top: 1,
    numbers: Float32Array.from({ length: 64 }, (_, at) => ((at * 37) % 64) / 64 - 0.5),
  };

  test("keeps the strongest of what falls in a cell, whatever its sign", () => {
    const part = resample(fine, { dest: 2, src: 0, span: 6 }, 3);
    for (const [row, col] of [
      [0, 0],
      [1, 2],
      [2, 1],
    ] as const) {
      const inside = [0, 1].flatMap((r) =>
        [0, 1].map((c) => fine.numbers[(2 + 2 * row + r) * 8 + 2 * col + c] as number),
      );
      const strongest = inside.reduce((a, b) => (Math.abs(b) > Math.abs(a) ? b : a));
      expect(part.numbers[row * 3 + col]).toBe(strongest);
    }
  });

  test("repeats what is coarser than it, and keeps what is not finite", () => {
    const coarse: Pattern = { ...fine, size: 2, numbers: Float32Array.of(0.1, 0, Number.NaN, 0.4) };
    const part = resample(coarse, { dest: 2, src: 2, span: 4 }, 4);
    expect(part.numbers[0]).toBeCloseTo(0.1);
    expect(part.numbers[3 * 4]).toBeNaN();
    expect(part.numbers[15]).toBeCloseTo(0.4);
  });
});

test("the row of a head is known where its thumbnail is the pattern itself", () => {
  open(4);
  expect(session.focusing.rowOf([0, 0], 2)?.map((it) => Math.round(it * 254))).toEqual([25, 25, 25]);
  open(40);
  expect(session.focusing.rowOf([0, 0], 2)).toBeNull();
});
