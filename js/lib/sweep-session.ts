// What the patch sweep knows beyond the question: which map is wanted, its cells as they arrive, the cell in focus, the
// rectangle that was brushed, and what one cell does when it is run by itself.
import { Asked } from "./asked";
import type { Partial, Pending } from "./channel";
import { memo } from "./dom";
import type { EditEffect, EditSpec, Params, Run } from "./protocol";
import { RunSession } from "./run-session";
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

/** A cell of the map, by row and column. */
export interface SweepPlace {
  row: number;
  column: number;
}

/** Rows and columns from the first up to and with the last. */
export interface SweepRect {
  rows: readonly [number, number];
  columns: readonly [number, number];
}

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

export const samePlace = (a: SweepPlace | null, b: SweepPlace | null) =>
  a === b || (!!a && !!b && a.row === b.row && a.column === b.column);

/** The rectangle between two cells, whichever came first. */
export function rectOf(a: SweepPlace, b: SweepPlace): SweepRect {
  const ends = (one: number, two: number) => [Math.min(one, two), Math.max(one, two)] as const;
  return { rows: ends(a.row, b.row), columns: ends(a.column, b.column) };
}

export const rectSize = ({ rows, columns }: SweepRect) =>
  (rows[1] - rows[0] + 1) * (columns[1] - columns[0] + 1);

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
  /** What a sweep that was stopped leaves. */
  override readonly leftWords = "The cells that were run stay.";
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
    const { table, rect, hovered, hoverColumn } = this;
    const { layers = [], columns = [] } = table?.map ?? {};
    // The pointer may rest where the new map has a cell too; where it has none the other widgets are told.
    const gone = hovered && (hovered.row >= layers.length || hovered.column >= columns.length);
    if (gone || (hoverColumn ?? -1) >= columns.length) this.hoverAt(null);
    if (
      rect &&
      !(table && rect.rows[1] < table.map.layers.length && rect.columns[1] < table.map.columns.length)
    )
      this.rect = null;
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
    this.tellHover(this.#hoverOf(place, column));
    this.changed();
  }

  #hoverOf(place: SweepPlace | null, column: number | null) {
    const { map } = this.table ?? {};
    const { position, head } = map?.columns[place?.column ?? column ?? -1] ?? {};
    if (!map || (position == null && head == null)) return null;
    const layer = place && map.layers[place.row];
    return {
      ...(layer != null && { layer }),
      ...(position != null && { position }),
      ...(head != null && { head }),
    };
  }

  /** The site of a cell as text, the words of `selection`: "L3.resid_pre@10", "L3H2.z". */
  siteOf({ row, column }: SweepPlace): string {
    const { map } = this.table ?? {};
    const { position, head } = map?.columns[column] ?? {};
    const at = position == null ? "" : `@${position}`;
    return `L${map?.layers[row] ?? 0}${head == null ? "" : `H${head}`}.${map?.site ?? this.site}${at}`;
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
    const there = cell && cell.row < table.map.layers.length && cell.column < table.map.columns.length;
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
    const { rows, columns } = rect;
    const { site, edit, base, on_top } = table.map;
    const part = {
      layers: table.map.layers.slice(rows[0], rows[1] + 1),
      columns: table.map.columns.flatMap((_, at) => (at >= columns[0] && at <= columns[1] ? [at] : [])),
    };
    this.rect = rect;
    const params = () => ({ site, edit, base, on_top, first: null, part });
    const onPartial = (partial: Partial) => this.lay(partial);
    const pending = this.ask(this.op, params, "This part could not be run again", {
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

  /** The edit of a cell, as the board takes it. */
  specOf({ row, column }: SweepPlace): EditSpec | null {
    const { map } = this.table ?? {};
    const { position = null, head = null } = map?.columns[column] ?? {};
    const layer = map?.layers[row];
    if (!map || layer === undefined) return null;
    const positions = position === null ? null : [position];
    const { edit: kind, site } = map;
    return {
      kind,
      site,
      layer,
      head,
      positions,
      source: "other",
      source_positions: null,
      src: null,
      alpha: 1,
    };
  }

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
    const edits = question?.edits;
    return this.#added([table, edits, question?.base], () => {
      const found = new Set<number>();
      if (!table || question?.base !== table.map.base) return found;
      const { map } = table;
      for (const spec of (edits ?? []).map((it) => it.spec)) {
        const row = spec?.site === map.site && spec.kind === map.edit ? map.layers.indexOf(spec.layer) : -1;
        // A patch of the prompt's own activations is another edit.
        if (!spec || row < 0 || (spec.kind === "patch" && spec.source === map.base)) continue;
        for (const position of spec.positions ?? [null]) {
          const column = table.columnOf({ head: spec.head, position });
          if (column >= 0) found.add(table.index(row, column));
        }
      }
      return found;
    });
  }

  /** Adds the edits of these cells to the live ones, in one step. */
  addEdits(places: readonly SweepPlace[]): void {
    const edits = places.flatMap((place) => this.specOf(place) ?? []);
    const base = this.table?.map.base;
    if (edits.length && !this.offReason && !this.question?.arrays)
      this.askChange("edits.add", { edits, base }, "This edit could not be added", "edits");
  }
}

const SITE = /^L(\d+)(?:H(\d+))?\.(\w+)(?:@(\d+))?/;

/** The cell that a site's text names: its own, or at the same place another site's; null where the map has none. */
export function placeOf(table: SweepTable, text: string): SweepPlace | null {
  const match = SITE.exec(text);
  if (!match) return null;
  const [, layer, head, site, position] = match;
  const { layers, site: swept } = table.map;
  const own = layers.indexOf(Number(layer));
  // The stream after a layer is the one before the next.
  const next = layers.indexOf(Number(layer) + 1);
  const row = site === "resid_post" && swept === "resid_pre" && next >= 0 ? next : own;
  const number = (it: string | undefined) => (it === undefined ? null : Number(it));
  const column = table.columnOf({ head: number(head), position: number(position) });
  return row < 0 || column < 0 ? null : { row, column };
}
