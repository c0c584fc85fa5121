// What the patch sweep knows beyond the question: which map is wanted, its cells as they arrive, the cell in focus, the
// rectangle that was brushed, and what one cell does when it is run by itself.
import { Asked } from "./asked";
import type { Partial, Pending } from "./channel";
import { memo } from "./dom";
import type { EditEffect, Params, Run } from "./protocol";
import { RunSession } from "./run-session";
import {
  addedTo,
  holds,
  hoverOf,
  partOf,
  placeOf,
  type SweepPlace,
  type SweepRect,
  samePlace,
  siteOf,
  specOf,
} from "./sweep-places";
import {
  ESTIMATE,
  EXACT,
  NONE,
  PENDING,
  readSweep,
  SAME,
  type SweepCell,
  type SweepChoice,
  type SweepEntry,
  type SweepTable,
  type SweepWish,
} from "./sweep-table";
import { type SweepView, shownView, viewReason } from "./sweep-values";
import { follow } from "./sweeping";

interface CellReply {
  layer: number;
  column: number;
  metric: number | null;
  recovered: number | null;
  stderr: number | null;
  effect: EditEffect;
}

/** A pointer that rests this long on a cell asks for its own run. */
const REST_MS = 250;
const NOT_A_RUN = "A sweep is of edited runs.";

