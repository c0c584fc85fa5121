// The scripted kernel of the logit lens: a small vocabulary and logits that are known functions of row, position and
// run, so that a test can say what every cell should show.
import { mount as mountWidget, ScriptedKernel, status } from "./shim.js";

const range = (n) => Array.from({ length: n }, (_, i) => i);
const EXTRA = ["␣her", "␣him", "␣she", "␣Ann", "␣Tom", "ing", "\n", "␣"];
/** Ids are no row numbers of anything. */
const idOf = (index) => 100 + 3 * index;
const sum = (list) => list.reduce((a, b) => a + b, 0);

const MEASURES = [
  ["prob", "probability", "Probability of the top token.", ""],
  ["rank", "answer rank", "How many tokens have a larger logit than the answer; 0 is the top.", ""],
  ["entropy", "entropy", "Entropy of the row's distribution.", "nats"],
  ["kl", "KL to final", "KL(final ‖ row) to the last row of the same run.", "nats"],
  ["logit_diff", "logit difference", "Answer's logit minus the distractor's.", ""],
  ["cross_entropy", "cross-entropy", "Minus the log probability of the true next token.", "nats"],
];

export class LensKernel extends ScriptedKernel {
  constructor(options = {}) {
    super(options);
    this.counts = { question: 1, lens: 1 };
    this.choice = {
      run: options.run ?? "clean",
      measure: "prob",
      sublayers: false,
      tuned: false,
      ...options.choice,
    };
  }

  connect() {
    const model = super.connect();
    delete model.state.atlas;
    this.run = this.choice.run;
    model.state.lens = this.options.empty || this.options.noLens ? {} : this.lens();
    return model;
  }

  /** The super class makes an atlas when it connects, which a lens has not. */
  atlas() {
    return {};
  }

  get vocabulary() {
    const { clean, corrupted } = this.prompts;
    return [...new Set(["␣Mary", "␣John", ...clean.labels, ...(corrupted?.labels ?? []), ...EXTRA])];
  }

  rowsOf(sublayers = this.choice.sublayers) {
    const row = (site, layer, label, kind = "stream") => ({ site, layer, label, kind });
    const layers = range(this.options.layers).flatMap((layer) => [
      ...(sublayers
        ? [
            row("attn_out", layer, `L${layer} attn`, "contribution"),
            row("resid_mid", layer, `L${layer} mid`),
            row("mlp_out", layer, `L${layer} mlp`, "contribution"),
          ]
        : []),
      row("resid_post", layer, `L${layer}`),
    ]);
    return [row("resid_pre", 0, "input"), ...layers];
  }

  /** Answers have the ids of the vocabulary. */
  question() {
    const question = super.question();
    const inVocabulary = (it) =>
      it && { ...it, ids: it.labels.map((label) => idOf(this.vocabulary.indexOf(label))) };
    const { answer, distractor } = question;
    return { ...question, answer: inVocabulary(answer), distractor: inVocabulary(distractor) };
  }

  /** Runs that hold an edit, and where they begin. */
  side(run) {
    if (run === "corrupted") return "corrupted";
    return (run === "edited" || run === "change") && this.base === "corrupted" ? "corrupted" : "clean";
  }

  /** Logits [vocabulary] of one cell. */
  logits({ site, layer }, position, run, tuned = this.choice.tuned) {
    const { layers } = this.options;
    const words = this.vocabulary;
    const labels = (this.prompts[this.side(run)] ?? this.prompts.clean).labels;
    const depth = site === "resid_pre" ? 0 : (layer + (site === "resid_post" ? 1 : 0.5)) / layers;
    const offset = { corrupted: 1 }[this.side(run)] ?? 0;
    const next =
      position + 1 < labels.length ? labels[position + 1] : this.side(run) === "clean" ? "␣Mary" : "␣John";
    const place = site.length + layer * 1.3;
    const lost = run === "edited" && this.edited && layer >= layers / 2 ? 1 : 0;
    const out = words.map((word, at) => {
      const wave = 2.2 * Math.sin(place + offset + position * 2.1 + at * 3.7);
      const right = word === next ? depth * 7 + (tuned ? 1 : 0) : 0;
      const cut = lost && position === labels.length - 1;
      if (cut && word === "␣John") return wave + depth * 8;
      return wave + (cut ? right * 0.4 : right);
    });
    if (site !== "attn_out" && site !== "mlp_out") return out;
    const mean = sum(out) / out.length;
    return out.map((value) => value - mean);
  }

  get edited() {
    return this.question().edits.some((edit) => edit.on);
  }

