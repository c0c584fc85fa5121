// A question that stands while its parameters stand: asked once, the newest wins, failures stay where they belong.
import type { Reply } from "./channel";
import type { Failure, Params } from "./protocol";
import type { Session } from "./session";

const CANCELLED: Failure = { error: "Cancelled", message: "Cancelled.", hint: "", retryable: true };

type Done = Extract<Reply, { kind: "done" }>;

export class Asked<T> {
  /** What arrived last; of older parameters while `running`. */
  answer: T | null = null;
  /** What the answer is of. */
  answered: Params | null = null;
  failure: Failure | null = null;
  running = false;
  #key = "";
  #params: Params | null = null;
  #timer: unknown = null;

  constructor(
    private readonly session: Session,
    private readonly op: string,
    private readonly read = (reply: Done): T => reply.data as T,
    private readonly slot: string | null = op.split(".")[1] as string,
  ) {}

  close(): void {
    this.session.timers.clear(this.#timer);
  }

  /** Asks after `rest` ms unless just this was asked already; null forgets question and answer. */
  ask(params: Params | null, rest = 0): void {
    const key = params ? JSON.stringify([params, this.session.question?.rev]) : "";
    if (key === this.#key) return;
    this.#key = key;
    this.#params = params;
    this.close();
    if (params === null) this.answer = null;
    else this.#timer = this.session.timers.set(() => this.#send(), rest);
    this.#wait(params !== null);
  }

  retry(): void {
    this.#send();
    this.#wait(true);
  }

  #wait(running: boolean): void {
    this.failure = null;
    this.running = running;
    this.session.changed();
  }

  #send(): void {
    const key = this.#key;
    const params = this.#params;
    if (!params) return;
    const { channel } = this.session;
    void channel
      .request(this.op, params, this.slot === null ? {} : { slot: this.slot })
      .reply.then((reply) => {
        if (key !== this.#key) return;
        this.running = false;
        const done = reply.kind === "done";
        this.answer = done ? this.read(reply) : null;
        this.answered = params;
        this.failure = done ? null : reply.kind === "failed" ? reply : CANCELLED;
        this.session.changed();
      });
  }
}
