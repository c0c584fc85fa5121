// What is carried over the board, where it would land, and what it would do there: from the finished map at once, and
// after a rest from a run of its own, of which the newest wins.
import type { Grid } from "./arrays";
import {
  arraysOf,
  type Board,
  type BoardEffect,
  GridCells,
  type GridName,
  nameTokens,
  type Spec,
} from "./board-cells";
import type { BoardSession } from "./board-session";
import { isNatural, specsFor, type Target } from "./board-specs";
import type { Pending } from "./channel";
import type { Carried } from "./pointer-drag";
import type { Failure, Params } from "./protocol";
import { ESTIMATE, EXACT, PENDING, SAME, type SweepCell } from "./sweep-table";

/** The pointer rests this long before a run is asked for. */
export const REST_MS = 150;
/** A strength that moves is asked for as often as this. */
const SLIDE_MS = 40;

/** What a run that was tried out came to: of large models the effect comes first. */
interface Preview {
  effect: BoardEffect;
  cells: GridCells | null;
}
interface PreviewData {
  effect: BoardEffect;
  rows?: number[];
  columns?: [number, number];
  tokens?: Record<string, string>;
}

interface Told {
  data: Record<string, unknown>;
  arrays: Record<string, Grid>;
}

/** The effect that is drawn, and what it is of. */
export interface ShownEffect {
  effect: BoardEffect;
  /** A run that is in the list; what a drop would do, run or read off the map; or the map's estimate of it. */
  of: "run" | "preview" | "map" | "estimate";
  /** The tokens are not of it: they are on their way. */
  waiting: boolean;
}

export class BoardDrag {
  carried: Carried | null = null;
  /** Picked up with Enter: a target takes it with Enter. */
  keyboard = false;
  target: (Target & { grid: GridName }) | null = null;
  /** The entry whose strength is being moved. */
  sliding: { index: number; alpha: number } | null = null;
  /** Why what is tried out could not be run. */
  failure: Failure | null = null;
  #preview: Preview | null = null;
  #pending: Pending | null = null;
  #tried = "";
  #timer: unknown = null;

  constructor(private readonly session: BoardSession) {}

  close(): void {
    this.#try(null);
  }

