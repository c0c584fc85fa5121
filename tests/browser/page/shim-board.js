// The scripted kernel of the patch board: what a patch brings back is a known function of its site, layer and position,
// so that a test can say what every number should be.

import { CORRUPTED, mount as mountWidget, status } from "./shim.js";
import { editsOf } from "./shim-edits.js";
import { LensKernel } from "./shim-lens.js";

const range = (n) => Array.from({ length: n }, (_, i) => i);
const other = (side) => (side === "clean" ? "corrupted" : "clean");
export const CLEAN = 4.71;
export const CORRUPTED_METRIC = -4.62;
const CARRIES = [
  ["residual", "resid_post", "position"],
  ["attention", "attn_out", "position"],
  ["mlp", "mlp_out", "position"],
  ["z", "z", "head"],
  ["q", "q", "head"],
  ["k", "k", "head"],
  ["v", "v", "head"],
  ["pattern", "pattern", "head"],
];

/** Share of the way that one patched cell goes: most at the changed token early, and at the end late. */
export function shareOf({ site, layer, head }, position, positions) {
  const near = position === positions - 1 ? 0.2 + 0.15 * layer : position === 10 ? 0.8 - 0.2 * layer : 0.01;
  const part = { attn_out: 0.4, mlp_out: 0.3, z: 0.25, q: 0.1, k: 0.1, v: 0.15, pattern: 0.2 }[site] ?? 1;
  return near * part * (head === null || head === undefined ? 1 : (head + 1) / 4);
}

export class BoardKernel extends LensKernel {
  constructor(options = {}) {
    super({ ...options, corrupted: options.alone ? null : (options.corrupted ?? CORRUPTED) });
    this.counts = { question: 1, board: 1 };
    this.runs = [];
    this.align = options.align ?? "start";
    this.sweepCells = [];
  }

  connect() {
    const model = super.connect();
    delete model.state.lens;
    model.state.board = this.options.empty || this.options.noBoard ? {} : this.board();
    return model;
  }

  lens() {
    return {};
  }

  get length() {
    return (this.prompts[this.base] ?? this.prompts.clean).labels.length;
  }
  lengthOf(side) {
    return this.prompts[side]?.labels.length ?? 0;
  }

  pairs() {
    const [clean, corrupted] = [this.lengthOf("clean"), this.lengthOf("corrupted")];
    const shared = Math.min(clean, corrupted);
    if (this.align === "end" && clean !== corrupted)
      return [
        [0, 0],
        ...range(shared - 1).map((at) => [clean - shared + 1 + at, corrupted - shared + 1 + at]),
      ];
    return range(shared).map((at) => [at, at]);
  }

  live() {
    return editsOf(this)
      .list.filter((edit) => edit.on && edit.spec)
      .map((edit) => edit.spec);
  }

  /** Share of the way from the base to the other run that these edits go. */
  total(specs, base) {
    const positions = this.lengthOf(base);
    const sums = specs.map((spec) => {
      const at = spec.positions ?? range(positions);
      return spec.alpha * at.reduce((sum, position) => sum + shareOf(spec, position, positions), 0);
    });
    return sums.reduce((a, b) => a + b, 0);
  }

  /** EFFECT of these edits on a base. */
  effect(specs, base = this.base) {
    const alone = !this.prompts.corrupted;
    const [clean, corrupted] = [CLEAN, alone ? null : CORRUPTED_METRIC];
    const before = base === "clean" ? clean : corrupted;
    const share = this.total(specs, base);
    const away = alone ? share * -3 : share * (base === "clean" ? corrupted - clean : clean - corrupted);
    const after = this.options.notFinite ? null : before + away;
    const recovered = alone || after === null ? null : (after - corrupted) / (clean - corrupted);
    const p = 1 / (1 + Math.exp(-(after ?? 0) / 2));
    const q = 1 / (1 + Math.exp(-before / 2));
    const token = (id, label, was, now, ranks) => ({
      id,
      label,
      before: was,
      after: now,
      before_rank: ranks[0],
      after_rank: ranks[1],
    });
    const rank = (mary) => (mary > 0.5 ? 0 : 1);
    return {
      metric: "logit_diff",
      label: "logit difference",
      clean,
      corrupted,
      base,
      before,
      after,
      recovered,
      destroyed: base === "clean" && recovered !== null ? 1 - recovered : null,
      stderr: this.options.stderr ?? null,
      n_prompts: this.options.prompts ?? 1,
      noise_floor: 1e-6,
      tokens: [
        token(1, "␣Mary", q * 0.95, p * 0.95, [rank(q), rank(p)]),
        token(2, "␣John", (1 - q) * 0.95, (1 - p) * 0.95, [1 - rank(q), 1 - rank(p)]),
        token(3, "␣store", 0.01, 0.01, [2, 2]),
        ...(this.options.tokens ?? []),
      ],
      note: this.options.note ?? "",
      provenance: {},
      ...this.options.effect,
    };
  }

