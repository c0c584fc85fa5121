// What the patch board knows beyond the question: the picture, what a drag carries, what is picked and carried, the
// cells that are on their way, and the map that answers before a drop does.
import type { Grid } from "./arrays";
import {
  type Board,
  type BoardEntry,
  type Carry,
  GRIDS,
  type GridName,
  nameTokens,
  readBoard,
  type Spec,
} from "./board-cells";
import { BoardDrag } from "./board-drag";
import { BoardRuns } from "./board-runs";
import { headsOf, otherSide, partner, rowOfSite, type Stream, siteOfRow } from "./board-specs";
import type { Pending, Reply } from "./channel";
import type { Carried } from "./pointer-drag";
import type { Params, Question, Run } from "./protocol";
import { RunSession, type Side } from "./run-session";
import type { SweepTable, SweepWish } from "./sweep-table";
import { Sweeping } from "./sweeping";

/** Milliseconds that the effect of a change has for itself. */
const PAUSE = 60;

/** A block of cells of one grid; columns are positions, or heads where heads are carried. */
export interface Picked {
  grid: GridName;
  rows: number[];
  /** Whole rows have all columns: null. */
  columns: number[] | null;
}
/** A cell of a grid. */
export interface Place {
  grid: GridName;
  row: number;
  column: number;
}

const SITE = /^L(\d+)(?:H(\d+))?\.(\w+?)(?:@(\d+))?(?:<\d+)?$/;

export class BoardSession extends RunSession<Board> {
  protected readonly topic = "board";
  protected readonly op = "board.run";
  protected override readonly quiet = new Set([
    "lens.cells",
    "patch.preview",
    "sweep.start",
    "runs.list",
    "runs.effect",
    "code.python",
  ]);
  /** The kind of activation that a drag carries. */
  carry = "residual";
  /** Is row n the stream after layer n, or before it? */
  stream: Stream = "post";
  /** Positions at which heads are carried, of the base; null is all. */
  at: number[] | null = null;
  picked: Picked | null = null;
  hoverPlace: Place | null = null;
  /** The grid whose keyboard or pointer was used last, and the first position that each shows. */
  readonly first: Record<GridName, number> = {
    clean: Number.POSITIVE_INFINITY,
    corrupted: Number.POSITIVE_INFINITY,
    edited: Number.POSITIVE_INFINITY,
  };
  /** Rows that the picture folded and the reader opened. */
  readonly opened = new Set<number>();
  readonly drag = new BoardDrag(this);
  readonly runs = new BoardRuns(this);
  readonly sweeping = new Sweeping(this);
  /** What was done last, until its effect is here to be told. */
  #news: { text: string; rev: number } | null = null;
  #started = false;
  #asked = "";
  #mapping: unknown;
  #fetch: Pending | null = null;
  readonly #refused = new Set<string>();

  get board(): Board | null {
    return this.picture;
  }

  protected override read(value: unknown, buffers: readonly unknown[]): Board {
    return readBoard(value as BoardEntry, buffers);
  }

  protected override get wanted(): Params {
    return {};
  }

  protected override isWanted(): boolean {
    return true;
  }

  protected override renew(): void {
    const { board } = this;
    this.#refused.clear();
    if (this.carrying === null) this.carry = board?.carries.find((it) => !it.reason)?.name ?? this.carry;
    this.#readPicked();
    this.drag.refresh();
    this.runs.refresh();
    this.#settle();
  }

  override start(): void {
    super.start();
    // Nothing is asked for before the line is there.
    this.#started = true;
    this.#settle();
  }

  protected override readQuestion(value: unknown): void {
    super.readQuestion(value);
    this.#settle();
  }