export class SweepSession extends RunSession<SweepTable> {
  protected readonly topic = "sweep";
  protected readonly op = "sweep.start";
  protected override readonly quiet = new Set(["sweep.cell"]);
  site = "resid_pre";
  edit: SweepWish["edit"] = "patch";
  onTop = false;
  /** What the numbers are; where they cannot be that, they are the change. */
  view: SweepView = "recovered";
  /** The cell that was clicked. */
  cell: SweepPlace | null = null;
  hovered: SweepPlace | null = null;
  /** The column whose heading is hovered. */
  hoverColumn: number | null = null;
  /** What was brushed last. */
  rect: SweepRect | null = null;
  /** The rectangle is run again. */
  part: Pending | null = null;
  /** One cell by itself: its exact numbers and its effect. */
  readonly alone = new Asked<CellReply>(this, "sweep.cell", (reply) => this.#layAlone(reply.data));
  /** What a sweep that was stopped leaves, and what one that failed is called. */
  override readonly leftWords = "The cells that were run stay.";
  override readonly failedWords = "The map failed";
  override readonly goesOn = true;
  #hoverTimer: unknown = null;
  /** The column that the sweep under way begins with, where it was asked for here. */
  #first: number | null = null;
  /** The job whose cells fill the picture. */
  #job = "";
  readonly #added = memo<ReadonlySet<number>>();

  /** The map: whole, or as far as it has come. */
  get table(): SweepTable | null {
    return this.picture;
  }

  override close(): void {
    super.close();
    this.alone.close();
    this.timers.clear(this.#hoverTimer);
  }

  // --- the map ----------------------------------------------------------------------------------------------------

  protected override read(value: unknown, buffers: readonly unknown[]): SweepTable {
    return readSweep(value as SweepEntry, buffers);
  }

  /** Which sweep is wanted. */
  get choice(): SweepWish {
    const { site, edit, onTop } = this;
    return { site, edit, base: this.question?.base ?? "corrupted", on_top: onTop };
  }

  override get wanted(): Params {
    return { ...this.choice, first: this.firstColumn, part: null };
  }

  protected override isWanted({ map }: SweepTable): boolean {
    return map.site === this.site && map.edit === this.edit && map.on_top === this.onTop;
  }

  protected override adopt({ map }: SweepTable): void {
    this.run = map.run;
    this.site = map.site;
    this.edit = map.edit;
    this.onTop = map.on_top;
  }

  protected override renew(): void {
    const { map } = this.table ?? {};
    const { rect, hovered, hoverColumn } = this;
    const has = (place: SweepPlace) => !!map && holds(map, place);
    // The pointer may rest where the new map has a cell too; where it has none the other widgets are told.
    if (!has(hovered ?? { row: 0, column: hoverColumn ?? -1 })) this.hoverAt(null);
    if (rect && !has({ row: rect.rows[1], column: rect.columns[1] })) this.rect = null;
    this.#readCell();
  }

  /** The column that a sweep should begin with: the one under the pointer, or of the cell that was clicked. */
  get firstColumn(): number | null {
    return this.hovered?.column ?? this.hoverColumn ?? this.cell?.column ?? null;
  }

  /** What has arrived of a sweep is the picture. */
  protected override lay(partial: Partial): void {
    const { id, data } = partial;
    const { map } = data as { map?: SweepTable["map"] };
    if (map && map.rev < (this.question?.rev ?? 0)) return;
    if (map && id !== this.#job) {
      this.#job = id;
      if (id.startsWith("k-")) this.#first = null;
    }
    // Of two that run at a time the one that began last fills the picture.
    if (id !== this.#job) return;
    const before = this.picture;
    const laid = follow(before, partial);
    this.picture = laid;
    if (laid && laid !== before) {
      this.adopt(laid);
      this.renew();
    }
    this.changed();
  }

  /** Sweeps once more. */
  override rerun(): void {
    if (!this.offReason && !this.question?.arrays) this.wish();
  }

  /** A sweep under way takes the column first on which the pointer rests: it goes on where it was left. */
  #takeFirst(): void {
    const { table, firstColumn, work, part } = this;
    if (!table || !work || part || firstColumn === null || firstColumn === this.#first || this.stale) return;
    const open = (column: number) =>
      table.map.layers.some((_, row) => table.cell(row, column).state <= ESTIMATE);
    if (!open(firstColumn)) return;
    this.#first = firstColumn;
    this.wish();
  }

  /** Of the cells that are to be run, the share that was; 1 of a map that has none. */
  get exactShare(): number {
    const { table } = this;
    if (!table) return 0;
    const [exact, open] = [table.count(EXACT), table.count(ESTIMATE) + table.count(PENDING)];
    return exact + open ? exact / (exact + open) : 1;
  }

  /** Was it stopped before all cells were run? One that failed is tried again instead. */
  get stopped(): boolean {
    const { trouble, status, question, work } = this;
    const error = status?.state === "failed" ? status.error?.error : undefined;
    const failed = trouble?.title === this.failedWords || (error !== undefined && error !== "Cancelled");
    return !work && !failed && !question?.arrays && this.exactShare < 1;
  }

  // --- choices ----------------------------------------------------------------------------------------------------

  override runReason(run: Run): string | null {
    return run === "edited" ? null : NOT_A_RUN;
  }

  /** Why a site, or a kind of edit, cannot be swept; null when it can. */
  choiceReason({ name, reason }: SweepChoice): string | null {
    if (reason) return reason;
    return name === this.site || name === this.edit ? null : this.offReason;
  }

  setSite(site: string): void {
    if (site !== this.site) this.#choose({ site });
  }

  setEdit(edit: SweepWish["edit"]): void {
    if (edit !== this.edit) this.#choose({ edit });
  }

  /** Why cells cannot come on top of the live edits. */
  get onTopReason(): string | null {
    const { question } = this;
    if (question?.arrays) return this.why("no-model");
    if (!this.onTop && !question?.edits.some((edit) => edit.on)) return "No edit is switched on.";
    return this.offReason;
  }

  setOnTop(onTop: boolean): void {
    if (onTop !== this.onTop && !this.onTopReason) this.#choose({ onTop });
  }

  #choose(choice: { site?: string; edit?: SweepWish["edit"]; onTop?: boolean }): void {
    if (this.offReason || this.question?.arrays) return;
    Object.assign(this, choice);
    this.rect = null;
    this.wish();
  }

  setView(view: SweepView): void {
    if (this.table && !viewReason(this.table, view)) {
      this.view = view;
      this.changed();
    }
  }

  /** What the numbers are now. */
  get shownView(): SweepView {
    return this.table ? shownView(this.table, this.view) : this.view;
  }

  // --- cells ------------------------------------------------------------------------------------------------------

  /** The cell that the card describes: the hovered one, here or in another widget, or the clicked one. */
  get focusCell(): SweepPlace | null {
    return this.hovered ?? this.linkedCell ?? this.cell;
  }

  /** The cell that is hovered in another widget. */
  get linkedCell(): SweepPlace | null {
    const { table, linkedHover } = this;
    if (!table || linkedHover?.layer === undefined) return null;
    const row = table.map.layers.indexOf(linkedHover.layer);
    const column = table.columnOf(linkedHover);
    return row < 0 || column < 0 ? null : { row, column };
  }

  cellAt({ row, column }: SweepPlace): SweepCell | null {
    return this.table?.cell(row, column) ?? null;
  }

  hoverAt(place: SweepPlace | null, column: number | null = null): void {
    if (samePlace(place, this.hovered) && column === this.hoverColumn) return;
    this.hovered = place;
    this.hoverColumn = column;
    this.timers.clear(this.#hoverTimer);
    this.#hoverTimer = this.timers.set(() => this.#takeFirst(), REST_MS);
    this.tellHover(this.table && hoverOf(this.table.map, place, column));
    this.changed();
  }

  siteOf(place: SweepPlace): string {
    return this.table ? siteOf(this.table.map, place) : "";
  }

  /** Selects a cell. */
  goTo(place: SweepPlace): void {
    this.cell = place;
    this.select([this.siteOf(place)]);
  }

  /** Selects a cell; the selected one is freed. */
  pickCell(place: SweepPlace): void {
    if (samePlace(place, this.cell)) this.clearSelection();
    else this.goTo(place);
  }

  clearSelection(): void {
    this.cell = this.hovered = this.rect = null;
    this.select([]);
  }

  setRect(rect: SweepRect | null): void {
    this.rect = rect;
    this.changed();
  }

  protected override applySelection(selection: readonly string[]): void {
    this.selection = selection;
    this.#readCell();
    super.applySelection(selection);
  }

  #readCell(): void {
    const { table, selection, cell } = this;
    if (!table) return;
    const named = selection.map((text) => placeOf(table, text)).find((it) => it !== null);
    const there = cell && holds(table.map, cell);
    this.cell = named ?? (selection.length && there ? cell : null);
  }

  // --- runs of its own --------------------------------------------------------------------------------------------

  /** Asks for the run of the cell in focus, once the pointer rests; nothing while the map is of another question. */
  watchFocus(): void {
    const { table, focusCell: place, question } = this;
    const state = place && table?.cell(place.row, place.column).state;
    const known = state === null || state === undefined || state === SAME || state === NONE;
    if (!table || !place || known || question?.arrays) return this.alone.ask(null);
    if (this.stale || table.rev !== question?.rev || !this.channel.usable) return;
    const { site, edit, base, on_top } = table.map;
    const params = { site, edit, base, on_top, layer: table.map.layers[place.row], column: place.column };
    this.alone.ask(params, REST_MS);
  }

  /** What the cell in focus does to the answer, where its own run is here. */
  get effect(): EditEffect | null {
    const { alone, table, focusCell: place } = this;
    const { answer, running } = alone;
    const of = answer && !running && place && table;
    if (!of || answer.layer !== table.map.layers[place.row] || answer.column !== place.column) return null;
    return answer.effect;
  }

  #layAlone(data: Record<string, unknown>): CellReply {
    const reply = data as unknown as CellReply;
    const { table } = this;
    const { layer, column, metric, recovered, stderr } = reply;
    const number = (value: number | null) => value ?? Number.NaN;
    table?.set(table.map.layers.indexOf(layer), column, {
      metric: number(metric),
      recovered: number(recovered),
      stderr: number(stderr),
      state: EXACT,
    });
    return reply;
  }

  /** Why a part cannot be run again, or null when it can. */
  get partReason(): string | null {
    if (this.question?.arrays) return this.why("no-model");
    return this.offReason;
  }

  /** Runs a rectangle of cells again. */
  runPart(rect: SweepRect): void {
    const { table } = this;
    if (!table || this.partReason) return;
    const { site, edit, base, on_top } = table.map;
    const part = partOf(table.map, rect);
    this.rect = rect;
    const params = () => ({ site, edit, base, on_top, first: null, part });
    const onPartial = (partial: Partial) => this.lay(partial);
    const pending = this.ask(this.op, params, {
      slot: this.topic,
      onPartial,
    });
    this.part = pending;
    void pending.reply.finally(() => {
      if (this.part === pending) this.part = null;
      this.changed();
    });
    this.changed();
  }

  // --- edits ------------------------------------------------------------------------------------------------------

  /** Why the edit of a cell cannot be added; null when it can. */
  addReason(place: SweepPlace): string | null {
    if (this.question?.arrays) return this.why("no-model");
    if (this.offReason) return this.offReason;
    if (this.cellAt(place)?.state === NONE) return "There is no such cell in this model.";
    return this.isAdded(place) ? "This edit is on the patch board already." : null;
  }

  /** Is the edit of a cell among the live ones? */
  isAdded({ row, column }: SweepPlace): boolean {
    return this.table !== null && this.added.has(this.table.index(row, column));
  }

  /** Numbers of the cells whose edit is among the live ones. */
  get added(): ReadonlySet<number> {
    const { table, question } = this;
    return this.#added([table, question?.edits, question?.base], () => addedTo(table, question));
  }

  /** Adds the edits of these cells to the live ones, in one step. */
  addEdits(places: readonly SweepPlace[]): void {
    const { map } = this.table ?? {};
    const edits = places.flatMap((place) => (map && specOf(map, place)) ?? []);
    const base = map?.base;
    if (edits.length && !this.offReason && !this.question?.arrays)
      this.askChange("edits.add", { edits, base });
  }
}
