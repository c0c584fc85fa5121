// What a notebook host is to the widget, without a notebook: a model with traits and messages, and a scripted kernel
// behind it whose attention patterns are known, so that a test can say what every pixel should be.
import { answerEdits, editsOf } from "./shim-edits.js";

export class ShimModel {
  constructor(state) {
    // The words come from the package: tests/browser/page/plain_page.py sets them.
    this.state = { words: globalThis.words, ...state };
    this.listeners = new Map();
    this.sent = [];
    this.saved = [];
    this.changed = new Set();
    this.kernel = null;
    this.widget_manager = {};
  }
  get(name) {
    return this.state[name];
  }
  set(name, value) {
    this.state[name] = value;
    this.changed.add(name);
    this.#fire(`change:${name}`);
  }
  on(name, callback) {
    this.listeners.set(name, [...(this.listeners.get(name) ?? []), callback]);
  }
  off(name, callback) {
    this.listeners.set(
      name,
      (this.listeners.get(name) ?? []).filter((it) => callback && it !== callback),
    );
  }
  save_changes() {
    this.saved.push(Object.fromEntries([...this.changed].map((name) => [name, this.state[name]])));
    this.changed.clear();
  }
  send(message) {
    const copy = JSON.parse(JSON.stringify(message));
    this.sent.push(copy);
    // A real kernel answers later, never inside the call.
    setTimeout(() => this.kernel?.receive(copy), 0);
  }
  /** Traits set by the kernel: all at once, then the events, as ipywidgets does it. */
  update(state) {
    Object.assign(this.state, state);
    for (const name of Object.keys(state)) this.#fire(`change:${name}`);
  }
  receive(content, buffers = []) {
    this.#fire("msg:custom", content, buffers);
  }
  #fire(name, ...values) {
    for (const callback of this.listeners.get(name) ?? []) callback(...values);
  }
}

const KINDS = ["first", "previous", "self", "duplicate", "spread"];

/** Attention of a head: rows that sum to 1 over the sources up to dest; which kind depends on layer and head. */
export function attention(layer, head, ids, run = "clean") {
  const size = ids.length;
  const kind = KINDS[(layer * 2 + head + (layer > 1 ? 1 : 0)) % KINDS.length];
  const rows = [];
  for (let dest = 0; dest < size; dest++) {
    const row = new Float64Array(size);
    for (let src = 0; src <= dest; src++) {
      const wave =
        0.5 +
        0.5 *
          Math.sin(layer * 7 + head * 3 + dest * 1.7 + src * 2.3 + ({ corrupted: 1, other: 2 }[run] ?? 0));
      row[src] = 0.05 + 0.12 * wave + (src === 0 ? 0.5 : 0);
      if (kind === "first" && src === 0) row[src] += 6;
      if (kind === "previous" && src === dest - 1) row[src] += 6;
      if (kind === "self" && src === dest) row[src] += 6;
      if (kind === "duplicate" && src < dest && ids[src] === ids[dest]) row[src] += 9;
    }
    const total = row.reduce((a, b) => a + b, 0);
    rows.push(row.map((value) => value / total));
  }
  return rows;
}

const idsOf = (labels) => labels.map((label) => labels.indexOf(label));

export class ScriptedKernel {
  constructor(options = {}) {
    this.options = { layers: 4, heads: 4, kvHeads: 4, ...options };
    this.mode = {
      silent: false,
      holdAtlas: false,
      fail: {},
      client: null,
      holdAll: false,
      ...(options.mode ?? {}),
    };
    this.held = [];
    /** Of several prompts, the clean one first and `options.more` after it. */
    this.shownPrompt = 0;
    /** In place of it `options.mean`, a prompt, or why there is none. */
    this.ofMean = false;
    const labels = options.labels ?? DEFAULT.labels;
    this.prompts = {
      clean: { text: options.text ?? DEFAULT.text, labels },
      corrupted: options.corrupted ?? null,
    };
    this.firstPrompt = this.prompts.clean;
    this.rev = 1;
    this.run = options.run ?? "clean";
    this.counts = { question: 1, atlas: 1 };
    this.job = 0;
    this.answers = { answer: answer("␣Mary"), distractor: answer("␣John") };
    Object.assign(this.answers, options.answers ?? {});
    this.metric = "logit_diff";
    this.base = this.prompts.corrupted ? "corrupted" : "clean";
  }

