import { beforeEach, describe, expect, test } from "vitest";
import { type Channel, createChannel, type Reply } from "../../js/lib/channel";
import { FakeHost, FakeModel, FakeTimers, tick } from "./fakes";

let model: FakeModel;
let host: FakeHost;
let timers: FakeTimers;
let channel: Channel;
let have: Record<string, number>;

beforeEach(() => {
  model = new FakeModel();
  host = new FakeHost();
  timers = new FakeTimers();
  have = { question: 1 };
  channel = createChannel(model, host, () => have, timers, "tab");
});

const welcome = (facts: Record<string, unknown> = {}) =>
  model.receive({
    kind: "welcome",
    client: "tab",
    epoch: "e",
    revs: {},
    snapshot: {},
    running: [],
    ...facts,
  });
const settle = async (reply: Promise<Reply>) => {
  let found: Reply | null = null;
  void reply.then((it) => {
    found = it;
  });
  await tick();
  return found as Reply | null;
};

describe("hello and welcome", () => {
  test("the first hello asks for nothing, later ones say what the page holds; the welcome makes it live", () => {
    channel.start();
    expect(model.sent).toEqual([{ v: 1, kind: "hello", client: "tab", have: null }]);
    channel.hello();
    expect(model.sent[1]).toEqual({ v: 1, kind: "hello", client: "tab", have: { question: 1 } });
    expect(channel.connection).toBe("connecting");
    welcome();
    expect(channel.connection).toBe("live");
  });

  test("a welcome for another tab is not ours", () => {
    channel.start();
    welcome({ client: "other" });
    expect(channel.connection).toBe("connecting");
  });

  test("another epoch is a restarted kernel, and open requests fail at once", async () => {
    channel.start();
    welcome();
    const { reply } = channel.request("heads.atlas", {});
    welcome({ epoch: "new" });
    expect(channel.connection).toBe("restarted");
    expect(await settle(reply)).toMatchObject({ kind: "failed", error: "KernelGone" });
  });

  test("another protocol asks for a reload, from the trait or from a message", () => {
    model.receive({ v: 2, kind: "accepted", id: "tab-1" });
    expect(channel.connection).toBe("reload");
    const other = createChannel(new FakeModel({ epoch: "e", protocol: 2 }), host, () => have, timers);
    other.start();
    expect(other.connection).toBe("reload");
  });

  test("what a welcome is ahead of, and no trait brings, is asked for", () => {
    channel.start();
    welcome({ revs: { question: 2 } });
    timers.pass(300);
    expect(model.of("hello")).toHaveLength(1);
    timers.pass(200);
    expect(model.of("hello")).toHaveLength(2);
  });

  test("revs ahead of the page say hello, once, and only after the traits had time to come", () => {
    channel.start();
    welcome();
    model.update({ revs: { question: 2 } });
    model.update({ revs: { question: 3 } });
    expect(model.of("hello")).toHaveLength(1);
    timers.pass(500);
    expect(model.of("hello")).toHaveLength(2);
    welcome();
    have = { question: 3 };
    model.update({ revs: { question: 3 } });
    timers.pass(500);
    expect(model.of("hello")).toHaveLength(2);
  });
});

