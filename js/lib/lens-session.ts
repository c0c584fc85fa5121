// What the logit lens knows beyond the question: the picture and what it shows of each cell, the cell in focus, the rows
// that were opened, and the cells that are still on their way.
import type { Pending, Reply } from "./channel";
import { LensCard } from "./lens-card";
import {
  cellSite,
  type Lens,
  type LensCell,
  type LensEntry,
  nameTokens,
  parseCell,
  readLens,
  rowOf,
  sameCell,
} from "./lens-cells";
import type { Params } from "./protocol";
import { RunSession } from "./run-session";

/** A block of cells that was asked for. */
interface Fetch {
  lens: Lens;
  rows: ReadonlySet<number>;
  columns: readonly [low: number, high: number];
  pending: Pending;
}

export class LensSession extends RunSession<Lens> {
  protected readonly topic = "lens";
  protected readonly op = "lens.run";
  protected override readonly quiet = new Set(["lens.card", "lens.cells", "lens.track", "lens.find"]);
  measure = "prob";
  /** Are resid_mid and the contributions of attention and MLP among the rows? */
  sublayers = false;
  /** Do tuned-lens translators come before the final norm? */
  tuned = false;
  /** The cell that was clicked. */
  cell: LensCell | null = null;
  hoverCell: LensCell | null = null;
  /** The position whose heading is hovered. */
  hoverColumn: number | null = null;
  /** Labels of rows that the picture folded and the reader opened. */
  readonly opened = new Set<string>();
  /** The card of a cell, pinned tokens, attribution. */
  readonly card = new LensCard(this);
  #fetch: Fetch | null = null;
  /** The block whose cells could not be had: it is not asked for again by itself. */
  #refused = "";

  /** The picture: the last whole one. */
  get lens(): Lens | null {
    return this.picture;
  }

  protected override read(value: unknown, buffers: readonly unknown[]): Lens {
    return readLens(value as LensEntry, buffers);
  }

  /** What tells one picture of a question from another; the ops of its cells are asked with it. */
  override get wanted(): Params {
    const { run, measure, sublayers, tuned } = this;
    return { run, measure, sublayers, tuned };
  }

  protected override isWanted(lens: Lens): boolean {
    const same = lens.run === this.run && lens.measure === this.measure && lens.tuned === this.tuned;
    return same && lens.sublayers === this.sublayers;
  }

  protected override adopt(lens: Lens): void {
    this.run = lens.run;
    this.measure = lens.measure;
    this.tuned = lens.tuned;
    this.sublayers = lens.sublayers;
  }

  protected override renew(): void {
    this.#refused = "";
    this.hoverCell = null;
    // Numbers of rows change with the rows; the selection names sites.
    this.#readCell();
  }

  override close(): void {
    super.close();
    this.card.close();
  }

  // --- what is shown ----------------------------------------------------------------------------------------------

  /** Why a measure cannot colour the cells, or null when it can. */
  measureReason(name: string): string | null {
    const facts = this.lens?.measures.find((it) => it.name === name);
    return facts?.reason ?? (name === this.measure ? null : this.offReason);
  }

  setMeasure(measure: string): void {
    if (measure !== this.measure && this.measureReason(measure) === null) this.#show({ measure });
  }

  setSublayers(sublayers: boolean): void {
    if (sublayers !== this.sublayers && !this.offReason) this.#show({ sublayers });
  }

  /** Were translators given, so that there is a tuned lens to switch on? */
  get translated(): boolean {
    return this.tuned || this.lens?.translators !== undefined;
  }

  /** Why translators cannot be switched on, or null when they can. */
  get tunedReason(): string | null {
    return this.lens?.translators ?? this.offReason;
  }

  setTuned(tuned: boolean): void {
    if (tuned !== this.tuned && this.tunedReason === null) this.#show({ tuned });
  }

