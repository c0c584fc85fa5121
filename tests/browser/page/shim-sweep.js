// The scripted kernel of the patch sweep: what each cell of a map does is a known function of site, layer and column, so
// that a test can say what every cell should show.
import { CORRUPTED, mount as mountWidget, ScriptedKernel, status } from "./shim.js";
import { editsOf } from "./shim-edits.js";

const range = (n) => Array.from({ length: n }, (_, i) => i);
const SITES = ["resid_pre", "resid_mid", "resid_post", "attn_out", "mlp_out", "z", "q", "k", "v", "pattern"];
const OF_HEADS = new Set(["z", "q", "k", "v", "pattern"]);
const PENDING = 0;
const ESTIMATE = 1;
const EXACT = 2;
const SAME = 3;
const NONE = 4;

export class SweepKernel extends ScriptedKernel {
  constructor(options = {}) {
    super({ corrupted: options.alone ? null : CORRUPTED, ...options });
    this.counts = { question: 1, sweep: 1 };
    this.choice = { site: "resid_pre", edit: "patch", on_top: false, ...options.choice };
    /** State of each cell of the map that is shown. */
    this.states = null;
    this.edited = [];
  }

  connect() {
    const model = super.connect();
    delete model.state.atlas;
    this.states = this.finished();
    model.state.sweep = this.options.empty || this.options.noSweep ? {} : this.sweep();
    return model;
  }

  atlas() {
    return {};
  }

  get axis() {
    return OF_HEADS.has(this.choice.site) ? "head" : "position";
  }

  get layers() {
    return range(this.options.layers);
  }

  get other() {
    return this.base === "clean" ? "corrupted" : "clean";
  }

  /** Heads; of k and v the key-value heads, with those that they serve. */
  headColumns() {
    const { heads, kvHeads } = this.options;
    const shared = ["k", "v"].includes(this.choice.site) && kvHeads < heads;
    const each = heads / kvHeads;
    const label = (head) => (shared ? `kv${head} (H${head * each}-H${head * each + each - 1})` : `H${head}`);
    return range(shared ? kvHeads : heads).map((head) => ({
      position: null,
      head,
      label: label(head),
      other: "",
    }));
  }

  columns() {
    if (this.axis === "head") return this.headColumns();
    const here = (this.prompts[this.base] ?? this.prompts.clean).labels;
    const there = this.choice.edit === "patch" ? (this.prompts[this.other]?.labels ?? here) : here;
    return here.map((label, position) => {
      const other = there[position] ?? "";
      return { position, head: null, label, other: other === label ? "" : other };
    });
  }

  /** What a cell does, as the share that is recovered: by hand here, so that tests need no model. */
  recovered(row, column) {
    return this.share(row, column) * (this.options.times ?? 1);
  }

  share(row, column, { site, edit } = this.choice) {
    if (this.options.nan?.(row, column)) return Number.NaN;
    const width = this.columns().length;
    const { layers } = this.options;
    const depth = (row + 1) / layers;
    const wave = 0.12 * Math.sin(row * 3.1 + column * 1.7 + site.length + edit.length);
    if (this.axis === "head") return wave * 2 + (row === 1 && column === 1 ? 0.62 : 0);
    const subject = this.columns().findIndex((it) => it.other);
    if (column === subject) return wave + (depth <= 0.5 ? 0.95 : 0.05);
    if (column === subject + 1 && row === 1) return -0.35;
    return wave / 4 + (column === width - 1 && depth > 0.5 ? 0.6 + 0.37 * depth : 0);
  }

  baselines() {
    return this.options.baselines ?? { clean: 4.71, corrupted: this.prompts.corrupted ? -4.62 : null };
  }

  metricOf(row, column) {
    const { clean, corrupted } = this.baselines();
    const low = corrupted ?? -4.62;
    const share = this.recovered(row, column);
    return low + (this.base === "clean" ? 1 - share : share) * (clean - low);
  }

  /** The cell as the page should know it. */
  cell(row, column) {
    const metric = this.metricOf(row, column);
    const { clean, corrupted } = this.baselines();
    const share = corrupted === null ? Number.NaN : (metric - corrupted) / (clean - corrupted);
    const guess = this.stateOf(row, column) === ESTIMATE ? 1.1 : 1;
    const many = (this.options.more?.length ?? 0) > 0;
    return { metric: metric * guess, recovered: share * guess, stderr: many ? 0.04 : Number.NaN };
  }

  stateOf(row, column) {
    return this.states[row * this.columns().length + column];
  }