  /** Can a cell of the edited run change? */
  inCone(row, position, specs) {
    const layer = row.site === "resid_pre" ? -1 : row.layer;
    return specs.some((spec) => {
      const at = spec.site === "resid_pre" ? spec.layer - 1 : spec.layer;
      const positions = spec.positions ?? range(position + 1);
      return positions.some(
        (from) => (layer === at && from === position) || (layer > at && from <= position),
      );
    });
  }

  /** Logits of a run; of the edited one those of the base, moved towards the other's where they can change. */
  boardCell(row, position, grid, specs, base) {
    const side = grid === "edited" ? base : grid;
    const here = this.distribution(row, position, side);
    const cone = grid !== "edited" || this.inCone(row, position, specs);
    const share = Math.max(0, Math.min(1, this.total(specs, base)));
    const mixed =
      grid === "edited" && cone && this.prompts.corrupted && position < this.lengthOf(other(side))
        ? this.distribution(row, position, other(side)).map((p, at) => here[at] * (1 - share) + p * share)
        : here;
    const best = (list) => list.reduce((found, p, at) => (p > list[found] ? at : found), 0);
    const at = best(mixed);
    if (this.options.nan?.(row, position))
      return { id: -1, label: "", value: Number.NaN, changed: false, cone };
    return {
      id: 100 + 3 * at,
      label: this.vocabulary[at],
      value: mixed[at],
      changed: grid === "edited" && at !== best(here),
      cone,
    };
  }

  gridBlock(rows, [low, high], grid, specs = this.live(), base = this.base) {
    const all = this.rowsOf(false);
    const tokens = {};
    const [ids, values, changed, cone] = [[], [], [], []];
    for (const row of rows)
      for (let position = low; position < high; position++) {
        const cell = this.boardCell(all[row], position, grid, specs, base);
        ids.push(cell.id);
        values.push(cell.value);
        changed.push(Number(cell.changed));
        cone.push(Number(cell.cone));
        if (cell.id >= 0) tokens[cell.id] = cell.label;
      }
    const shape = [rows.length, high - low];
    const entry = (dtype, data, size = shape) => ({ dtype, shape: size, layout: "full", data });
    return {
      tokens,
      arrays: {
        top_ids: entry("i32", new DataView(Int32Array.from(ids).buffer), [...shape, 1]),
        top_values: entry("f32", new DataView(Float32Array.from(values).buffer), [...shape, 1]),
        value: entry("f32", new DataView(Float32Array.from(values).buffer)),
        ...(grid === "edited" && {
          changed: entry("u8", new DataView(Uint8Array.from(changed).buffer)),
          cone: entry("u8", new DataView(Uint8Array.from(cone).buffer)),
        }),
      },
    };
  }

  shownRows() {
    const rows = this.rowsOf(false);
    const ofLayers = (step) =>
      range(rows.length).filter((at) => at === 0 || (this.options.layers - 1 - rows[at].layer) % step === 0);
    let few = ofLayers(1);
    for (let step = 2; few.length > 18; step++) few = ofLayers(step);
    return few;
  }
  windowOf(side) {
    const positions = this.lengthOf(side);
    return [Math.max(0, positions - 32), positions];
  }

  board() {
    const { layers, heads, kvHeads } = this.options;
    const rows = this.shownRows();
    const alone = !this.prompts.corrupted;
    const grids = {
      clean: { positions: this.lengthOf("clean"), columns: this.windowOf("clean") },
      corrupted: alone
        ? null
        : { positions: this.lengthOf("corrupted"), columns: this.windowOf("corrupted") },
      edited: { positions: this.length, columns: this.windowOf(this.base) },
    };
    const arrays = {};
    const tokens = {};
    for (const [grid, facts] of Object.entries(grids)) {
      if (!facts) continue;
      const made = this.gridBlock(rows, facts.columns, grid);
      Object.assign(tokens, made.tokens);
      for (const [name, entry] of Object.entries(made.arrays))
        if (name !== "value") arrays[`${grid}_${name}`] = entry;
    }
    if (this.options.dropBuffers) for (const entry of Object.values(arrays)) delete entry.data;
    const pairs = this.pairs();
    const differs = (side, mine, theirs) =>
      range(this.lengthOf(side)).filter((at) => {
        const pair = pairs.find((it) => it[mine] === at);
        return (
          !alone &&
          (!pair || this.prompts[side].labels[at] !== this.prompts[other(side)].labels[pair[theirs]])
        );
      });
    return {
      rev: this.rev,
      run: "edited",
      base: this.base,
      n_layers: layers,
      n_heads: heads,
      n_kv_heads: kvHeads,
      rows: this.rowsOf(false),
      shown: { rows },
      grids,
      k: 1,
      tokens,
      pairs,
      align: this.align,
      aligns: [
        { name: "start", label: "from the start", reason: null },
        { name: "end", label: "at the end", reason: null },
        { name: "common", label: "by common tokens", reason: null },
      ],
      differs: { clean: differs("clean", 0, 1), corrupted: alone ? [] : differs("corrupted", 1, 0) },
      carries: CARRIES.map(([name, site, axis]) => ({
        name,
        site,
        axis,
        reason: this.options.off?.[name] ?? null,
      })),
      effect: this.options.noAnswer ? null : this.effect(this.live()),
      run_number: Math.max(1, this.runs.length),
      n_runs: Math.max(1, this.runs.length),
      provenance: { model: "tiny-names", kernel: "eager", forward_ms: 1.8, notes: [] },
      notes: ["resumed at L2 from position 10"],
      arrays,
    };
  }

