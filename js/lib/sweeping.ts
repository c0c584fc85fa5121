// A sweep under way: asked for on a session, followed cell by cell, stopped; of two that are asked for the newer one wins.
import type { Grid } from "./arrays";
import type { Partial, Pending, Reply } from "./channel";
import type { Failure, Progress } from "./protocol";
import type { Session } from "./session";
import { type SweepMap, SweepTable, type SweepWish, sameWish } from "./sweep-table";

/** Rows and columns of a map that are to be run again: layers by their number, columns by their place. */
export interface SweepPart {
  layers: number[];
  columns: number[];
}

interface Told {
  data: Record<string, unknown>;
  arrays: Record<string, Grid>;
}

/** Lays what was told of a sweep into a table: the one there is when it is of the same sweep, else a new one. */
export function follow(table: SweepTable | null, { data, arrays }: Told): SweepTable | null {
  const { map, done, total } = data as { map?: SweepMap; done?: number; total?: number };
  let into = table;
  if (map) {
    if (into && into.rev === map.rev && sameWish(into.map, map) && fits(into.map, map)) into.map = map;
    else into = new SweepTable(map);
  } else if (into && done !== undefined && total !== undefined) into.map = { ...into.map, done, total };
  into?.put(arrays);
  return into;
}

const fits = (a: SweepMap, b: SweepMap) =>
  a.layers.length === b.layers.length && a.columns.length === b.columns.length;

export class Sweeping {
  /** What has arrived of the newest sweep: null before its first cells. */
  table: SweepTable | null = null;
  /** Why the newest one ended without all its cells; null while it runs and when it has them. */
  failure: Failure | null = null;
  progress: Progress | null = null;
  #pending: Pending | null = null;
  #wish: SweepWish | null = null;
  /** The revision that the newest one was asked of. */
  #rev = -1;

  constructor(
    private readonly session: Session,
    /** Some of it has arrived, or it has ended. */
    private readonly told: (reply: Reply | null) => void = () => undefined,
  ) {}

  get running(): boolean {
    return this.#pending !== null;
  }

  /** The cells of this sweep of the question as it is now; null where they are of another, or none is here. */
  of(wish: SweepWish): SweepTable | null {
    const { table, session } = this;
    return table && table.rev === session.question?.rev && sameWish(table.map, wish) ? table : null;
  }

  /** Asks for a sweep unless just this one was asked for of this question. */
  want(wish: SweepWish, first: number | null = null): void {
    const rev = this.session.question?.rev ?? -1;
    if (this.#rev === rev && this.#wish && sameWish(this.#wish, wish)) return;
    void this.start(wish, { first });
  }

  /** Asks for a sweep, the column `first` first; with `part` for those cells alone, which are then run again. */
  start(
    wish: SweepWish,
    { first = null, part = null }: { first?: number | null; part?: SweepPart | null } = {},
  ) {
    const { session } = this;
    const { site, edit, base, on_top } = wish;
    const params = { site, edit, base, on_top, first, part };
    this.#wish = wish;
    this.#rev = session.question?.rev ?? -1;
    // Cells that are run again are laid over those there are.
    if (!part || !this.of(wish)) this.table = null;
    this.failure = this.progress = null;
    const onPartial = (partial: Partial) => {
      if (this.#pending !== pending) return;
      this.progress = partial.progress;
      this.#take(partial);
      this.#tell(null);
    };
    const pending: Pending = session.channel.request("sweep.start", params, { slot: "sweep", onPartial });
    this.#pending = pending;
    void pending.reply.then((reply) => {
      if (this.#pending !== pending) return;
      this.#pending = null;
      if (reply.kind === "done") this.#take(reply);
      if (reply.kind === "failed") this.failure = reply;
      this.#tell(reply);
    });
    session.changed();
    return pending;
  }

  /** Stops it; the cells that have arrived stay. */
  cancel(): void {
    this.#pending?.cancel();
  }

  /** Forgets it, so that it is asked for anew. */
  forget(): void {
    this.cancel();
    this.#pending = this.#wish = this.table = this.failure = this.progress = null;
  }

  #take(told: Told): void {
    const { table } = this;
    this.table = follow(table, told);
  }

  #tell(reply: Reply | null): void {
    this.told(reply);
    this.session.changed();
  }
}