  connect() {
    const state = {
      protocol: this.options.protocol ?? 1,
      epoch: this.options.epoch ?? "epoch-1",
      experiment: this.options.experiment ?? "experiment-1",
      revs: { ...this.counts },
      question: this.options.empty ? {} : this.question(),
      status: this.options.status ?? status("idle"),
      selection: this.options.selection ?? [],
      atlas: this.options.empty || this.options.noAtlas ? {} : this.atlas(),
    };
    this.model = new ShimModel(state);
    this.model.kernel = this;
    return this.model;
  }

  promptOf(run) {
    if (run === "edited") return this.prompts[this.base];
    return (run === "corrupted" && this.prompts.corrupted) || this.prompts.clean;
  }

  /** Values [layer][head][dest][src] of a run, before they are rounded to bytes. */
  values(run = this.run, weighting = "attention") {
    const { layers, heads } = this.options;
    // Value-weighted: each source moves something of a size of its own, the first next to nothing.
    if (weighting === "value") {
      const size = (src) => (src === 0 ? 0.02 : 1 + (src % 3));
      return this.values(run).map((layer) =>
        layer.map((rows) => rows.map((row) => row.map((value, src) => value * size(src)))),
      );
    }
    const of = (name, layer, head) => {
      if (this.options.pattern) return this.options.pattern(layer, head, this.promptOf(name).labels.length);
      return attention(layer, head, idsOf(this.promptOf(name).labels), name);
    };
    return range(layers).map((layer) =>
      range(heads).map((head) => {
        if (!signed(run)) return of(run, layer, head);
        const minus = of(run === "difference" ? "corrupted" : "other", layer, head);
        return of("clean", layer, head).map((row, dest) => row.map((value, src) => value - minus[dest][src]));
      }),
    );
  }

  side() {
    const { layers, heads } = this.options;
    const most = Math.min(48, Math.floor(Math.sqrt(600000 / (layers * heads))));
    return Math.min(most, this.promptOf(this.run).labels.length);
  }

  question() {
    const { layers, heads, kvHeads } = this.options;
    const prompt = (it) =>
      it && {
        text: it.text,
        ids: idsOf(it.labels),
        labels: it.labels,
        special: it.labels[0] === "‹bos›" ? [0] : [],
      };
    return {
      rev: this.rev,
      model: {
        name: this.options.name ?? "tiny-names",
        n_layers: layers,
        n_heads: heads,
        n_kv_heads: kvHeads,
        d_model: 96,
        dtype: "float32",
        device: "cpu",
        missing: this.options.lacking ?? {},
      },
      prompts: { clean: prompt(this.prompts.clean), corrupted: prompt(this.prompts.corrupted) },
      prompt: this.shownPrompt,
      n_prompts: 1 + (this.options.more ?? []).length,
      ...(this.options.mean && {
        mean: { shown: this.ofMean, reason: this.options.mean.labels ? null : this.options.mean },
      }),
      ...this.answers,
      metric: this.metric,
      metric_label: this.metric === "logit_diff" ? "logit difference" : "probability",
      metrics: [
        ["logit_diff", "logit difference"],
        ["prob", "probability"],
      ],
      base: this.base,
      answer_position: this.prompts.clean.labels.length - 1,
      edits: editsOf(this).list,
      history: editsOf(this).history,
      baselines: { clean: 4.71, corrupted: this.prompts.corrupted ? -4.62 : null, edited: null },
      warnings: this.options.warnings ?? [],
      ...(this.options.arrays && {
        arrays: true,
        model: null,
        answer: null,
        distractor: null,
        baselines: null,
      }),
      compare: this.options.compare ?? null,
    };
  }

  thumbs(first = 0, last = this.options.layers) {
    const side = this.side();
    const values = this.values();
    const parts = range(last - first).flatMap((layer) =>
      values[first + layer].map((rows) => encode(pool(rows, side), this.run)),
    );
    const bytes = new Uint8Array(parts.length * side * side);
    for (const [place, part] of parts.entries()) bytes.set(part, place * side * side);
    return bytes;
  }

  atlas() {
    const { layers, heads, kvHeads } = this.options;
    const side = this.side();
    const thumbs = this.thumbs();
    const entry = arrayEntry([layers, heads, side, side], this.run);
    return {
      rev: this.rev,
      run: this.run,
      n_layers: layers,
      n_heads: heads,
      n_kv_heads: kvHeads,
      positions: this.promptOf(this.run).labels.length,
      side,
      provenance: {
        model: "tiny-names",
        dtype: "float32",
        device: "cpu",
        kernel: "sdpa",
        forward_ms: 2.1,
        patterns: layers * heads,
        bytes: thumbs.length,
        recomputed: "all",
        noise_floor: 1e-6,
      },
      missing: this.options.missing ?? {},
      scores: this.scores(),
      arrays: { thumbs: this.options.dropBuffers ? entry : { ...entry, data: new DataView(thumbs.buffer) } },
    };
  }

