// What the workbench knows beyond the question: which of its views are in view, and the session of each, which is opened
// on the view's own model. A view that was never shown has neither model nor session.
import { BoardSession } from "./board-session";
import type { Timers } from "./channel";
import { HeadsSession } from "./heads-session";
import { LensSession } from "./lens-session";
import type { HostModel, Run } from "./protocol";
import { type Picture, RunSession } from "./run-session";
import { SweepSession } from "./sweep-session";

export const VIEWS = ["heads", "lens", "board", "sweep"] as const;
export type BenchView = (typeof VIEWS)[number];

export interface Sessions {
  heads: HeadsSession;
  lens: LensSession;
  board: BoardSession;
  sweep: SweepSession;
}

const OPEN: { [name in BenchView]: (model: HostModel, timers: Timers) => Sessions[name] } = {
  heads: (model, timers) => new HeadsSession(model, timers),
  lens: (model, timers) => new LensSession(model, timers),
  board: (model, timers) => new BoardSession(model, timers),
  sweep: (model, timers) => new SweepSession(model, timers),
};
const REFERENCE = "IPY_MODEL_";
const NO_MODELS = "This notebook host does not give a widget the models of the widgets in it.";

export class WorkbenchSession extends RunSession {
  protected readonly topic = "views";
  protected readonly op = "bench.show";
  /** Names of the views that are shown, from left to right. */
  panes: BenchView[] = [];
  /** Why the view of that name cannot be drawn, where it cannot. */
  readonly troubles = new Map<BenchView, string>();
  readonly #sessions = new Map<BenchView, RunSession>();
  /** Names of the models that were asked for. */
  readonly #taken = new Map<BenchView, string>();
  #closed = false;

  override start(): void {
    // Its picture is the views, which have their own states.
    this.picture = { rev: 0, run: this.run, provenance: {} };
    this.listen("change:views", () => this.#readViews());
    this.listen("change:panes", () => this.#readPanes());
    this.#readPanes();
    this.#readViews();
    super.start();
  }

  override close(): void {
    this.#closed = true;
    super.close();
    for (const session of this.#sessions.values()) session.close();
  }

  protected override read(): Picture {
    return this.picture as Picture;
  }

  /** A text that is edited here is of no view's run yet; a question that is being asked neither. */
  override get stale(): boolean {
    return this.drafted || this.asking;
  }

  override runReason(run: Run): string | null {
    if (run !== "corrupted" || this.question?.prompts.corrupted) return null;
    return this.why("no-corrupted");
  }

  /** Which prompt the header shows. */
  override setRun(run: Run): void {
    if (this.runReason(run)) return;
    this.run = run;
    this.changed();
  }

  /** The session of a view; null before its model is here. */
  session<Name extends BenchView>(name: Name): Sessions[Name] | null {
    return (this.#sessions.get(name) ?? null) as Sessions[Name] | null;
  }

  /** Why a view cannot be shown now; null when it can. */
  viewReason(name: BenchView): string | null {
    return this.#taken.has(name) ? null : this.offReason;
  }

  /** Shows these views; the kernel makes those that it has not made yet. */
  show(...names: BenchView[]): void {
    const panes = [...new Set(names)];
    if (!panes.length || panes.some((name) => this.viewReason(name))) return;
    this.panes = panes;
    if (!this.offReason) {
      const params = () => ({ panes: panes.map((name) => ({ name })) });
      this.ask(this.op, params, { slot: "show" });
    }
    this.changed();
  }

  /** Shows a view in the first or the second pane; where the other one has it they change places. */
  put(name: BenchView, pane: number): void {
    const [left, right] = this.panes;
    if (pane === 0) this.show(name, ...(right ? [right === name ? (left as BenchView) : right] : []));
    else if (left) this.show(left === name ? (right ?? left) : left, name);
  }

  /** One view, or beside it the one that explains most of it. */
  toggleBeside(): void {
    const [left, right] = this.panes;
    if (!left) return;
    if (right) this.show(left);
    else this.show(left, left === "board" ? "sweep" : "board");
  }

  #readPanes(): void {
    const told = (this.model.get("panes") ?? []) as string[];
    this.panes = VIEWS.filter((name) => told.includes(name)).sort(
      (a, b) => told.indexOf(a) - told.indexOf(b),
    );
    this.changed();
  }

  #readViews(): void {
    const told = (this.model.get("views") ?? {}) as Record<string, unknown>;
    for (const name of VIEWS) {
      const reference = told[name];
      if (typeof reference !== "string" || this.#taken.get(name) === reference) continue;
      this.#taken.set(name, reference);
      void this.#take(name, reference);
    }
  }

  async #take(name: BenchView, reference: string): Promise<void> {
    const manager = this.model.widget_manager as
      | { get_model?: (id: string) => Promise<HostModel> }
      | undefined;
    try {
      if (!manager?.get_model) throw new Error(NO_MODELS);
      const model = await manager.get_model(reference.replace(REFERENCE, ""));
      if (this.#closed || this.#taken.get(name) !== reference) return;
      this.#sessions.get(name)?.close();
      const session = OPEN[name](model, this.timers);
      this.#sessions.set(name, session);
      this.troubles.delete(name);
      session.start();
    } catch (error) {
      this.troubles.set(name, error instanceof Error ? error.message : String(error));
    }
    this.changed();
  }
}
