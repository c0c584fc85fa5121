// One channel per front-end model: it sends requests, sorts the kernel's messages by the id they answer, and knows
// how the line to the kernel is. Nothing else in the page talks to the kernel.
import { BuffersMissing, decodeAll, type Grid } from "./arrays";
import { Emitter } from "./emitter";
import type { HostProbe } from "./host";
import type {
  Failure,
  HostModel,
  KernelMessage,
  Params,
  PartialReply,
  Progress,
  Revs,
  Welcome,
} from "./protocol";
import { PROTOCOL } from "./protocol";

export interface Timers {
  set(callback: () => void, ms: number): unknown;
  clear(timer: unknown): void;
}

export const browserTimers: Timers = {
  set: (callback, ms) => setTimeout(callback, ms),
  clear: (timer) => clearTimeout(timer as number),
};

/** connecting: hello is out; live: the kernel answered; restarted, offline, reload: nothing can be asked. */
export type Connection = "connecting" | "live" | "restarted" | "offline" | "reload";

export interface Partial {
  id: string;
  progress: Progress | null;
  data: Record<string, unknown>;
  arrays: Record<string, Grid>;
}
export type Reply =
  | { kind: "done"; rev: number; data: Record<string, unknown>; arrays: Record<string, Grid> }
  | ({ kind: "failed" } & Failure)
  | { kind: "cancelled"; reason: "user" | "superseded" | "closed" };

export interface Pending {
  readonly id: string;
  readonly op: string;
  readonly reply: Promise<Reply>;
  cancel(): void;
}

/** A request that has no reply yet. */
export interface Open {
  id: string;
  op: string;
  accepted: boolean;
  /** Not accepted for a second. */
  late: boolean;
  progress: Progress | null;
}
interface Waiting extends Open {
  /** Hellos sent before it. */
  hello: number;
  timer: unknown;
  settle: (reply: Reply) => void;
  onPartial: ((partial: Partial) => void) | undefined;
}

export interface ChannelEvents {
  connection: Connection;
  /** The set of open requests, their acceptance or their progress changed. */
  pending: undefined;
  settled: Reply;
  kernel: Partial;
  welcome: { message: Welcome; buffers: readonly unknown[] };
}

const ACCEPT_MS = 1000;
// A kernel says when it goes: silence alone must last, since a loaded machine answers late.
const HELLO_MS = 8000;
const SILENT_HOST_MS = 10000;
const BEHIND_MS = 400;

type FailedReply = Extract<Reply, { kind: "failed" }>;
const failed = (error: string, message: string, hint: string, retryable = true): FailedReply => ({
  kind: "failed",
  error,
  message,
  hint,
  retryable,
});
const GONE = failed("KernelGone", "There is no kernel to ask.", "Run the cell again.", false);
const LOST = failed("AnswerLost", "The kernel's answer got lost on the way.", "Ask again.");

const randomClient = () =>
  crypto
    .getRandomValues(new Uint8Array(6))
    .reduce((id, byte) => id + byte.toString(16).padStart(2, "0"), "c");

export interface Channel {
  readonly connection: Connection;
  /** Can anything be asked? */
  readonly usable: boolean;
  /** A request went unanswered for a second, or hello did and nothing came since. */
  readonly waiting: boolean;
  /** Open requests, oldest first. */
  readonly open: readonly Open[];
  on: Emitter<ChannelEvents>["on"];
  /** Opens the line: checks the protocol and says hello. */
  start(): void;
  close(): void;
  request(
    op: string,
    params: Params,
    options?: { slot?: string; onPartial?: (partial: Partial) => void },
  ): Pending;
  /** Asks the kernel to stop a job, ours or its own; what it answers settles the request. */
  cancel(id: string): void;
  hello(): void;
}

