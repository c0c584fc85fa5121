// What every widget of an experiment knows: the question, the work under way, the line to the kernel, the selection.
// One session per front-end model; the views of that model share it and only draw what it says.
import { type Channel, createChannel, type Partial, type Reply, type Timers } from "./channel";
import { Emitter } from "./emitter";
import { type HostProbe, probeHost } from "./host";
import { type Hover, joinLink, type Link } from "./link";
import type { Failure, HostModel, Params, Progress, Question, Revs, Status } from "./protocol";

/** What failed, in words for the reader, and how to try again. */
export interface Trouble {
  title: string;
  failure: Failure;
  retry: (() => void) | null;
}

export type SessionState =
  | "reload"
  | "restarted"
  | "offline"
  | "waiting"
  | "failed"
  | "loading"
  | "running"
  | "changed"
  | "empty"
  | "ready";

export interface SessionEvents {
  /** Something that views draw has changed. */
  change: undefined;
}

/** Texts being edited in place; a key is absent while its text is as it was run. */
export type Draft = { clean?: string; corrupted?: string };

/** The topic; the kernel's word for it stays where our own property of that name is shortened. */
const QUESTION = "question";
/** Changes that name no place in what the reader saw. */
const WHOLE = /set|clear|restore|do$/;
/** Changes that leave every edit and every token in its place. */
const STILL = /add|keep|toggle|replace/;
const SAVE_SELECTION_MS = 150;

export class Session extends Emitter<SessionEvents> {
  /** Ops that answer a glance: no progress line, no waiting card of their own. */
  protected readonly quiet: ReadonlySet<string> = new Set();
  readonly channel: Channel;
  readonly model: HostModel;
  readonly timers: Timers;
  /** The cards of what can be done, by name. */
  readonly words: Readonly<Record<string, string>>;
  question: Question | null = null;
  status: Status | null = null;
  selection: readonly string[] = [];
  linkedHover: Hover | null = null;
  draft: Draft = {};
  trouble: Trouble | null = null;
  /** Jobs that the kernel started by itself and that reported progress: id -> progress. */
  kernelJob: { id: string; progress: Progress | null } | null = null;
  /** Replies settled so far; tests wait on it. */
  replies = 0;
  /** When the work under way began to be visible; null while nothing runs. */
  busyLong = false;
  #busyTimer: unknown = null;
  #saveTimer: unknown = null;
  #link: Link;
  #asks = 0;
  /** The last change that was asked for, until it is settled. */
  #changing: Promise<Reply> | null = null;
  #key = "";
  /** The revisions that the last change of this page made, and the last one that moved what is named by its place. */
  #made = 0;
  #moved = 0;
  #held: Revs = {};
  #off: (() => void)[] = [];

