// The runs of the experiment so far: the list, the effect of one, two of them side by side.
import { Asked } from "./asked";
import type { BoardEffect } from "./board-cells";
import type { BoardSession } from "./board-session";

export interface RunEntry {
  number: number;
  base: string;
  /** Of its edits, in order. */
  labels: string[];
  metric: number | null;
  recovered: number | null;
  current: boolean;
}

export class BoardRuns {
  /** Is the list open? */
  open = false;
  /** The runs that are compared: the first and the second that were chosen. */
  chosen: number[] = [];
  readonly list: Asked<{ runs: RunEntry[] }>;
  readonly effect: Asked<{ effect: BoardEffect; number: number }>;
  /** Effects by the number of their run: a run that was made stays what it was. */
  readonly effects = new Map<number, BoardEffect>();

  constructor(private readonly session: BoardSession) {
    const runsOf = ({ data }: { data?: unknown }) => data as { runs: RunEntry[] };
    this.list = new Asked(session, "runs.list", runsOf, null);
    const effectOf = ({ data }: { data?: unknown }) => {
      const { effect, number } = data as { effect: BoardEffect; number: number };
      this.effects.set(number, effect);
      // The other one of the two may be unknown as well.
      queueMicrotask(() => this.refresh());
      return { effect, number };
    };
    this.effect = new Asked(session, "runs.effect", effectOf, "runs");
  }

  close(): void {
    for (const it of [this.list, this.effect]) it.close();
  }

  /** The first chosen run whose effect is not known. */
  get lacking(): number | undefined {
    return this.chosen.find((it) => !this.effects.has(it));
  }

  toggle(): void {
    this.open = !this.open;
    this.refresh();
    this.session.changed();
  }

  /** Asks for what is shown and not known; the list grows with each run. */
  refresh(): void {
    const { board, offReason } = this.session;
    if (!board || offReason) return;
    this.list.ask(this.open ? {} : null);
    const number = this.open ? this.lacking : undefined;
    if (number !== undefined) this.effect.ask({ number });
  }

  /** Takes a run into the comparison, or out of it; of three the oldest leaves. */
  choose(number: number): void {
    const others = this.chosen.filter((it) => it !== number);
    this.chosen = others.length < this.chosen.length ? others : [...others, number].slice(-2);
    this.refresh();
    this.session.changed();
  }

  restore(number: number): void {
    this.session.askChange("runs.restore", { number });
  }
}