  receive(message) {
    const { kind, id, op, params } = message;
    const [noun, verb] = (op ?? "").split(".");
    const own =
      kind === "request" &&
      (["board", "patch", "sweep", "runs", "code"].includes(noun) ||
        op === "lens.cells" ||
        op === "edits.add" ||
        op === "edits.replace" ||
        (op === "question.set" && ("align" in params || params.which === "corrupted")));
    if (!own || this.mode.silent || this.mode.holdAll || this.mode.fail[op]) return super.receive(message);
    this.say({ kind: "accepted", id });
    if (op === "patch.preview")
      return this.mode.holdPreview ? this.waiting.push(message) : this.preview(id, params);
    if (op === "lens.cells") return this.cells(id, params);
    if (noun === "sweep") return this.sweep(id, params);
    if (op === "runs.list") return this.done(id, { runs: this.runList() });
    if (op === "runs.effect")
      return this.done(id, {
        number: params.number,
        effect: this.effect(this.runs[params.number - 1].specs, this.runs[params.number - 1].base),
      });
    if (op === "code.python")
      return this.done(id, { text: "import torch\n# logit difference\nprint(2.31)\n" });
    if (op === "board.run") {
      this.publish();
      return this.done(id, {});
    }
    if (params.base_rev !== this.rev) {
      const words = { message: "The question has changed meanwhile.", hint: "Look again.", retryable: true };
      return this.say({ kind: "failed", id, error: "Stale", ...words });
    }
    const edits = editsOf(this);
    if (op === "edits.add") {
      if (params.base !== this.base) this.base = params.base;
      edits.set([...edits.list, ...params.edits.map((spec) => this.entry(spec))]);
    } else if (op === "edits.replace") {
      const { index, alpha } = params;
      edits.set(edits.list.map((it, at) => (at === index ? this.entry({ ...it.spec, alpha }, it.on) : it)));
    } else if (op === "runs.restore") {
      const run = this.runs[params.number - 1];
      this.base = run.base;
      edits.set(run.specs.map((spec) => this.entry(spec)));
    } else if (verb === "set") {
      if (params.align) this.align = params.align;
      if (params.which) {
        const words = params.text.trim().split(/\s+/);
        this.prompts.corrupted = { text: params.text, labels: ["‹bos›", ...words.map((word) => `␣${word}`)] };
        this.base = "corrupted";
      }
    }
    this.changed();
    this.done(id, { rev: this.rev });
  }

  waiting = [];

  entry(spec, on = true) {
    const { site, layer, head, positions, alpha } = spec;
    const where = `L${layer}${head === null ? "" : `H${head}`}.${site}${positions ? `@${positions.join(",")}` : ""}`;
    const dot = head === null ? `L${layer}` : `L${layer}.H${head}`;
    const labels = this.prompts[this.base].labels;
    const at = positions
      ? ` · ${positions.map((it) => `${labels[it].replace("␣", "")} ${it}`).join(", ")}`
      : "";
    return { label: `${site} ${dot}${at}`, on, site: where, note: "", alpha, spec };
  }

  changed() {
    this.rev++;
    this.counts.question++;
    this.model.update({ revs: { ...this.counts }, question: this.question() });
    this.finishJob();
  }

  finishJob() {
    const specs = this.live();
    const same = (run) => JSON.stringify(run) === JSON.stringify({ specs, base: this.base });
    if (!this.runs.some(same)) this.runs.push({ specs, base: this.base });
    if (this.mode.holdBoard) return;
    this.publish();
    this.model.update({ status: status("idle") });
  }