  /** The state of every cell of a finished map: before the first token that differs nothing can. */
  finished(open = EXACT) {
    const columns = this.columns();
    const first = columns.findIndex((it) => it.other);
    const patched = this.choice.edit === "patch" && this.axis === "position" && !this.choice.on_top;
    return this.layers.flatMap((layer) =>
      columns.map((_, at) => {
        if (this.options.missing?.[layer]) return NONE;
        return patched && first >= 0 && at < first ? SAME : open;
      }),
    );
  }

  map(facts = {}) {
    const open = this.states.filter((it) => it <= EXACT).length;
    const done = this.states.filter((it) => it === EXACT).length;
    const why = (name) => this.options.lacks?.[name] ?? null;
    const alone = this.prompts.corrupted === null && !this.options.result;
    return {
      rev: this.rev,
      run: "edited",
      ...this.choice,
      base: this.base,
      axis: this.axis,
      layers: this.layers,
      columns: this.columns(),
      metric: "logit_diff",
      label: "logit difference",
      baselines: this.baselines(),
      n_prompts: 1 + (this.options.more?.length ?? 0),
      noise_floor: 1e-5,
      done,
      total: open,
      complete: done === open,
      cancelled: false,
      from_table: false,
      sites: SITES.map((name) => ({ name, label: name, reason: why(name) })),
      edits_allowed: ["patch", "zero", "mean"].map((name) => ({
        name,
        label: name,
        reason: name === "patch" && alone ? "This needs a second prompt." : null,
      })),
      missing: this.options.missing ?? {},
      provenance: {
        model: "tiny-names",
        dtype: "float32",
        device: "cpu",
        kernel: "eager",
        forward_ms: null,
        notes: this.options.notes ?? [],
      },
      notes: [],
      ...facts,
    };
  }

  /** Arrays of these cells (all of them without a list). */
  arrays(list = null) {
    const width = this.columns().length;
    const cells = list ?? range(this.layers.length * width);
    const found = cells.map((at) => this.cell(Math.floor(at / width), at % width));
    const shape = list ? [cells.length] : [this.layers.length, width];
    const entry = (dtype, data) => ({ dtype, shape, layout: "full", data: new DataView(data.buffer) });
    return {
      ...(list && { at: entry("i32", Int32Array.from(cells)) }),
      metric: entry("f32", Float32Array.from(found.map((it) => it.metric))),
      recovered: entry("f32", Float32Array.from(found.map((it) => it.recovered))),
      stderr: entry("f32", Float32Array.from(found.map((it) => it.stderr))),
      state: entry("u8", Uint8Array.from(cells.map((at) => this.states[at]))),
    };
  }

  sweep(facts = {}) {
    const arrays = this.arrays();
    if (this.options.dropBuffers) for (const entry of Object.values(arrays)) delete entry.data;
    return { ...this.map(facts), arrays };
  }

  publish(facts) {
    this.counts.sweep++;
    this.model.update({ revs: { ...this.counts }, sweep: this.sweep(facts) });
  }

  receive(message) {
    const { kind, id, op, params } = message;
    const off = kind !== "request" || this.mode.silent || this.mode.holdAll || this.mode.fail[op];
    if (off || op !== "edits.add") super.receive(message);
    if (off) return;
    if (op === "sweep.start") this.start(id, params);
    else if (op === "sweep.cell") this.sendCell(id, params);
    else if (op === "edits.add") this.addEdits(id, params);
  }

  // --- a sweep, at once or step by step ---

  start(id, { site, edit, base, on_top, first, part }) {
    this.running = { id, seq: 0 };
    this.asked = { site, edit, base, on_top, first, part };
    if (!part) {
      this.choice = { site, edit, on_top };
      this.states = this.finished(PENDING);
    }
    this.begin();
    if (!this.mode.holdSweep) this.finish();
  }

  /** The kernel's own sweep, after a change of the question. */
  startJob() {
    const job = `k-${++this.job}`;
    this.running = { id: job, seq: 0 };
    this.asked = { part: null };
    this.states = this.finished(PENDING);
    this.model.update({ status: { ...status("running"), op: "sweep.start", job } });
    this.begin();
    if (!this.mode.holdSweep) this.finish();
  }

  finishJob() {
    this.startJob();
  }

  /** The question becomes another one, and is swept anew. */
  ask(change = {}) {
    Object.assign(this, change);
    this.rev++;
    this.counts.question++;
    this.model.update({ revs: { ...this.counts }, question: this.question() });
    this.startJob();
  }

  tell(data, arrays = {}, progress = null) {
    const buffers = [];
    const entries = Object.fromEntries(
      Object.entries(arrays).map(([name, { data: bytes, ...entry }]) => [
        name,
        { ...entry, buffer: buffers.push(bytes) - 1 },
      ]),
    );
    const { id } = this.running;
    this.say({ kind: "partial", id, seq: this.running.seq++, progress, data, arrays: entries }, buffers);
  }