  constructor(model: HostModel, timers: Timers, host: HostProbe = probeHost(model), client?: string) {
    super();
    this.model = model;
    this.words = (model.get("words") ?? {}) as Record<string, string>;
    this.timers = timers;
    this.channel = createChannel(model, host, () => this.have(), timers, client);
    this.#link = joinLink(String(model.get("experiment") ?? ""), {
      hover: (hover) => {
        this.linkedHover = hover;
        this.changed();
      },
      select: (selection) => this.applySelection(selection),
    });
    this.listen("change:question", () => this.#readQuestionTrait());
    this.listen("change:status", () => this.#readStatus());
    this.listen("change:selection", () => this.#readSelection());
    this.#off.push(
      this.channel.on("connection", () => this.changed()),
      this.channel.on("pending", () => this.#timeWork()),
      this.channel.on("settled", () => {
        this.replies++;
        this.changed();
      }),
      this.channel.on("kernel", (partial) => this.onKernelPartial(partial)),
      this.channel.on("welcome", ({ message, buffers }) => {
        const { snapshot = {}, running = [], revs } = message;
        if (snapshot[QUESTION]) this.readQuestion(snapshot[QUESTION]);
        for (const topic of Object.keys(snapshot)) this.#held[topic] = revs[topic] ?? 0;
        const job = running.find((it) => it.id.startsWith("k-"));
        if (job) this.kernelJob = { id: job.id, progress: { ...job, seconds_left: null } };
        else if (this.status?.state !== "running") this.kernelJob = null;
        this.readSnapshot(snapshot, buffers);
        this.changed();
      }),
    );
  }

  /** Reads the traits and says hello; nothing is awaited. */
  start(): void {
    this.#readQuestionTrait();
    this.#readStatus();
    this.#readSelection();
    this.channel.start();
    // A tab that was hidden may have missed messages.
    const looked = () => {
      if (document.visibilityState === "visible") this.channel.hello();
    };
    document.addEventListener("visibilitychange", looked);
    this.#off.push(() => document.removeEventListener("visibilitychange", looked));
  }

  close(): void {
    this.channel.close();
    this.#link.close();
    for (const off of this.#off) off();
    for (const timer of [this.#busyTimer, this.#saveTimer]) this.timers.clear(timer);
  }

  /** The revision, as `revs` counts them, of each topic that this page holds. */
  have(): Revs {
    return { ...this.#held };
  }

  /** Notes that a topic's trait was read: it came in one message with the `revs` that counts it. */
  protected hold(topic: string): void {
    const revs = (this.model.get("revs") ?? {}) as Revs;
    this.#held[topic] = revs[topic] ?? 0;
  }

  protected readSnapshot(
    _snapshot: Record<string, Record<string, unknown>>,
    _buffers: readonly unknown[],
  ): void {}

  protected onKernelPartial(partial: Partial): void {
    this.kernelJob = { id: partial.id, progress: partial.progress };
    this.#timeWork();
  }

  protected listen(name: string, callback: () => void): void {
    this.model.on(name, callback);
    this.#off.push(() => this.model.off(name, callback));
  }

  changed(): void {
    this.emit("change");
  }

  #readQuestionTrait(): void {
    this.hold(QUESTION);
    this.readQuestion(this.model.get(QUESTION));
  }

  #readSelection(): void {
    this.applySelection((this.model.get("selection") as string[] | undefined) ?? []);
  }

  protected readQuestion(value: unknown): void {
    const question = value as Question | null;
    if (!question || typeof question.rev !== "number" || question.rev < (this.question?.rev ?? 0)) return;
    const before = this.question;
    this.question = question;
    // A text that now is what was run is no draft any more, whoever ran it.
    for (const which of ["clean", "corrupted"] as const) {
      if (this.draft[which] === question.prompts[which]?.text) delete this.draft[which];
    }
    if (before?.rev !== question.rev && this.trouble?.failure.error === "Stale") this.trouble = null;
    this.changed();
  }

  #readStatus(): void {
    this.status = (this.model.get("status") ?? null) as Status | null;
    if (this.status?.state !== "running") this.kernelJob = null;
    this.#timeWork();
  }

  // --- work under way -------------------------------------------------------------------------------------------

  /** Progress of the work that the reader waits for; null when nothing runs. Quiet requests do not count. */
  get work(): { progress: Progress | null; cancel: () => void } | null {
    const { channel, status, kernelJob } = this;
    if (!channel.usable) return null;
    const mine = channel.open.find((it) => !this.quiet.has(it.op));
    if (mine) return { progress: mine.progress, cancel: () => channel.cancel(mine.id) };
    if (status?.state !== "running") return null;
    const { done, total, seconds_left, job } = status;
    const own = total ? { done: done ?? 0, total, seconds_left } : null;
    const id = kernelJob?.id ?? job;
    return { progress: kernelJob?.progress ?? own, cancel: () => id && channel.cancel(id) };
  }

  #timeWork(): void {
    if (!this.work) {
      this.timers.clear(this.#busyTimer);
      this.#busyTimer = null;
      this.busyLong = false;
    } else if (this.#busyTimer === null) {
      this.#busyTimer = this.timers.set(() => {
        this.busyLong = true;
        this.changed();
      }, 300);
    }
    this.changed();
  }

  /** Sends a request; a failure is shown in the widget with a retry, newest first. */
  ask(
    op: string,
    params: () => Params,
    options: { slot: string; onPartial?: (p: Partial) => void },
    title = op,
  ) {
    const pending = this.channel.request(op, params(), options);
    void pending.reply.then((reply) => {
      if (reply.kind === "failed") this.fail(title, reply, () => this.ask(op, params, options, title));
    });
    return pending;
  }

  /** Asks for a change of the question, or of its edits, once those before it are settled, and not if one of them was not
   * made. The same again meanwhile is a double click. */
  askChange(op: string, params: Params): Promise<Reply> {
    const seen = this.question?.rev ?? 0;
    const whole = WHOLE.test(op);
    const key = JSON.stringify([op, params]);
    if (this.#changing && key === this.#key && !whole) return this.#changing;
    const send = async (before?: Reply) => {
      if (before && before.kind !== "done") return before;
      const base_rev = whole || seen >= this.#moved ? Math.max(seen, this.#made) : seen;
      const reply = await this.channel.request(op, { ...params, base_rev }).reply;
      if (reply.kind === "done") {
        this.#made = reply.rev;
        if (!STILL.test(op)) this.#moved = reply.rev;
      }
      if (reply.kind === "failed") this.fail(op, reply, () => this.askChange(op, params));
      return reply;
    };
    const changing = this.#changing?.then(send) ?? send();
    this.#changing = changing;
    this.#key = key;
    return changing.finally(() => {
      if (this.#changing === changing) this.#changing = null;
    });
  }

  /** Shows that a request failed, in these words, or in those that the kernel has for one of this name. */
  fail(title: string, failure: Failure, retry: () => void): void {
    if (!this.channel.usable) return; // The line itself is what failed, and is shown as that.
    const again = () => {
      this.trouble = null;
      retry();
      this.changed();
    };
    this.trouble = { title: this.why(title), failure, retry: failure.retryable ? again : null };
    this.changed();
  }

  dismissTrouble(): void {
    this.trouble = null;
    this.changed();
  }

  // --- the question ---------------------------------------------------------------------------------------------

  /** Why something is off, by the name of the reason. */
  why(reason: string): string {
    return this.words[reason] ?? reason;
  }

  /** What is said of a line on which nothing can be asked: its title, why controls are off, what to do with a picture
   * and without one; null when the line is usable. */
  get line(): string[] | null {
    const { usable, connection } = this.channel;
    return usable ? null : (this.words[connection] ?? connection).split("\n");
  }

  /** Why the question cannot be changed now, or null when it can. */
  get offReason(): string | null {
    return this.line && (this.line[1] ?? "There is no kernel to ask.");
  }

  setDraft(which: "clean" | "corrupted", text: string | null): void {
    if (text === null || text === this.question?.prompts[which]?.text) delete this.draft[which];
    else this.draft[which] = text;
    this.changed();
  }

  get drafted(): boolean {
    return Object.keys(this.draft).length > 0;
  }

  /** Asks the kernel to change the question; what it makes of it comes back as the trait `question`. */
  setQuestion(params: Params): Promise<Reply> {
    this.trouble = null;
    this.#asks++;
    this.changed();
    return this.askChange("question.set", params).finally(() => {
      this.#asks--;
      this.changed();
    });
  }

  get asking(): boolean {
    return this.#asks > 0;
  }

  // --- selection and hover ----------------------------------------------------------------------------------------

  protected applySelection(selection: readonly string[]): void {
    this.selection = selection;
    this.changed();
  }

  /** A selection that the reader clicked: drawn at once, told to the other widgets, and to Python when it rests. */
  select(selection: readonly string[]): void {
    this.selection = selection;
    this.#link.select(selection);
    this.timers.clear(this.#saveTimer);
    this.#saveTimer = this.timers.set(() => {
      this.model.set("selection", [...this.selection]);
      this.model.save_changes();
    }, SAVE_SELECTION_MS);
    this.changed();
  }

  tellHover(hover: Hover | null): void {
    this.#link.hover(hover);
  }
}