  /** Picture and question come in either order: what is of both waits for the later one. */
  #settle(): void {
    if (!this.#started || !this.board || this.board.rev !== this.question?.rev) return;
    // What a change did is on the screen before kernel and page have its map to do.
    this.timers.clear(this.#mapping);
    if (this.#asked) this.#mapping = this.timers.set(() => this.#sweep(), PAUSE);
    else this.#sweep();
    this.#asked = facts(this.question);
  }

  override close(): void {
    super.close();
    this.timers.clear(this.#mapping);
    for (const it of [this.drag, this.runs]) it.close();
  }

  /** Is the picture of other prompts, or another answer? One that only lacks an edit is not. */
  override get stale(): boolean {
    if (!this.board) return false;
    return this.drafted || this.asking || (this.behind && this.#asked !== facts(this.question));
  }

  /** Is the effect of the list still on its way? */
  get behind(): boolean {
    return !!this.board && this.board.rev < (this.question?.rev ?? 0);
  }

  override ofEdits(run: Run): boolean {
    return run === "edited";
  }

  /** All runs are in view. */
  override flip(): string | null {
    return this.why("no-flip");
  }

  // --- what is carried ----------------------------------------------------------------------------------------------

  /** The kind of activation that a drag carries; null before the picture says which there are. */
  get carrying(): Carry | null {
    return this.board?.carries.find((it) => it.name === this.carry) ?? null;
  }

  /** Do the grids of the two prompts show layers x heads? */
  get ofHeads(): boolean {
    return this.carrying?.axis === "head";
  }

  setCarry(name: string): void {
    const found = this.board?.carries.find((it) => it.name === name);
    if (!found || found.reason || name === this.carry) return;
    this.carry = name;
    this.picked = this.hoverPlace = null;
    this.#sweep();
    this.changed();
  }

  setStream(stream: Stream): void {
    if (stream === this.stream) return;
    this.stream = stream;
    this.#sweep();
    this.changed();
  }

  /** Chooses the positions at which heads are carried; one more or less with `add`. */
  setAt(positions: number[] | null): void {
    this.at = positions?.length ? [...positions].sort((a, b) => a - b) : null;
    this.changed();
  }

  /** The site that the rows of a grid carry, at a layer of the model. */
  siteAt(row: number): [site: string, layer: number] | null {
    const { board, carrying, stream } = this;
    const found = board?.rows[row];
    return found && carrying ? siteOfRow(found, carrying, stream) : null;
  }

  /** How many columns a grid has: positions, or heads where the two prompts' grids show those. */
  columnsOf(grid: GridName): number {
    const { board, carrying } = this;
    if (!board) return 0;
    if (grid !== "edited" && carrying && this.ofHeads) return headsOf(board, carrying.site);
    return board.grids[grid]?.positions ?? 0;
  }

  /** The block of cells as it is carried; null where its rows have no such site. */
  carriedOf({ grid, rows, columns }: Picked, from: number | null = null): Carried | null {
    const { board, carrying } = this;
    if (!board || !carrying || grid === "edited") return null;
    const sites = rows.flatMap((row) => {
      const found = this.siteAt(row);
      return found ? [found] : [];
    });
    const [first] = sites;
    if (!first) return null;
    const layers = sites.map(([, layer]) => layer);
    const block = { site: first[0], layer: first[1], layers, source: grid };
    if (!this.ofHeads) return { ...block, positions: columns, ...(columns && from !== null && { from }) };
    const { at } = this;
    const side: Side = grid;
    const positions = at?.map((it) => partner(board, it, board.base, side)).filter((it) => it >= 0) ?? null;
    const heads = columns ?? [];
    return { ...block, positions, ...(heads.length ? { heads, head: heads[0] ?? null } : { head: null }) };
  }

  /** The run that is edited when something of this grid is carried to where it belongs. */
  sideFor(grid: GridName): Side {
    const { board } = this;
    if (grid === "edited" || !board?.grids.corrupted) return board?.base ?? "clean";
    return otherSide(grid);
  }

  // --- the map ------------------------------------------------------------------------------------------------------

  /** The map of what is carried, onto the base. */
  get sweepWish(): SweepWish {
    const { carrying, stream, question } = this;
    const site = carrying?.name === "residual" ? `resid_${stream}` : (carrying?.site ?? "");
    const on_top = question?.edits.some((edit) => edit.on) ?? false;
    return { site, edit: "patch", base: question?.base ?? "clean", on_top };
  }

  get map(): SweepTable | null {
    return this.sweeping.of(this.sweepWish);
  }

  #sweep(): void {
    const { board, carrying, question } = this;
    if (!board?.grids.corrupted || !carrying || carrying.reason || this.offReason) return;
    if (board.rev !== question?.rev) return;
    const { column = null, grid } = this.hoverPlace ?? {};
    const first = column === null || grid === "edited" ? null : column;
    this.sweeping.want(this.sweepWish, first);
  }

  // --- edits --------------------------------------------------------------------------------------------------------

  /** Adds edits to a base, as one step. */
  add(edits: Spec[], base: Side): void {
    this.askChange("edits.add", { edits, base });
  }

  setAlpha(index: number, alpha: number): void {
    this.askChange("edits.replace", { index, alpha });
  }

  override async askChange(op: string, params: Params): Promise<Reply> {
    const reply = await super.askChange(op, params);
    if (reply.kind !== "done") this.#news = null;
    return reply;
  }

  /** What is to be told together with its effect. */
  tellWithEffect(text: string): void {
    this.#news = { text, rev: this.board?.rev ?? 0 };
  }

  /** What was done, once its effect is here. */
  takeNews(): string {
    const news = this.#news;
    if (!news || this.behind || (this.board?.rev ?? 0) <= news.rev) return "";
    this.#news = null;
    return news.text;
  }

  // --- cells --------------------------------------------------------------------------------------------------------

  tokenLabel(id: number): string {
    return this.board?.tokens.get(id) ?? `#${id}`;
  }

  /** Asks for those cells of a grid on screen that have not arrived; one block at a time. */
  want(grid: GridName, rows: readonly number[], low: number, high: number): void {
    const { board } = this;
    const cells = board?.grids[grid];
    const block = cells?.missing(rows, low, high);
    if (!board || !cells || !block || this.#fetch || this.offReason || this.behind) return;
    const key = JSON.stringify([grid, block]);
    if (this.#refused.has(key)) return;
    const params = { run: grid, measure: "prob", sublayers: false, tuned: false, ...block };
    const take = ({ data, arrays }: { data: Record<string, unknown>; arrays: Record<string, Grid> }) => {
      const { rows, columns, tokens } = data as {
        rows?: number[];
        columns?: [number, number];
        tokens?: Record<string, string>;
      };
      if (this.board !== board || !rows || !columns) return;
      nameTokens(board, tokens);
      cells.put(rows, columns[0], arrays);
      this.changed();
    };
    const pending = this.channel.request("lens.cells", params, { slot: "cells", onPartial: take });
    this.#fetch = pending;
    void pending.reply.then((reply: Reply) => {
      this.#fetch = null;
      if (reply.kind === "done") take(reply);
      // What came without all its cells would be asked for without end.
      if (reply.kind !== "cancelled" && cells.missing(block.rows, ...block.columns)) this.#refused.add(key);
      if (reply.kind === "failed" && reply.error !== "Stale")
        this.fail("lens.cells", reply, () => this.#refused.delete(key));
      this.changed();
    });
  }

  /** Rows with a line of their own. */
  get openRows(): number[] {
    const { shown, rows = [] } = this.board ?? {};
    return [...rows.keys()].filter((at) => shown?.rows.includes(at) || this.opened.has(at));
  }

  openRowsOf(first: number, last: number): void {
    for (let row = first; row <= last; row++) this.opened.add(row);
    this.changed();
  }

  foldRows(): void {
    this.opened.clear();
    this.changed();
  }

  /** A grid shows its positions from this one on; the others follow to the positions that pair with those. */
  showFrom(grid: GridName, position: number): void {
    const { board } = this;
    if (!board) return;
    const sideOf = (it: GridName): Side => (it === "edited" ? board.base : it);
    for (const it of GRIDS) {
      const there = partner(board, position, sideOf(grid), sideOf(it));
      this.first[it] = it === grid || there < 0 ? position : there;
    }
    this.changed();
  }

  // --- selection ----------------------------------------------------------------------------------------------------

  hoverAt(place: Place | null): void {
    const { hoverPlace: old } = this;
    if (old?.grid === place?.grid && old?.row === place?.row && old?.column === place?.column) return;
    this.hoverPlace = place;
    const site = place && this.siteAt(place.row);
    const head = place && place.grid !== "edited" && this.ofHeads;
    const column = place?.column ?? 0;
    const hover = head ? { head: column } : { position: column };
    this.tellHover(place && { ...hover, ...(site && site[1] >= 0 && { layer: site[1] }) });
    this.changed();
  }

  /** Picks a block of cells; null frees it. */
  pick(picked: Picked | null): void {
    this.picked = picked;
    const [row] = picked?.rows ?? [];
    const [column] = picked?.columns ?? [];
    const site = row === undefined ? null : this.siteAt(row);
    if (!picked || !site || column === undefined || picked.rows.length > 1) return this.select([]);
    const [name, layer] = site;
    const heads = this.ofHeads && picked.grid !== "edited";
    const stream = name === "resid_post" && layer < 0 ? "L0.resid_pre" : `L${layer}.${name}`;
    this.select([heads ? `L${layer}H${column}.${name}` : `${stream}@${column}`]);
  }

  protected override applySelection(selection: readonly string[]): void {
    this.selection = selection;
    this.#readPicked();
    super.applySelection(selection);
  }

  /** The cell that the selection names: a head where heads are carried, else one of the stream. */
  #readPicked(): void {
    const { board, picked } = this;
    const match = SITE.exec(this.selection[0] ?? "");
    if (!board) return;
    if (!match) {
      if (!this.selection.length && picked?.rows.length === 1 && picked.columns?.length === 1)
        this.picked = null;
      return;
    }
    const [, layer, head, site = "", position] = match;
    const column = this.ofHeads ? head : position;
    if (column === undefined) return;
    const row = rowOfSite(board, this.ofHeads ? "resid_post" : site, Number(layer));
    const grid = picked?.grid ?? "clean";
    if (row < 0 || Number(column) >= this.columnsOf(grid)) return;
    if (!board.shown.rows.includes(row)) this.opened.add(row);
    this.picked = { grid, rows: [row], columns: [Number(column)] };
  }

  /** The picked cell a layer above or below; says which, or null where there is none. */
  stepLayer(by: number): string | null {
    const { picked, board } = this;
    const row = (picked?.rows[0] ?? -1) + by;
    if (!picked || !board?.rows[row]) return null;
    this.pick({ ...picked, rows: [row] });
    this.opened.add(row);
    return board.rows[row].label;
  }
}

/** What is asked, without the edits. */
function facts(question: Question | null): string {
  const { prompts, answer, distractor, metric, prompt } = question ?? {};
  return JSON.stringify([prompts, answer, distractor, metric, prompt]);
}
