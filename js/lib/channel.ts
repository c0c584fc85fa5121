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

interface Waiting {
  id: string;
  op: string;
  accepted: boolean;
  late: boolean;
  hello: number;
  nextSeq: number;
  progress: Progress | null;
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

const GONE: Failure = {
  error: "KernelGone",
  message: "There is no kernel to ask.",
  hint: "Run the cell again.",
  retryable: false,
};

export class Channel extends Emitter<ChannelEvents> {
  connection: Connection = "connecting";
  readonly client: string;
  #model: HostModel;
  #host: HostProbe;
  #timers: Timers;
  #have: () => Revs;
  #open = new Map<string, Waiting>();
  #count = 0;
  #hellos = 0;
  #answered = 0;
  #everLive = false;
  #helloTimer: unknown = null;
  #silent = 0;
  #behindTimer: unknown = null;
  #kernelSeq = new Map<string, number>();
  #closed = false;

  constructor(
    model: HostModel,
    host: HostProbe,
    have: () => Revs,
    timers: Timers = browserTimers,
    client = randomClient(),
  ) {
    super();
    this.#model = model;
    this.#host = host;
    this.#have = have;
    this.#timers = timers;
    this.client = client;
    model.on("msg:custom", this.#receive);
    model.on("change:revs", this.#checkRevs);
    host.onChange(() => this.#hostChanged());
  }

  /** Opens the line: checks the protocol and says hello. */
  start(): void {
    const protocol = this.#model.get("protocol");
    if (typeof protocol === "number" && protocol !== PROTOCOL) this.#become("reload");
    else if (this.#host.commLive() === false || typeof this.#model.send !== "function")
      this.#become("offline");
    else this.hello();
  }

  close(): void {
    this.#closed = true;
    this.#model.off("msg:custom", this.#receive);
    this.#model.off("change:revs", this.#checkRevs);
    this.#timers.clear(this.#helloTimer);
    this.#timers.clear(this.#behindTimer);
    for (const waiting of [...this.#open.values()])
      this.#settle(waiting, { kind: "cancelled", reason: "closed" });
  }

  get usable(): boolean {
    return this.connection === "live" || this.connection === "connecting";
  }

  /** A request went unanswered for a second, or hello did and nothing came since. */
  get waiting(): boolean {
    return (
      [...this.#open.values()].some((it) => it.late) || (this.connection === "connecting" && this.#silent > 0)
    );
  }

  /** Open requests, oldest first. */
  get open(): readonly {
    id: string;
    op: string;
    accepted: boolean;
    late: boolean;
    progress: Progress | null;
  }[] {
    return [...this.#open.values()];
  }

  request(
    op: string,
    params: Params,
    options: { slot?: string; onPartial?: (partial: Partial) => void } = {},
  ): Pending {
    const id = `${this.client}-${++this.#count}`;
    let settle: (reply: Reply) => void = () => undefined;
    const reply = new Promise<Reply>((resolve) => {
      settle = resolve;
    });
    const waiting: Waiting = {
      id,
      op,
      accepted: false,
      late: false,
      hello: this.#hellos,
      nextSeq: 0,
      progress: null,
      timer: null,
      settle,
      onPartial: options.onPartial,
    };
    this.#open.set(id, waiting);
    if (!this.usable || this.#closed) this.#settle(waiting, { kind: "failed", ...GONE });
    else {
      waiting.timer = this.#timers.set(() => {
        waiting.late = true;
        this.emit("pending", undefined);
        this.hello();
      }, ACCEPT_MS);
      this.#send({ v: PROTOCOL, kind: "request", id, op, params, slot: options.slot ?? null });
      this.emit("pending", undefined);
    }
    return { id, op, reply, cancel: () => this.cancel(id) };
  }

  /** Asks the kernel to stop a job, ours or its own; what it answers settles the request. */
  cancel(id: string): void {
    this.#send({ v: PROTOCOL, kind: "cancel", id });
    const waiting = this.#open.get(id);
    // Nobody has seen this request yet: the reader need not wait for a busy kernel to give it up.
    if (waiting && !waiting.accepted) this.#settle(waiting, { kind: "cancelled", reason: "user" });
  }

  hello(): void {
    if (!this.usable || this.#closed) return;
    this.#hellos++;
    this.#send({ v: PROTOCOL, kind: "hello", client: this.client, have: this.#have() });
    if (this.#helloTimer === null) this.#awaitWelcome(ACCEPT_MS);
  }

  /** The line was silent for `#silent` ms since the hello; a busy kernel is waited for, an idle one is gone. */
  #awaitWelcome(ms: number): void {
    this.#helloTimer = this.#timers.set(() => {
      this.#helloTimer = null;
      if (this.#answered >= this.#hellos) return;
      this.#silent += ms;
      const busy = this.#host.busy();
      if (busy) this.#silent = ACCEPT_MS;
      const patience = busy === false ? HELLO_MS : SILENT_HOST_MS;
      if (this.#silent >= patience) return this.#become(this.#everLive ? "restarted" : this.#neverAnswered());
      this.emit("pending", undefined);
      this.#awaitWelcome(ACCEPT_MS);
    }, ms);
  }

  #neverAnswered(): Connection {
    // Without any answer ever, a host that shows a running kernel has lost ours; any other has none.
    return this.#host.busy() === null && this.#host.commLive() !== true ? "offline" : "restarted";
  }

  #send(message: Record<string, unknown>): void {
    try {
      this.#model.send(message);
    } catch {
      // A disposed comm throws; silence is noticed by the timers above.
    }
  }

  #become(connection: Connection): void {
    if (this.connection === connection) return;
    this.connection = connection;
    if (connection === "live") this.#everLive = true;
    if (!this.usable) {
      for (const waiting of [...this.#open.values()]) this.#settle(waiting, { kind: "failed", ...GONE });
    }
    this.emit("connection", connection);
  }

  #hostChanged(): void {
    const live = this.#host.commLive();
    if (live === false && this.usable) this.#become(this.#everLive ? "restarted" : "offline");
    else if (live === true && (this.connection === "offline" || this.connection === "connecting")) {
      this.connection = "connecting";
      this.emit("connection", "connecting");
      this.hello();
    }
  }

  #checkRevs = (): void => {
    if (this.#behindTimer !== null || this.#closed) return;
    // The traits of the same topics are usually right behind `revs`; only what is still missing is asked for.
    this.#behindTimer = this.#timers.set(() => {
      this.#behindTimer = null;
      const have = this.#have();
      const revs = (this.#model.get("revs") ?? {}) as Revs;
      if (Object.entries(revs).some(([topic, rev]) => topic in have && rev > (have[topic] ?? 0)))
        this.hello();
    }, BEHIND_MS);
  };

  #receive = (content: unknown, buffers: unknown): void => {
    const message = content as KernelMessage;
    if (!message || typeof message !== "object" || !("kind" in message)) return;
    if (message.v !== PROTOCOL) return this.#become("reload");
    const list = Array.isArray(buffers) ? buffers : [];
    if (message.kind === "welcome") {
      if (message.client === this.client) this.#welcome(message, list);
      return;
    }
    if (typeof message.id !== "string") return;
    if (message.id.startsWith("k-")) {
      this.#heard();
      if (message.kind === "partial") this.#kernelPartial(message, list);
      return;
    }
    const waiting = this.#open.get(message.id);
    if (!waiting) return;
    this.#heard();
    this.#timers.clear(waiting.timer);
    waiting.accepted = true;
    waiting.late = false;
    try {
      if (message.kind === "partial") this.#partial(waiting, message, list);
      else if (message.kind === "done") {
        const arrays = decodeAll(message.arrays ?? {}, list);
        this.#settle(waiting, { kind: "done", rev: message.rev, data: message.data ?? {}, arrays });
      } else if (message.kind === "failed") {
        const { error, message: what, hint, retryable } = message;
        this.#settle(waiting, { kind: "failed", error, message: what, hint, retryable });
      } else if (message.kind === "cancelled") {
        this.#settle(waiting, { kind: "cancelled", reason: message.reason });
      } else this.emit("pending", undefined);
    } catch (error) {
      if (!(error instanceof BuffersMissing)) throw error;
      this.#settle(waiting, buffersFailure(error));
    }
  };

  /** Asks for what was missed. A hello that waits for its answer, perhaps behind the cell that runs, asks for it too. */
  #catchUp(): void {
    if (this.#answered >= this.#hellos) this.hello();
  }

  #partial(waiting: Waiting, message: PartialReply, buffers: readonly unknown[]): void {
    if (message.seq !== waiting.nextSeq) this.#catchUp();
    if (message.seq < waiting.nextSeq) return;
    waiting.nextSeq = message.seq + 1;
    waiting.progress = message.progress ?? null;
    waiting.onPartial?.(decodePartial(message, buffers));
    this.emit("pending", undefined);
  }

  #kernelPartial(message: PartialReply, buffers: readonly unknown[]): void {
    const next = this.#kernelSeq.get(message.id) ?? 0;
    if (message.seq !== next) this.#catchUp();
    this.#kernelSeq.set(message.id, message.seq + 1);
    try {
      this.emit("kernel", decodePartial(message, buffers));
    } catch (error) {
      if (!(error instanceof BuffersMissing)) throw error; // The trait that settles the job says it.
    }
  }

  #welcome(message: Welcome, buffers: readonly unknown[]): void {
    this.#answered = this.#hellos;
    this.#heard();
    const epoch = this.#model.get("epoch");
    if (epoch && message.epoch !== epoch) return this.#become("restarted");
    // Also when it was thought gone: it was only slow.
    if (this.connection !== "reload") this.#become("live");
    const running = new Map((message.running ?? []).map((job) => [job.id, job]));
    for (const waiting of this.#open.values()) {
      const job = running.get(waiting.id);
      if (job) {
        waiting.accepted = true;
        waiting.late = false;
        this.#timers.clear(waiting.timer);
        waiting.progress ??= { done: job.done, total: job.total, seconds_left: null };
      } else if (waiting.accepted && waiting.hello < this.#hellos) {
        this.#timers.clear(waiting.timer);
        waiting.timer = this.#timers.set(() => this.#settle(waiting, LOST), ACCEPT_MS);
      }
    }
    this.emit("welcome", { message, buffers });
    this.emit("pending", undefined);
  }

  /** Anything heard from our kernel means that it is there. */
  #heard(): void {
    this.#silent = 0;
    if (this.connection === "connecting") this.#become("live");
  }

  #settle(waiting: Waiting, reply: Reply): void {
    if (!this.#open.delete(waiting.id)) return;
    this.#timers.clear(waiting.timer);
    waiting.settle(reply);
    this.emit("settled", reply);
    this.emit("pending", undefined);
  }
}

const LOST: Reply = {
  kind: "failed",
  error: "AnswerLost",
  message: "The kernel's answer got lost on the way.",
  hint: "Ask again.",
  retryable: true,
};

function buffersFailure(error: BuffersMissing): Reply {
  return {
    kind: "failed",
    error: error.name,
    message: error.message,
    hint: "Open the notebook in JupyterLab or Notebook 7.",
    retryable: true,
  };
}

function decodePartial(message: PartialReply, buffers: readonly unknown[]): Partial {
  return {
    id: message.id,
    progress: message.progress ?? null,
    data: message.data ?? {},
    arrays: decodeAll(message.arrays ?? {}, buffers),
  };
}

function randomClient(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(6));
  return `c${[...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("")}`;
}