  scores() {
    const values = this.values(signed(this.run) ? "clean" : this.run);
    const ids = idsOf(this.promptOf(this.run).labels);
    const finite = (value) => (Number.isFinite(value) ? value : null); // JSON has no NaN
    const each = (score) => values.map((layer) => layer.map((rows) => finite(score(rows))));
    const mean = (list) => (list.length ? list.reduce((a, b) => a + b, 0) / list.length : null);
    const repeated = ids.some((id, at) => ids.indexOf(id) < at);
    const why = "no repeated token here: use random tokens";
    const make = (label, card, score, n, reason = null, bars = null) => ({
      label,
      card,
      source: "definitions, section 4",
      values: each(reason ? () => null : score),
      bars: each(reason ? () => null : (bars ?? score)),
      n,
      reason,
    });
    const duplicate = (rows) =>
      mean(
        rows.flatMap((row, dest) =>
          ids.indexOf(ids[dest]) < dest
            ? [row.filter((_, src) => src < dest && ids[src] === ids[dest]).reduce((a, b) => a + b, 0)]
            : [],
        ),
      );
    const entropy = (row) => -row.filter((p) => p > 0).reduce((sum, p) => sum + p * Math.log(p), 0);
    return {
      previous: make(
        "previous",
        "Mean attention from each token to the one before it.",
        (rows) =>
          mean(rows.map((row, dest) => (dest > 1 ? row[dest - 1] : null)).filter((it) => it !== null)),
        ids.length - 2,
      ),
      induction: make(
        "induction",
        "Attention to the token after an earlier copy of this one.",
        () => null,
        null,
        why,
      ),
      duplicate: make(
        "duplicate",
        "Attention to earlier copies of the same token.",
        duplicate,
        1,
        repeated ? null : why,
      ),
      first: make(
        "first",
        "Mean attention to the first token.",
        (rows) => mean(rows.slice(1).map((row) => row[0])),
        ids.length - 1,
        ids.length > 1 ? null : "one token has no other to look at",
      ),
      entropy: make(
        "entropy",
        "Mean entropy of a row, in nats.",
        (rows) => mean(rows.slice(1).map(entropy)),
        ids.length - 1,
        null,
        (rows) => (mean(rows.slice(1).map(entropy)) ?? 0) / Math.log(ids.length + 1),
      ),
      logit_effect: make(
        "logit effect",
        "Direct effect on the answer's logit, in logits.",
        (rows) => rows.at(-1)[0] * 5 - 1,
        1,
        null,
        (rows) => rows.at(-1)[0],
      ),
      ...Object.fromEntries(
        (this.options.masks ?? []).map((name) => [
          name,
          make(name, "Attention on a mask of one's own.", (rows) => rows.at(-1)[1], 1),
        ]),
      ),
    };
  }

  /** What `heads.random` answers: scores of the same shape, known from layer and head. */
  randomScores() {
    const { layers, heads } = this.options;
    const score = (label, value) => {
      const values = range(layers).map((layer) => range(heads).map((head) => value(layer, head)));
      const card = "Seeded repeated random tokens.";
      return { label, card, source: "definitions, section 4", values, bars: values, n: 200, reason: null };
    };
    const most = layers * heads;
    return {
      induction_random: score("induction (random)", (layer, head) => (layer * heads + head + 1) / most),
      duplicate_random: score("duplicate (random)", (layer, head) => 1 - (layer * heads + head) / most),
    };
  }

  /** What `heads.rank` answers: how much every head attends from `dest` to `src`. */
  rankScore({ run, dest, src }) {
    const values = this.values(run).map((layer) => layer.map((rows) => rows[dest][src]));
    const bars = values.map((row) => row.map(Math.abs));
    const about = { card: "Attention of every head in one cell.", source: "the pattern itself" };
    return { label: `cell ${dest}<${src}`, ...about, values, bars, n: 1, reason: null };
  }