  #show(choice: { measure?: string; sublayers?: boolean; tuned?: boolean }): void {
    Object.assign(this, choice);
    this.wish();
  }

  // --- cells ------------------------------------------------------------------------------------------------------

  /** The label of a token that a cell names. */
  tokenLabel(id: number): string {
    return this.lens?.tokens.get(id) ?? `#${id}`;
  }

  /** Why cells that have not arrived cannot be had now; null when they can, or are here. */
  lacking(rows: readonly number[], low: number, high: number): string | null {
    return this.lens?.cells.missing(rows, low, high) ? this.offReason : null;
  }

  /** Asks for those cells on screen that have not arrived; one block at a time, and what left the screen gives way. */
  want(rows: readonly number[], low: number, high: number): void {
    const { lens } = this;
    const block = lens?.cells.missing(rows, low, high);
    if (!lens || !block || this.offReason) return;
    if (!this.isWanted(lens) || lens.rev !== this.question?.rev) return;
    if (JSON.stringify(block) === this.#refused) return;
    const under = this.#fetch;
    if (under?.lens === lens) {
      const [first, end] = under.columns;
      const [from, to] = block.columns;
      // What is under way brings some of it: the rest is asked for when that is here.
      if (from < end && first < to && block.rows.some((row) => under.rows.has(row))) return;
    }
    const take = ({
      data,
      arrays,
    }: {
      data: Record<string, unknown>;
      arrays: Extract<Reply, { kind: "done" }>["arrays"];
    }) => {
      const { rows, columns, tokens } = data as unknown as {
        rows?: number[];
        columns?: [number, number];
        tokens?: Record<string, string>;
      };
      if (this.lens !== lens || !rows || !columns) return;
      nameTokens(lens, tokens);
      lens.cells.put(rows, columns[0], arrays);
      this.changed();
    };
    const params = { ...this.wanted, ...block };
    const pending = this.channel.request("lens.cells", params, { slot: "cells", onPartial: take });
    const fetch = { lens, rows: new Set(block.rows), columns: block.columns, pending };
    this.#fetch = fetch;
    void pending.reply.then((reply) => {
      if (this.#fetch === fetch) this.#fetch = null;
      if (reply.kind === "done") take(reply);
      if (reply.kind === "failed" && reply.error !== "Stale" && this.lens === lens) {
        this.#refused = JSON.stringify(block);
        this.fail("lens.cells", reply, () => {
          this.#refused = "";
        });
      }
      // A block that came without all its cells would be asked for without end.
      if (reply.kind === "done" && lens.cells.missing(block.rows, ...block.columns))
        this.#refused = JSON.stringify(lens.cells.missing(block.rows, ...block.columns));
      this.changed();
    });
  }

  // --- folded rows ------------------------------------------------------------------------------------------------

  /** Rows with a line of their own, in order: those that the picture opened with and those opened since. */
  get openRows(): number[] {
    const { lens } = this;
    if (!lens) return [];
    const open = new Set(lens.shown.rows);
    for (const [at, { label }] of lens.rows.entries()) if (this.opened.has(label)) open.add(at);
    return [...open].sort((a, b) => a - b);
  }

  openRowsOf(first: number, last: number): void {
    for (const { label } of this.lens?.rows.slice(first, last + 1) ?? []) this.opened.add(label);
    this.changed();
  }

  foldRows(): void {
    this.opened.clear();
    this.changed();
  }

  // --- the cell in focus ------------------------------------------------------------------------------------------

  /** The cell that the card describes: the hovered one, here or in another widget, the clicked one, or the answer's. */
  get focusCell(): LensCell | null {
    const { lens, hoverCell, linkedHover, cell } = this;
    if (!lens) return null;
    const { layer, position } = linkedHover ?? {};
    const linked =
      layer !== undefined && position !== undefined
        ? parseCell(lens, `L${layer}.resid_post@${position}`)
        : null;
    return hoverCell ?? linked ?? this.pickedCell ?? cell;
  }

  /** Where the answer of the run in view is read; the end where nobody says. */
  get answerPosition(): number {
    return this.lens?.answer?.position ?? this.question?.answer_position ?? Number.POSITIVE_INFINITY;
  }

  /** The clicked cell, or the last row at the answer position. */
  get pickedCell(): LensCell | null {
    const { lens, cell } = this;
    if (!lens || cell) return cell;
    const position = Math.min(this.answerPosition, lens.positions - 1);
    return position < 0 ? null : { row: lens.rows.length - 1, position };
  }

  hoverAt(cell: LensCell | null): void {
    if (sameCell(cell, this.hoverCell) && this.hoverColumn === null) return;
    this.hoverCell = cell;
    this.hoverColumn = null;
    this.#tellHover(cell);
    this.changed();
  }

  /** Only the position, over its heading. */
  hoverPosition(position: number): void {
    if (position === this.hoverColumn) return;
    this.hoverCell = null;
    this.hoverColumn = position;
    this.tellHover({ position });
    this.changed();
  }

  /** The row of the stream after a layer; -1 where there is none. */
  streamRow(layer: number): number {
    return this.lens ? rowOf(this.lens, "resid_post", layer) : -1;
  }

  #tellHover(cell: LensCell | null): void {
    const row = cell && this.lens?.rows[cell.row];
    if (!cell || !row) return this.tellHover(null);
    const { position } = cell;
    // The input is the stream before the first layer, not of it.
    this.tellHover(row.site === "resid_pre" ? { position } : { layer: row.layer, position });
  }

  /** Selects a cell; the selected one is freed. */
  pickCell(cell: LensCell): void {
    if (sameCell(cell, this.cell)) this.clearSelection();
    else this.goTo(cell);
  }

  /** Selects a cell, and opens its row where that is folded. */
  goTo(cell: LensCell): void {
    const { lens } = this;
    const row = lens?.rows[cell.row];
    if (!lens || !row) return;
    this.cell = cell;
    if (!lens.shown.rows.includes(cell.row)) this.opened.add(row.label);
    this.select([cellSite(lens, cell)]);
  }

  clearSelection(): void {
    this.cell = null;
    this.hoverCell = null;
    this.select([]);
  }

  /** Selects the same place a layer above or below; says whether there is one. */
  stepLayer(by: number): boolean {
    const { lens, pickedCell } = this;
    const from = pickedCell && lens?.rows[pickedCell.row];
    if (!lens || !from) return false;
    const stream = (site: string) => (site === "resid_pre" ? "resid_post" : site);
    const alike = [...lens.rows.keys()].filter(
      (at) => stream(lens.rows[at]?.site ?? "") === stream(from.site),
    );
    const row = alike[alike.indexOf(pickedCell.row) + by];
    if (row === undefined) return false;
    this.goTo({ row, position: pickedCell.position });
    return true;
  }

  protected override applySelection(selection: readonly string[]): void {
    this.selection = selection;
    this.#readCell();
    const { lens, cell } = this;
    const row = cell && lens?.rows[cell.row];
    if (row && !lens?.shown.rows.includes(cell.row)) this.opened.add(row.label);
    super.applySelection(selection);
  }

  /** The cell that the selection names; sites of no position leave it as it is. */
  #readCell(): void {
    const { lens, selection } = this;
    if (!lens) return;
    const named = selection.map((text) => parseCell(lens, text)).find((it) => it !== null);
    const { cell } = this;
    const there = cell && cell.row < lens.rows.length && cell.position < lens.positions;
    this.cell = named ?? (selection.length && there ? cell : null);
  }
}