  begin() {
    this.tell({ map: this.map() });
    // What needs no run is known at once.
    const known = range(this.states.length).filter((at) => this.states[at] > EXACT);
    this.tell({ done: 0, total: this.open().length }, this.arrays(known));
  }

  /** Numbers of the cells that are to be run, those of the newest column first. */
  open() {
    const width = this.columns().length;
    const { part } = this.asked;
    const inPart = (at) =>
      !part || (part.layers.includes(Math.floor(at / width)) && part.columns.includes(at % width));
    return range(this.states.length)
      .filter((at) => this.states[at] <= EXACT && inPart(at))
      .sort((a, b) => (b % width) - (a % width) || a - b);
  }

  estimates() {
    const cells = this.open().filter((at) => this.states[at] === PENDING);
    for (const at of cells) this.states[at] = ESTIMATE;
    this.tell({ done: 0, total: this.open().length }, this.arrays(cells));
  }

  /** Runs the next so many cells. */
  step(count) {
    const cells = this.open();
    const rest = cells.filter((at) => this.states[at] !== EXACT).slice(0, count);
    for (const at of rest) this.states[at] = EXACT;
    const done = cells.filter((at) => this.states[at] === EXACT).length;
    const progress = { done, total: cells.length, seconds_left: 0.4 };
    this.tell({ done, total: cells.length }, this.arrays(rest), progress);
  }

  finish(facts = {}) {
    for (const at of this.open()) if (!facts.cancelled) this.states[at] = EXACT;
    const { id } = this.running;
    this.running = null;
    this.publish(facts);
    if (id.startsWith("k-")) this.model.update({ status: status("idle") });
    else this.done(id, { map: this.map(facts) });
  }

  cancel(id) {
    if (this.running?.id !== id) return super.cancel(id);
    this.mode.cancelled = id;
    this.publish({ cancelled: true });
    this.running = null;
    if (id.startsWith("k-")) this.model.update({ status: status("idle") });
    else this.say({ kind: "cancelled", id, reason: "user" });
  }

  // --- one cell, and edits ---

  sendCell(id, { layer, column }) {
    if (this.mode.holdCell) return;
    const width = this.columns().length;
    if (this.states[layer * width + column] === ESTIMATE) this.states[layer * width + column] = EXACT;
    const { metric, recovered, stderr } = this.cell(layer, column);
    const finite = (value) => (Number.isFinite(value) ? value : null);
    const { clean, corrupted } = this.baselines();
    const share = finite(recovered);
    const effect = {
      metric: "logit_diff",
      label: "logit difference",
      clean,
      corrupted,
      base: this.base,
      before: this.base === "clean" ? clean : corrupted,
      after: finite(metric),
      recovered: share,
      destroyed: this.base === "clean" && share !== null ? 1 - share : null,
      stderr: finite(stderr),
      n_prompts: 1,
      noise_floor: 1e-5,
      tokens: [
        { id: 1, label: "␣Mary", before: 0.02, after: 0.9, before_rank: 3, after_rank: 0 },
        { id: 2, label: "␣John", before: 0.93, after: 0.04, before_rank: 0, after_rank: 1 },
        { id: 3, label: "␣store", before: 0.01, after: 0.01, before_rank: 2, after_rank: 2 },
      ],
      note: "",
      provenance: {},
    };
    const cell = { metric: finite(metric), recovered: share, stderr: finite(stderr) };
    this.done(id, { layer, column, ...cell, exact: true, effect });
  }

  addEdits(id, { edits, base, base_rev }) {
    if (base_rev !== this.rev) {
      const words = { message: "The question has changed meanwhile.", hint: "Look again.", retryable: true };
      return this.say({ kind: "failed", id, error: "Stale", ...words });
    }
    const list = editsOf(this);
    const made = edits.map((spec) => {
      const at = spec.positions ? `@${spec.positions.join(",")}` : "";
      const site = `L${spec.layer}${spec.head === null ? "" : `H${spec.head}`}.${spec.site}${at}`;
      return { label: `${spec.kind} ${site}`, on: true, site, note: "", alpha: spec.alpha, spec };
    });
    list.set([...list.list, ...made]);
    this.base = base;
    this.rev++;
    this.counts.question++;
    this.model.update({ revs: { ...this.counts }, question: this.question() });
    // A map that is not on top of the edits is true of the new question too.
    if (!this.choice.on_top) this.publish();
    this.done(id, { rev: this.rev });
    if (this.choice.on_top) this.startJob();
  }

  question() {
    const question = super.question();
    if (!this.options.result) return question;
    return { ...question, model: null, arrays: true, title: "A finished sweep" };
  }
}

export { CORRUPTED, status } from "./shim.js";
export const mount = (widget, options, views) => mountWidget(widget, options, views, SweepKernel);