  distribution(row, position, run) {
    const logits = this.logits(row, position, run);
    const most = Math.max(...logits);
    const weights = logits.map((value) => Math.exp(value - most));
    const total = sum(weights);
    return weights.map((value) => value / total);
  }

  /** What a cell shows: its top tokens, the measure, and whether the edit changed the first of them. */
  cell(number, position, { run, measure, sublayers, tuned } = this.choice, k = 5) {
    const row = this.rowsOf(sublayers)[number];
    const held = this.choice;
    this.choice = { ...held, tuned };
    try {
      if (this.options.nan?.(row, position)) return { top: [], value: Number.NaN, changed: false };
      const of = run === "difference" ? "clean" : run === "change" ? "edited" : run;
      const minus = { difference: "corrupted", change: this.base === "corrupted" ? "corrupted" : "clean" }[
        run
      ];
      const contribution = row.kind === "contribution";
      const values = (name) =>
        contribution ? this.logits(row, position, name) : this.distribution(row, position, name);
      const here = values(of);
      const top = range(here.length)
        .sort((a, b) => here[b] - here[a])
        .slice(0, k)
        .map((index) => ({ id: idOf(index), label: this.vocabulary[index], value: here[index] }));
      const unedited = values(this.base === "corrupted" ? "corrupted" : "clean");
      const before = range(unedited.length).reduce((a, b) => (unedited[b] > unedited[a] ? b : a), 0);
      const number = (name) => this.measured(row, position, name, measure);
      const changed = of === "edited" && idOf(before) !== top[0].id;
      return { top, value: minus ? number(of) - number(minus) : number(of), changed, here, unedited };
    } finally {
      this.choice = held;
    }
  }

  measured(row, position, run, measure) {
    const logits = this.logits(row, position, run);
    const index = (label) => this.vocabulary.indexOf(label);
    const [answer, distractor] = ["answer", "distractor"].map((name) => index(this.answers[name]?.labels[0]));
    if (measure === "logit_diff") return distractor < 0 ? Number.NaN : logits[answer] - logits[distractor];
    if (row.kind === "contribution") return Number.NaN;
    const here = this.distribution(row, position, run);
    if (measure === "prob") return Math.max(...here);
    if (measure === "rank") return logits.filter((value) => value > logits[answer]).length;
    if (measure === "entropy") return -sum(here.map((p) => p * Math.log(p)));
    const labels = (this.prompts[this.side(run)] ?? this.prompts.clean).labels;
    if (measure === "cross_entropy")
      return position + 1 < labels.length ? -Math.log(here[index(labels[position + 1])]) : Number.NaN;
    const last = this.distribution(this.rowsOf(false).at(-1), position, run);
    return sum(last.map((p, at) => p * Math.log(p / here[at])));
  }

  scaleOf({ run, measure }) {
    const high = {
      prob: 1,
      rank: this.vocabulary.length - 1,
      entropy: Math.log(this.vocabulary.length),
      kl: 6,
      logit_diff: 8,
      cross_entropy: 8,
    }[measure];
    const signed = run === "difference" || run === "change" || measure === "logit_diff";
    const unit = MEASURES.find(([name]) => name === measure)[3];
    return { low: signed ? -high : 0, high, signed, unit };
  }

  /** Arrays of these rows from `low` to `high`, and the labels of their tokens. */
  block(rows, [low, high], choice = this.choice) {
    const shape = [rows.length, high - low];
    const ids = [];
    const tops = [];
    const values = [];
    const changed = [];
    const tokens = {};
    for (const row of rows)
      for (let position = low; position < high; position++) {
        const cell = this.cell(row, position, choice);
        for (const at of range(5)) {
          const token = cell.top[at];
          ids.push(token?.id ?? -1);
          tops.push(token?.value ?? Number.NaN);
          if (token) tokens[token.id] = token.label;
        }
        values.push(cell.value);
        changed.push(Number(cell.changed));
      }
    const entry = (dtype, data, size) => ({ dtype, shape: size, layout: "full", data });
    const arrays = {
      top_ids: entry("i32", new DataView(Int32Array.from(ids).buffer), [...shape, 5]),
      top_values: entry("f32", new DataView(Float32Array.from(tops).buffer), [...shape, 5]),
      value: entry("f32", new DataView(Float32Array.from(values).buffer), shape),
    };
    if (choice.run === "edited" || choice.run === "change")
      arrays.changed = entry("u8", new DataView(Uint8Array.from(changed).buffer), shape);
    return { arrays, tokens };
  }