describe("requests", () => {
  beforeEach(() => {
    channel.start();
    welcome();
  });

  test("ids count up per client, and the reply settles its own request", async () => {
    const first = channel.request("heads.value", { layer: 1 }, { slot: "value" });
    const second = channel.request("heads.value", {});
    expect(model.of("request")[0]).toEqual({
      v: 1,
      kind: "request",
      id: "tab-1",
      op: "heads.value",
      params: { layer: 1 },
      slot: "value",
    });
    model.receive({ kind: "accepted", id: "tab-2" });
    model.receive({ kind: "done", id: "tab-2", rev: 4, data: { value: 0.5 }, arrays: {} });
    expect(await settle(second.reply)).toMatchObject({ kind: "done", rev: 4, data: { value: 0.5 } });
    expect(await settle(first.reply)).toBeNull();
  });

  test("ids of other clients are dropped", async () => {
    const { reply } = channel.request("heads.value", {});
    model.receive({ kind: "done", id: "else-1", rev: 1, data: {}, arrays: {} });
    expect(await settle(reply)).toBeNull();
  });

  test("the kernel's own ids reach every client", () => {
    const seen: string[] = [];
    channel.on("kernel", (partial) => seen.push(partial.id));
    model.receive({ kind: "partial", id: "k-3", seq: 0, progress: null, data: {}, arrays: {} });
    expect(seen).toEqual(["k-3"]);
  });

  test("a second done, or one after it settled, changes nothing", async () => {
    const { reply } = channel.request("heads.value", {});
    model.receive({ kind: "done", id: "tab-1", rev: 1, data: { value: 1 }, arrays: {} });
    model.receive({ kind: "done", id: "tab-1", rev: 2, data: { value: 2 }, arrays: {} });
    expect(await settle(reply)).toMatchObject({ data: { value: 1 } });
  });

  test("partials come in order; a gap says hello; an old one is dropped", () => {
    const seen: unknown[] = [];
    channel.request("heads.atlas", {}, { onPartial: (partial) => seen.push(partial.data.n) });
    const partial = (seq: number) =>
      model.receive({ kind: "partial", id: "tab-1", seq, progress: null, data: { n: seq }, arrays: {} });
    const hellos = model.of("hello").length;
    partial(0);
    partial(1);
    expect(model.of("hello")).toHaveLength(hellos);
    partial(3);
    expect(model.of("hello")).toHaveLength(hellos + 1);
    partial(2);
    expect(seen).toEqual([0, 1, 3]);
  });

  test("gaps while a hello waits for its answer do not say it again", () => {
    channel.hello();
    const hellos = model.of("hello").length;
    const partial = (seq: number) =>
      model.receive({ kind: "partial", id: "k-1", seq, progress: null, data: {}, arrays: {} });
    partial(2);
    partial(4);
    expect(model.of("hello")).toHaveLength(hellos);
    welcome();
    partial(6);
    expect(model.of("hello")).toHaveLength(hellos + 1);
  });

  test("without accepted for a second it waits; accepted ends the waiting", () => {
    channel.request("question.set", {});
    timers.pass(999);
    expect(channel.waiting).toBe(false);
    timers.pass(1);
    expect(channel.waiting).toBe(true);
    model.receive({ kind: "accepted", id: "tab-1" });
    expect(channel.waiting).toBe(false);
  });

  test("cancel of an accepted request waits for the kernel's word", async () => {
    const { reply, cancel } = channel.request("heads.atlas", {});
    model.receive({ kind: "accepted", id: "tab-1" });
    cancel();
    expect(model.sent.at(-1)).toEqual({ v: 1, kind: "cancel", id: "tab-1" });
    expect(await settle(reply)).toBeNull();
    model.receive({ kind: "cancelled", id: "tab-1", reason: "user" });
    expect(await settle(reply)).toMatchObject({ kind: "cancelled", reason: "user" });
  });

  test("cancel of a request that nobody has seen ends at once", async () => {
    const { reply, cancel } = channel.request("heads.atlas", {});
    cancel();
    expect(await settle(reply)).toMatchObject({ kind: "cancelled", reason: "user" });
    expect(channel.open).toHaveLength(0);
  });

  test("a failure is the reply, not an exception", async () => {
    const { reply } = channel.request("heads.atlas", {});
    model.receive({
      kind: "failed",
      id: "tab-1",
      error: "NotFinite",
      message: "m",
      hint: "h",
      retryable: true,
    });
    expect(await settle(reply)).toMatchObject({
      kind: "failed",
      error: "NotFinite",
      message: "m",
      hint: "h",
      retryable: true,
    });
  });

  test("a host that drops buffers gets a plain sentence", async () => {
    const { reply } = channel.request("heads.pattern", {});
    const arrays = {
      pattern: { dtype: "u8", shape: [1, 2, 2], layout: "full", scale: 1, offset: 0, buffer: 0 },
    };
    model.receive({ kind: "done", id: "tab-1", rev: 1, data: {}, arrays }, []);
    expect(await settle(reply)).toMatchObject({ kind: "failed", error: "BuffersMissing" });
  });

  test("an accepted request that the kernel no longer knows is given up, and can be retried", async () => {
    const { reply } = channel.request("heads.atlas", {});
    model.receive({ kind: "accepted", id: "tab-1" });
    channel.hello();
    welcome();
    timers.pass(5000);
    expect(await settle(reply)).toMatchObject({ kind: "failed", error: "AnswerLost", retryable: true });
  });

  test("one that still runs is kept, with its progress", async () => {
    const { reply } = channel.request("heads.atlas", {});
    channel.hello();
    welcome({ running: [{ id: "tab-1", op: "heads.atlas", done: 3, total: 12 }] });
    timers.pass(5000);
    expect(await settle(reply)).toBeNull();
    expect(channel.open[0]).toMatchObject({ accepted: true, progress: { done: 3, total: 12 } });
  });
});

describe("a silent kernel", () => {
  test("idle and without an answer to hello, it was restarted, until a late answer comes", () => {
    channel.start();
    welcome();
    channel.hello();
    timers.pass(5000);
    expect(channel.connection).toBe("live");
    timers.pass(5000);
    expect(channel.connection).toBe("restarted");
    welcome();
    expect(channel.connection).toBe("live");
  });

  test("busy, it is waited for as long as it takes", () => {
    channel.start();
    welcome();
    host.kernelBusy = true;
    channel.hello();
    timers.pass(600_000);
    expect(channel.connection).toBe("live");
    host.kernelBusy = false;
    timers.pass(10_000);
    expect(channel.connection).toBe("restarted");
  });

  test("a host that says nothing and never answers has no kernel", () => {
    host.live = null;
    host.kernelBusy = null;
    channel.start();
    timers.pass(30_000);
    expect(channel.connection).toBe("offline");
  });

  test("a dead comm is known at once: before any answer offline, after one restarted", () => {
    host.live = false;
    channel.start();
    expect(channel.connection).toBe("offline");
    expect(model.sent).toHaveLength(0);
    host.become(true);
    expect(channel.connection).toBe("connecting");
    welcome();
    host.become(false);
    expect(channel.connection).toBe("restarted");
  });
});

test("closing stops listening and settles what is open", async () => {
  channel.start();
  const { reply } = channel.request("heads.atlas", {});
  channel.close();
  expect(await settle(reply)).toEqual({ kind: "cancelled", reason: "closed" });
  expect(model.listeners()).toBe(0);
});