  startJob() {
    const job = `k-${++this.job}`;
    this.model.update({ status: { ...status("running"), op: "board.run", job } });
    if (!this.mode.holdBoard) this.finishJob();
  }

  publish() {
    this.counts.board++;
    this.model.update({ revs: { ...this.counts }, board: this.board() });
  }

  runList() {
    const now = JSON.stringify({ specs: this.live(), base: this.base });
    return this.runs.map((run, at) => {
      const { after, recovered } = this.effect(run.specs, run.base);
      const labels = run.specs.map((spec) => this.entry(spec).label);
      return {
        number: at + 1,
        base: run.base,
        labels,
        metric: after,
        recovered,
        current: JSON.stringify(run) === now,
      };
    });
  }

  sendArrays(id, data, arrays, kind = "done", facts = {}) {
    const buffers = [];
    const sent = Object.fromEntries(
      Object.entries(arrays).map(([name, { data: bytes, ...entry }]) => [
        name,
        { ...entry, buffer: buffers.push(bytes) - 1 },
      ]),
    );
    this.say({ kind, id, rev: this.rev, data, arrays: sent, ...facts }, buffers);
  }

  preview(id, { edits, base, replace }) {
    const live = base === this.base ? editsOf(this).list.filter((it) => it.spec) : [];
    const specs =
      replace === null
        ? [...live.filter((it) => it.on).map((it) => it.spec), ...edits]
        : live.flatMap((it, at) => (at === replace ? edits : it.on ? [it.spec] : []));
    const rows = this.shownRows();
    const columns = this.windowOf(base);
    const made = this.gridBlock(rows, columns, "edited", specs, base);
    const arrays = Object.fromEntries(
      Object.entries(made.arrays)
        .filter(([name]) => name !== "value")
        .map(([name, entry]) => [`edited_${name}`, entry]),
    );
    this.sendArrays(id, { effect: this.effect(specs, base), rows, columns, tokens: made.tokens }, arrays);
  }

  /** Answers the previews that were held, oldest first. */
  releasePreviews() {
    this.mode.holdPreview = false;
    for (const { id, params } of this.waiting.splice(0)) this.preview(id, params);
  }

  cells(id, { run, rows, columns }) {
    const { arrays, tokens } = this.gridBlock(rows, columns, run);
    this.sendArrays(id, { rows, columns, tokens, run, measure: "prob" }, arrays);
  }

  sweep(id, { site, edit, base, on_top }) {
    const carry = CARRIES.find((it) => it[1] === site || (site.startsWith("resid") && it[0] === "residual"));
    const axis = carry[2];
    const layers = range(this.options.layers);
    const labels = this.prompts[base].labels;
    const heads = site === "k" || site === "v" ? this.options.kvHeads : this.options.heads;
    const columns =
      axis === "head"
        ? range(heads).map((head) => ({ position: null, head, label: `H${head}`, other: "" }))
        : labels.map((label, position) => ({ position, head: null, label, other: "" }));
    const map = {
      rev: this.rev,
      run: "edited",
      site,
      edit,
      base,
      on_top,
      axis,
      layers,
      columns,
      metric: "logit_diff",
      label: "logit difference",
      baselines: { clean: CLEAN, corrupted: CORRUPTED_METRIC },
      n_prompts: 1,
      noise_floor: 1e-6,
      done: layers.length * columns.length,
      total: layers.length * columns.length,
      complete: true,
      cancelled: false,
      from_table: false,
      sites: [],
      edits_allowed: [],
      missing: {},
      provenance: {},
      notes: [],
    };
    if (this.mode.noMap) return;
    const live = on_top ? this.live() : [];
    const cells = layers.flatMap((layer) =>
      columns.map(({ position, head }) => {
        const spec = { site, layer, head, positions: axis === "head" ? null : [position], alpha: 1 };
        return this.effect([...live, spec], base);
      }),
    );
    const floats = (make) => {
      const data = new DataView(Float32Array.from(cells.map(make)).buffer);
      return { dtype: "f32", shape: [layers.length, columns.length], layout: "full", data };
    };
    const states = new DataView(Uint8Array.from(cells.map(() => this.mode.mapState ?? 2)).buffer);
    this.sendArrays(
      id,
      { map },
      {
        metric: floats((it) => it.after ?? Number.NaN),
        recovered: floats((it) => it.recovered ?? Number.NaN),
        stderr: floats(() => Number.NaN),
        state: { dtype: "u8", shape: [layers.length, columns.length], layout: "full", data: states },
      },
    );
  }
}

export const mount = (widget, options, views) => mountWidget(widget, options, views, BoardKernel);
export * from "./shim.js";