  lens() {
    const { run, measure, sublayers, tuned } = this.choice;
    const rows = this.rowsOf();
    const positions = this.promptOf(run).labels.length;
    // All rows, or those of every so many layers down from the last, as many as fit.
    const ofLayers = (step) =>
      range(rows.length).filter((at) => at === 0 || (this.options.layers - 1 - rows[at].layer) % step === 0);
    let few = ofLayers(1);
    for (let step = 2; few.length > 18; step++) few = ofLayers(step);
    const shown = { rows: few, columns: [Math.max(0, positions - 32), positions] };
    const { arrays, tokens } = this.block(shown.rows, shown.columns);
    if (this.options.dropBuffers) for (const entry of Object.values(arrays)) delete entry.data;
    const answerless = this.answers.answer === null;
    const [, label, card] = MEASURES.find(([name]) => name === measure);
    return {
      rev: this.rev,
      run,
      measure,
      sublayers,
      tuned,
      n_layers: this.options.layers,
      positions,
      rows,
      shown,
      k: 5,
      tokens,
      provenance: {
        model: "tiny-names",
        dtype: "float32",
        device: "cpu",
        kernel: "eager",
        forward_ms: 41,
        lens_ms: 18,
        notes: this.options.notes ?? [],
      },
      card: { title: label, formula: card, source: "definitions, section 5" },
      scale: this.scaleOf(this.choice),
      measures: MEASURES.map(([name, words, about]) => ({
        name,
        label: words,
        card: about,
        reason:
          answerless && (name === "rank" || name === "logit_diff")
            ? "There is no answer: click the chip to give one."
            : null,
      })),
      ...("translators" in this.options && { translators: this.options.translators }),
      arrays,
    };
  }

  promptOf(run) {
    return this.prompts[this.side(run)] ?? this.prompts.clean;
  }

  receive(message) {
    super.receive(message);
    const { kind, id, op, params } = message;
    if (kind !== "request" || this.mode.silent || this.mode.holdAll || this.mode.fail[op]) return;
    if (op === "lens.run") this.sendLens(id, params);
    else if (op === "lens.cells") this.sendCells(id, params);
    else if (op === "lens.card") this.done(id, this.cardOf(params));
    else if (op === "lens.track") this.sendTrack(id, params);
    else if (op === "lens.find") {
      const tokens = this.vocabulary.flatMap((label, at) =>
        label.replaceAll("␣", " ") === params.text ? [{ id: idOf(at), label }] : [],
      );
      this.done(id, { tokens });
    } else if (op === "lens.attribution") this.sendAttribution(id, params);
  }

  sendLens(id, { run, measure, sublayers, tuned }) {
    if (this.mode.holdLens) {
      this.pending = { id, params: { run, measure, sublayers, tuned } };
      return;
    }
    this.choice = { run, measure, sublayers, tuned };
    this.run = run;
    this.publish();
    this.done(id, { ...this.choice });
  }

  publish() {
    this.counts.lens++;
    this.model.update({ revs: { ...this.counts }, lens: this.lens() });
  }

  startJob() {
    const job = `k-${++this.job}`;
    this.model.update({ status: { ...status("running"), op: "lens.run", job } });
    if (!this.mode.holdLens) this.finishJob();
  }

  finishJob() {
    const { run } = this.choice;
    // The lens is of the edited run while an edit is on, as the kernel has it.
    if (this.edited && run === (this.base === "corrupted" ? "corrupted" : "clean"))
      this.choice.run = "edited";
    if (!this.edited && (run === "edited" || run === "change")) this.choice.run = this.base;
    this.publish();
    this.model.update({ status: status("idle") });
  }

  sendCells(id, { rows, columns, ...choice }) {
    if (this.mode.holdCells) {
      this.heldCells = { id, rows, columns, choice };
      return;
    }
    const { arrays, tokens } = this.block(rows, columns, choice);
    const buffers = [];
    for (const entry of Object.values(arrays)) {
      entry.buffer = buffers.push(entry.data) - 1;
      delete entry.data;
    }
    const data = { rows, columns, tokens, run: choice.run, measure: choice.measure };
    this.say({ kind: "done", id, rev: this.rev, data, arrays }, buffers);
  }

  releaseCells() {
    this.mode.holdCells = false;
    const { id, rows, columns, choice } = this.heldCells;
    this.sendCells(id, { rows, columns, ...choice });
  }