  /** Runs these edits after a rest, unless they are what is tried out; what was tried before is forgotten. */
  #try(params: Params | null, rest = 0): void {
    const { session } = this;
    const tried = params ? JSON.stringify([params, session.question?.rev]) : "";
    if (tried === this.#tried) return;
    this.#tried = tried;
    this.failure = this.#preview = null;
    session.timers.clear(this.#timer);
    // Nobody waits for the older one.
    this.#pending?.cancel();
    this.#pending = null;
    if (params) this.#timer = session.timers.set(() => this.#send(params), rest);
    session.changed();
  }

  #send(params: Params): void {
    const { session } = this;
    const onPartial = (told: Told) => {
      // A part may tell no more than how far the work is.
      if (this.#pending !== pending || !told.data["effect"]) return;
      this.#preview = this.#read(told);
      session.changed();
    };
    const pending: Pending = session.channel.request("patch.preview", params, { slot: "preview", onPartial });
    this.#pending = pending;
    void pending.reply.then((reply) => {
      if (this.#pending !== pending) return;
      this.#pending = null;
      if (reply.kind === "done") this.#preview = this.#read(reply);
      if (reply.kind === "failed") this.failure = reply;
      session.changed();
    });
  }

  start(carried: Carried, keyboard: boolean): void {
    this.carried = carried;
    this.keyboard = keyboard;
    this.target = null;
    this.sliding = null;
    this.#try(null);
  }

  /** It is over a grid, at a position of it; null where nothing takes it. */
  over(grid: GridName | null, position: number | null = null): void {
    const { board } = this.session;
    if (!board || !this.carried) return;
    const before = this.target;
    if (before?.grid === grid && before?.position === position) return;
    this.target = grid && { grid, side: grid === "edited" ? board.base : grid, position };
    const { specs, target } = this;
    const asked = specs.length && !this.session.offReason;
    this.#try(asked ? { edits: specs, base: target?.side, replace: null } : null, REST_MS);
    this.session.changed();
  }

  /** The question is another one: what is tried out is asked for of that. */
  refresh(): void {
    const { specs, target } = this;
    if (specs.length) this.#try({ edits: specs, base: target?.side, replace: null }, REST_MS);
    else if (!this.sliding) this.#try(null);
  }

  /** The edits that letting go would make. */
  get specs(): Spec[] {
    const { carried, target } = this;
    const { board } = this.session;
    return board && carried && target ? specsFor(board, carried, target) : [];
  }

  /** Lets go; the edits are added where there are any. Says whether there were. */
  drop(): boolean {
    const { specs, target } = this;
    const off = this.session.offReason;
    const dropped = specs.length > 0 && target !== null && off === null;
    if (dropped) this.session.add(specs, target.side);
    this.end();
    return dropped;
  }

  end(): void {
    this.carried = this.target = null;
    this.#try(null);
    this.session.changed();
  }

  /** Another strength of an entry of the list, tried out; null ends that. */
  slide(index: number, alpha: number | null): void {
    this.sliding = alpha === null ? null : { index, alpha };
    const { board } = this.session;
    const spec = this.session.question?.edits[index]?.spec;
    const edits = alpha === null || !spec ? null : [{ ...spec, alpha }];
    this.#try(edits && { edits, base: board?.base, replace: index }, SLIDE_MS);
  }

  /** The cell of the finished map that says what the drop would do; null where only a run can tell. */
  get #mapped(): SweepCell | null {
    const { carried, target, specs, session } = this;
    const { board } = session;
    const [spec] = specs;
    if (!board || !carried || !target || !spec || specs.length !== 1) return null;
    const { source, positions, head, site, layer } = spec;
    if (source !== "other" || !isNatural(board, carried, target)) return null;
    const axis = session.carrying?.axis;
    const table = session.sweeping.of({ ...session.sweepWish, base: target.side, site });
    if (!table || table.map.axis !== axis) return null;
    // A map over heads is of all positions, one over positions of one.
    const single = axis === "head" ? positions === null : positions?.length === 1;
    return single ? table.find(layer, { position: positions?.[0] ?? null, head }) : null;
  }

  /** The effect to draw: what would be, while something is tried out, else what is. */
  get shown(): ShownEffect | null {
    const { effect } = this.session.board ?? {};
    if (this.#preview) return { effect: this.#preview.effect, of: "preview", waiting: false };
    const cell = this.#mapped;
    if (effect && cell && cell.state !== PENDING) {
      const { base, before, clean, corrupted } = effect;
      const side = this.target?.side ?? base;
      // The map is of this base; the live run may be of the other.
      const unedited = side === "clean" ? clean : corrupted;
      if (cell.state === EXACT || cell.state === SAME || cell.state === ESTIMATE) {
        const known = Number.isFinite(cell.metric);
        const recovered = Number.isFinite(cell.recovered) ? cell.recovered : null;
        const of = cell.state === ESTIMATE ? "estimate" : "map";
        const now: BoardEffect = {
          ...effect,
          base: side,
          before: side === base ? before : unedited,
          after: known ? cell.metric : null,
          recovered,
          destroyed: side === "clean" && recovered !== null ? 1 - recovered : null,
          stderr: Number.isFinite(cell.stderr) ? cell.stderr : null,
        };
        return { effect: now, of, waiting: true };
      }
    }
    const trying = this.specs.length > 0 || this.sliding !== null;
    return effect ? { effect, of: "run", waiting: trying || this.session.behind } : null;
  }

  /** The cells of the run that is tried out; null while none is. */
  get cells(): GridCells | null {
    return this.#preview?.cells ?? null;
  }

  #read({ data, arrays }: Told): Preview {
    const { effect, rows, columns, tokens } = data as unknown as PreviewData;
    const board = this.session.board as Board;
    if (!arrays.edited_top_ids) return { effect, cells: null };
    const grid = effect.base === board.base ? "edited" : effect.base;
    const cells = new GridCells(board.grids[grid]?.positions ?? 0);
    const [low] = columns ?? board.columns[grid];
    cells.put(rows ?? board.shown.rows, low, arraysOf("edited", arrays));
    nameTokens(board, tokens);
    return { effect, cells };
  }
}