  receive(message) {
    if (this.mode.silent) return;
    if (this.mode.holdAll) return this.held.push(message);
    if (message.kind === "hello") return this.welcome(message);
    if (message.kind === "cancel") return this.cancel(message.id);
    const { id, op, params } = message;
    const failure = this.mode.fail[op];
    if (failure) {
      this.say({ kind: "accepted", id });
      return this.say({ kind: "failed", id, ...failure });
    }
    this.say({ kind: "accepted", id });
    if (answerEdits(this, id, op, params)) return;
    if (op === "question.set") this.setQuestion(id, params);
    else if (op === "heads.atlas") this.sendAtlas(id, params.run);
    else if (op === "heads.pattern") this.sendPattern(id, params);
    else if (op === "heads.random" && this.mode.holdRandom) this.pendingRandom = id;
    else if (op === "heads.random") this.done(id, { scores: this.randomScores() });
    else if (op === "heads.rank") this.done(id, { score: this.rankScore(params) });
    else if (op === "heads.value") {
      const { layer, head, dest, src } = params;
      const value = this.values(params.run, params.weighting)[layer][head][dest][src];
      this.say({
        kind: "done",
        id,
        rev: this.rev,
        data: { value: Number.isFinite(value) ? value : null, ...params },
        arrays: {},
      });
    }
  }

  done(id, data) {
    this.say({ kind: "done", id, rev: this.rev, data, arrays: {} });
  }

  /** Lets what was held come through, in order. */
  release() {
    this.mode.holdAll = false;
    for (const message of this.held.splice(0)) this.receive(message);
  }

  say(message, buffers = []) {
    this.model.receive({ v: this.options.v ?? 1, ...message }, buffers);
  }

  welcome({ client }) {
    this.say({
      kind: "welcome",
      client,
      epoch: this.options.kernelEpoch ?? this.model.get("epoch"),
      revs: { ...this.counts },
      snapshot: {},
      running: [],
    });
  }

  cancel(id) {
    this.mode.cancelled = id;
    this.say({ kind: "cancelled", id, reason: "user" });
  }

  setQuestion(id, params) {
    if (params.base_rev !== this.rev) {
      return this.say({
        kind: "failed",
        id,
        error: "Stale",
        message: "The question has changed meanwhile.",
        hint: "Look again.",
        retryable: true,
      });
    }
    if (params.which) {
      const words = params.text.trim() === "" ? [] : params.text.trim().split(/\s+/);
      this.prompts[params.which] = {
        text: params.text,
        labels: ["‹bos›", ...words.map((word) => `␣${word}`)],
      };
    }
    for (const name of ["answer", "distractor"])
      if (name in params)
        this.answers[name] =
          params[name] === null
            ? { ...answer("␣the"), guessed: true }
            : answer(params[name].replaceAll(" ", "␣"));
    if ("prompt" in params) {
      this.prompts.clean = [this.firstPrompt, ...this.options.more][params.prompt];
      this.shownPrompt = params.prompt;
      this.ofMean = false;
    }
    if (params.mean) {
      this.prompts.clean = this.options.mean;
      this.ofMean = true;
    }
    if (params.metric) this.metric = params.metric;
    if (params.base) this.base = params.base;
    this.rev++;
    this.counts.question++;
    this.model.update({ revs: { ...this.counts }, question: this.question() });
    this.say({ kind: "done", id, rev: this.rev, data: { rev: this.rev }, arrays: {} });
    this.startJob();
  }

  startJob() {
    const job = `k-${++this.job}`;
    this.model.update({ status: { ...status("running"), op: "heads.atlas", job } });
    if (!this.mode.holdAtlas) this.finishJob();
  }

  /** A streamed part of the atlas: layers first..last. */
  partial(first, last, seq, id = `k-${this.job}`) {
    const side = this.side();
    const shape = [last - first, this.options.heads, side, side];
    const data = {
      run: this.run,
      layers: [first, last],
      rev: this.rev,
      positions: this.promptOf(this.run).labels.length,
      side,
    };
    const progress = { done: last, total: this.options.layers, seconds_left: 0.4 };
    const arrays = { thumbs: { ...arrayEntry(shape, this.run), buffer: 0 } };
    this.say({ kind: "partial", id, seq, progress, data, arrays }, [
      new DataView(this.thumbs(first, last).buffer),
    ]);
  }

  finishJob() {
    this.counts.atlas++;
    this.model.update({ revs: { ...this.counts }, atlas: this.atlas() });
    this.model.update({ status: status("idle") });
  }

  sendAtlas(id, run) {
    this.run = run;
    if (this.mode.holdAtlas) {
      this.pendingAtlas = id;
      return;
    }
    this.counts.atlas++;
    this.model.update({ revs: { ...this.counts }, atlas: this.atlas() });
    this.say({ kind: "done", id, rev: this.rev, data: { run }, arrays: {} });
  }