  cardOf({ run, row, position, k, sublayers, tuned }) {
    const choice = { run, measure: "prob", sublayers, tuned };
    const { top, here, unedited } = this.cell(row, position, choice, k);
    const logits = this.logits(
      this.rowsOf(sublayers)[row],
      position,
      run === "change" ? "edited" : run === "difference" ? "clean" : run,
    );
    const withEdit = run === "edited" || run === "change";
    const tokens = top.map(({ id, label, value }) => {
      const index = (id - 100) / 3;
      const rank = withEdit && { before_rank: unedited.filter((it) => it > unedited[index]).length };
      return { id, label, value, logit: logits[index], before: withEdit ? unedited[index] : null, ...rank };
    });
    const lowest = here
      ? range(here.length)
          .sort((a, b) => here[a] - here[b])
          .slice(0, k)
          .map((index) => ({
            id: idOf(index),
            label: this.vocabulary[index],
            value: here[index],
            logit: logits[index],
            before: null,
          }))
      : [];
    const finite = (value) => (Number.isFinite(value) ? value : null);
    const measures = Object.fromEntries(
      MEASURES.map(([name]) => [name, finite(this.cell(row, position, { ...choice, measure: name }).value)]),
    );
    const contribution = this.rowsOf(sublayers)[row].kind === "contribution";
    return { run, row, position, tokens, suppressed: contribution ? lowest : [], measures };
  }

  sendTrack(id, { run, position, tokens, sublayers }) {
    const rows = this.rowsOf(sublayers);
    const streams = range(rows.length).filter((at) => rows[at].kind === "stream");
    const of = run === "change" ? "edited" : run === "difference" ? "clean" : run;
    const index = (token) => (token - 100) / 3;
    const each = (make) =>
      Float32Array.from(tokens.flatMap((token) => streams.map((row) => make(rows[row], index(token)))));
    const base = this.base === "corrupted" ? "corrupted" : "clean";
    const named = (prefix, name) => ({
      [`${prefix}probs`]: each((row, token) => this.distribution(row, position, name)[token]),
      [`${prefix}logits`]: each((row, token) => this.logits(row, position, name)[token]),
      [`${prefix}ranks`]: each((row, token) => {
        const logits = this.logits(row, position, name);
        return logits.filter((value) => value > logits[token]).length;
      }),
    });
    const made = { ...named("", of), ...(of === "edited" && named("unedited_", base)) };
    const buffers = [];
    const arrays = Object.fromEntries(
      Object.entries(made).map(([name, values]) => [
        name,
        {
          dtype: "f32",
          shape: [tokens.length, streams.length],
          layout: "full",
          buffer: buffers.push(new DataView(values.buffer)) - 1,
        },
      ]),
    );
    const labelled = tokens.map((token) => ({ id: token, label: this.vocabulary[index(token)] }));
    this.say(
      { kind: "done", id, rev: this.rev, data: { position, tokens: labelled, rows: streams }, arrays },
      buffers,
    );
  }

  sendAttribution(id, { by, layer, head }) {
    const { layers, heads } = this.options;
    const value = (at, place) => 2.4 * Math.sin(at * 1.9 + place * 0.8) * ((at + 1) / layers);
    const values = range(layers).flatMap((at) => range(heads).map((place) => value(at, place)));
    const facts = {
      by,
      softcap: false,
      note: "",
      card: {
        title: "attribution",
        formula: "Direct effect through the final norm.",
        source: "definitions, section 6",
      },
    };
    if (by === "component") {
      const components = [
        { name: "input", layer: null, head: null, value: 0.31 },
        ...range(layers).flatMap((at) => [
          ...range(heads).map((place) => ({
            name: `L${at}H${place}`,
            layer: at,
            head: place,
            value: value(at, place),
          })),
          { name: `L${at} mlp`, layer: at, head: null, value: 0.4 - at * 0.2 },
        ]),
      ];
      return this.done(id, {
        ...facts,
        components,
        total: sum(components.map((it) => it.value)),
        residue: 2e-6,
      });
    }
    const positions = this.promptOf(this.choice.run).labels.length;
    const made =
      by === "head" ? values : range(positions).map((src) => (value(layer, head) * (src + 1)) / positions);
    const shape = by === "head" ? [layers, heads] : [positions];
    const arrays = { values: { dtype: "f32", shape, layout: "full", buffer: 0 } };
    const data = { ...facts, layer, head, total: 4.71, residue: 4.71 - sum(made) };
    this.say({ kind: "done", id, rev: this.rev, data, arrays }, [
      new DataView(Float32Array.from(made).buffer),
    ]);
  }
}

export { CORRUPTED, status } from "./shim.js";
export const mount = (widget, options, views) => mountWidget(widget, options, views, LensKernel);