export function createChannel(
  model: HostModel,
  host: HostProbe,
  have: () => Revs,
  timers: Timers = browserTimers,
  client = randomClient(),
): Channel {
  const events = new Emitter<ChannelEvents>();
  const open = new Map<string, Waiting>();
  /** Of each job: the number its next partial should have. */
  const nextSeq = new Map<string, number>();
  let connection: Connection = "connecting";
  let count = 0;
  let hellos = 0;
  let answered = 0;
  let everLive = false;
  let helloTimer: unknown = null;
  let silent = 0;
  let behindTimer: unknown = null;
  /** The revisions of the last welcome. */
  let told: Revs = {};
  let closed = false;

  const usable = () => connection === "live" || connection === "connecting";
  const pending = () => events.emit("pending");

  function send(message: Record<string, unknown>): void {
    try {
      model.send({ v: PROTOCOL, ...message });
    } catch {
      // A disposed comm throws; silence is noticed by the timers.
    }
  }

  function become(next: Connection): void {
    if (connection === next) return;
    connection = next;
    everLive ||= next === "live";
    if (!usable()) settleAll(GONE);
    events.emit("connection", next);
  }

  function settle(waiting: Waiting, reply: Reply): void {
    if (!open.delete(waiting.id)) return;
    timers.clear(waiting.timer);
    nextSeq.delete(waiting.id);
    waiting.settle(reply);
    events.emit("settled", reply);
    pending();
  }
  function settleAll(reply: Reply): void {
    for (const waiting of [...open.values()]) settle(waiting, reply);
  }

  // --- asking -------------------------------------------------------------------------------------------------------
  function request(
    op: string,
    params: Params,
    { slot, onPartial }: { slot?: string; onPartial?: (partial: Partial) => void } = {},
  ): Pending {
    const id = `${client}-${++count}`;
    const reply = new Promise<Reply>((resolve) => {
      const fresh = { accepted: false, late: false, progress: null, timer: null };
      open.set(id, { id, op, ...fresh, hello: hellos, settle: resolve, onPartial });
    });
    const waiting = open.get(id) as Waiting;
    if (!usable() || closed) settle(waiting, GONE);
    else {
      waiting.timer = timers.set(() => {
        waiting.late = true;
        pending();
        hello();
      }, ACCEPT_MS);
      send({ kind: "request", id, op, params, slot: slot ?? null });
      pending();
    }
    return { id, op, reply, cancel: () => cancel(id) };
  }

  function cancel(id: string): void {
    send({ kind: "cancel", id });
    const waiting = open.get(id);
    // Nobody has seen this request yet: the reader need not wait for a busy kernel to give it up.
    if (waiting && !waiting.accepted) settle(waiting, { kind: "cancelled", reason: "user" });
  }

  function hello(): void {
    if (!usable() || closed) return;
    hellos++;
    // To a page that has just opened everything is on its way in the traits.
    send({ kind: "hello", client, have: hellos > 1 ? have() : null });
    if (helloTimer === null) awaitWelcome();
  }

  /** The line was silent for `silent` ms since the hello; a busy kernel is waited for, an idle one is gone. */
  function awaitWelcome(): void {
    helloTimer = timers.set(() => {
      helloTimer = null;
      if (answered >= hellos) return;
      const busy = host.busy();
      silent = busy ? ACCEPT_MS : silent + ACCEPT_MS;
      if (silent < (busy === false ? HELLO_MS : SILENT_HOST_MS)) {
        pending();
        awaitWelcome();
      } else {
        // Without any answer ever, a host that shows a running kernel has lost ours; any other has none.
        const lost = everLive || busy !== null || host.commLive() === true;
        become(lost ? "restarted" : "offline");
      }
    }, ACCEPT_MS);
  }

  // --- hearing ------------------------------------------------------------------------------------------------------
  const leaveHost = host.onChange(() => {
    const live = host.commLive();
    if (live === false && usable()) become(everLive ? "restarted" : "offline");
    else if (live && connection === "offline") {
      connection = "connecting";
      events.emit("connection", connection);
      hello();
    }
  });

  function checkRevs(): void {
    if (behindTimer !== null || closed) return;
    // The traits of the same topics are usually right behind `revs`; only what is still missing is asked for.
    behindTimer = timers.set(() => {
      behindTimer = null;
      const held = have();
      const ahead = (revs: unknown) =>
        Object.entries((revs ?? {}) as Revs).some(([topic, rev]) => rev > (held[topic] ?? rev));
      if (ahead(told) || ahead(model.get("revs"))) hello();
    }, BEHIND_MS);
  }

  function receive(content: unknown, sent: unknown): void {
    const message = content as KernelMessage | null;
    if (!message?.kind) return;
    if (message.v !== PROTOCOL) return become("reload");
    const buffers = Array.isArray(sent) ? sent : [];
    if (message.kind === "welcome") return message.client === client ? welcome(message, buffers) : undefined;
    const waiting = open.get(message.id);
    if (!waiting && !String(message.id).startsWith("k-")) return;
    heard();
    if (waiting) accept(waiting);
    try {
      if (message.kind === "partial") takePartial(waiting, message, buffers);
      else if (!waiting) return;
      else if (message.kind === "done") {
        const { rev, data = {}, arrays = {} } = message;
        settle(waiting, { kind: "done", rev, data, arrays: decodeAll(arrays, buffers) });
      } else if (message.kind === "failed" || message.kind === "cancelled") settle(waiting, message);
      else pending();
    } catch (error) {
      if (!(error instanceof BuffersMissing)) throw error;
      const way = "Open the notebook in JupyterLab or Notebook 7.";
      // Of a job of the kernel's own, the trait that settles it says so.
      if (waiting) settle(waiting, failed(error.name, error.message, way));
    }
  }

  function takePartial(
    waiting: Waiting | undefined,
    message: PartialReply,
    buffers: readonly unknown[],
  ): void {
    const { id, seq, progress = null, data = {}, arrays = {} } = message;
    const next = nextSeq.get(id) ?? 0;
    // A hello that waits for its answer, perhaps behind the cell that runs, asks for what was missed too.
    if (seq !== next && answered >= hellos) hello();
    if (waiting && seq < next) return;
    nextSeq.set(id, seq + 1);
    const partial = { id, progress, data, arrays: decodeAll(arrays, buffers) };
    if (!waiting) return events.emit("kernel", partial);
    waiting.progress = progress;
    waiting.onPartial?.(partial);
    pending();
  }

  function welcome(message: Welcome, buffers: readonly unknown[]): void {
    answered = hellos;
    heard();
    const epoch = model.get("epoch");
    if (epoch && message.epoch !== epoch) return become("restarted");
    // Also when it was thought gone: it was only slow.
    if (connection !== "reload") become("live");
    for (const waiting of open.values()) {
      const job = message.running?.find((it) => it.id === waiting.id);
      if (job) {
        accept(waiting);
        waiting.progress ??= { done: job.done, total: job.total, seconds_left: null };
      } else if (waiting.accepted && waiting.hello < hellos) {
        timers.clear(waiting.timer);
        waiting.timer = timers.set(() => settle(waiting, LOST), ACCEPT_MS);
      }
    }
    events.emit("welcome", { message, buffers });
    told = message.revs;
    checkRevs();
    pending();
  }

  function accept(waiting: Waiting): void {
    timers.clear(waiting.timer);
    waiting.accepted = true;
    waiting.late = false;
  }

  /** Anything heard from our kernel means that it is there. */
  function heard(): void {
    silent = 0;
    if (connection === "connecting") become("live");
  }

  model.on("msg:custom", receive);
  model.on("change:revs", checkRevs);
  return {
    get connection() {
      return connection;
    },
    get usable() {
      return usable();
    },
    get waiting() {
      return [...open.values()].some((it) => it.late) || (connection === "connecting" && silent > 0);
    },
    get open() {
      return [...open.values()];
    },
    on: events.on.bind(events) as Channel["on"],
    start() {
      const protocol = model.get("protocol");
      if (typeof protocol === "number" && protocol !== PROTOCOL) become("reload");
      else if (host.commLive() === false || typeof model.send !== "function") become("offline");
      else hello();
    },
    close() {
      closed = true;
      leaveHost();
      model.off("msg:custom", receive);
      model.off("change:revs", checkRevs);
      timers.clear(helloTimer);
      timers.clear(behindTimer);
      settleAll({ kind: "cancelled", reason: "closed" });
    },
    request,
    cancel,
    hello,
  };
}