  sendPattern(id, { run, heads, dest, src, side, weighting = "attention" }) {
    const values = this.values(run, weighting);
    const all = values[0][0].length;
    const [down, across] = [dest ?? [0, all], src ?? [0, all]];
    const size = Math.min(side, down[1] - down[0]);
    const pooled = size < down[1] - down[0];
    const whole = down[0] === 0 && across[0] === 0 && down[1] === all && across[1] === all;
    const lower = !pooled && run !== "difference" && whole;
    const window = (rows) => rows.slice(...down).map((row) => row.slice(...across));
    const parts = heads.map(([layer, head]) => pool(window(values[layer][head]), size));
    const top =
      weighting === "value" ? Math.max(...parts.flatMap((rows) => rows.flatMap((row) => [...row]))) : 1;
    const scaled = (rows) => rows.map((row) => [...row].map((value) => value / top));
    const planes = parts.map((rows) => encode(scaled(rows), run, lower));
    const bytes = new Uint8Array(planes.reduce((sum, plane) => sum + plane.length, 0));
    let at = 0;
    for (const plane of planes) {
      bytes.set(plane, at);
      at += plane.length;
    }
    const entry = {
      ...arrayEntry([heads.length, size, size], run),
      layout: lower ? "lower" : "full",
      buffer: 0,
    };
    entry.scale *= top;
    const data = { run, heads, pooled, weighting, top };
    this.say({ kind: "done", id, rev: this.rev, data, arrays: { pattern: entry } }, [
      new DataView(bytes.buffer),
    ]);
  }
}

const DEFAULT = {
  text: "When Mary and John went to the store, John gave a drink to",
  labels: [
    "‹bos›",
    "␣When",
    "␣Mary",
    "␣and",
    "␣John",
    "␣went",
    "␣to",
    "␣the",
    "␣store",
    ",",
    "␣John",
    "␣gave",
    "␣a",
    "␣drink",
    "␣to",
  ],
};
export const CORRUPTED = {
  text: "When Mary and John went to the store, Mary gave a drink to",
  labels: DEFAULT.labels.map((label, at) => (at === 10 ? "␣Mary" : label)),
};

const range = (n) => Array.from({ length: n }, (_, i) => i);
const answer = (label) => ({
  texts: [label.replaceAll("␣", " ")],
  labels: [label],
  ids: [1],
  guessed: false,
});
export const status = (state) => ({
  state,
  op: null,
  job: null,
  done: 0,
  total: 0,
  seconds_left: null,
  error: null,
});

const signed = (run) => run === "difference" || run === "against";

function arrayEntry(shape, run) {
  const scale = signed(run) ? 2 / 254 : 1 / 254;
  return { dtype: "u8", shape, layout: "full", scale, offset: signed(run) ? -1 : 0 };
}

function encode(rows, run, lower = false) {
  const out = [];
  for (const [dest, row] of rows.entries()) {
    for (const [src, value] of [...row].entries()) {
      if (lower && src > dest) continue;
      const share = signed(run) ? (value + 1) / 2 : value;
      out.push(Number.isFinite(value) ? Math.round(Math.min(1, Math.max(0, share)) * 254) : 255);
    }
  }
  return Uint8Array.from(out);
}

/** Max-pooled by magnitude to `side` cells; the pattern itself when it fits. */
function pool(rows, side) {
  const size = rows.length;
  if (size <= side) return rows;
  const cell = (token) => range(side).findLast((index) => Math.floor((index * size) / side) <= token);
  const cells = range(size).map(cell);
  const out = range(side).map(() => new Float64Array(side));
  for (let dest = 0; dest < size; dest++) {
    for (let src = 0; src < size; src++) {
      const value = rows[dest][src];
      const [r, c] = [cells[dest], cells[src]];
      if (Number.isNaN(value) || Math.abs(value) > Math.abs(out[r][c])) out[r][c] = value;
    }
  }
  return out;
}

/** Puts a widget on the page: one model, `views` views of it; `options` as of ScriptedKernel. */
export async function mount(widget, options = {}, views = 1, Kernel = ScriptedKernel) {
  const kernel = new Kernel(options);
  const model = kernel.connect();
  if (options.deafSend) delete Object.getPrototypeOf(model).send;
  const life = new AbortController();
  await widget.initialize?.({ model, signal: life.signal });
  const held = [];
  for (let view = 0; view < views; view++) {
    const el = document.createElement("div");
    document.querySelector("#host").append(el);
    const signal = new AbortController();
    const cleanup = await widget.render({ model, el, signal: signal.signal });
    held.push({ el, signal, cleanup });
  }
  return { kernel, model, views: held, life };
}
