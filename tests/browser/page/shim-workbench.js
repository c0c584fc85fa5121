// The scripted kernel of the workbench: a kernel for each view that was shown, all of them asked the same question.

import { mount as mountWidget, ScriptedKernel } from "./shim.js";
import { BoardKernel } from "./shim-board.js";
import { editsOf } from "./shim-edits.js";
import { LensKernel } from "./shim-lens.js";
import { CORRUPTED, SweepKernel } from "./shim-sweep.js";

const KINDS = { heads: ScriptedKernel, lens: LensKernel, board: BoardKernel, sweep: SweepKernel };
const WORDS = () => globalThis.words.of;

export class BenchKernel extends ScriptedKernel {
  constructor(options = {}) {
    super({ corrupted: CORRUPTED, ...options });
    this.inside = {};
    this.models = {};
  }

  connect() {
    const model = super.connect();
    delete model.state.atlas;
    model.widget_manager = { get_model: (id) => this.modelOf(id) };
    const panes = this.options.panes ?? ["heads"];
    for (const name of panes) this.open(name);
    Object.assign(model.state, { panes, views: this.views() });
    return model;
  }

  modelOf(id) {
    if (this.options.lost) return Promise.reject(new Error("no such model"));
    return Promise.resolve(this.models[id]);
  }

  views() {
    return Object.fromEntries(Object.keys(this.inside).map((name) => [name, `IPY_MODEL_${name}-1`]));
  }

  open(name) {
    if (this.inside[name]) return;
    const kernel = new KINDS[name]({ ...this.options, epoch: `epoch-${name}` });
    this.inside[name] = kernel;
    kernel.editList = editsOf(this);
    this.share(kernel);
    const model = kernel.connect();
    model.state.words = { ...WORDS().shared, ...WORDS()[name] };
    this.models[`${name}-1`] = model;
    // What one view changes all views are asked.
    const { update } = model;
    model.update = (state) => {
      update.call(model, state);
      if (state.question && !this.sharing) this.spread(kernel);
    };
  }

  share(kernel) {
    const { prompts, answers, metric, base, rev } = this;
    Object.assign(kernel, { prompts, answers, metric, base, rev });
  }

  /** The question of one of them becomes that of all. */
  spread(from) {
    this.sharing = true;
    const { prompts, answers, metric, base, rev } = from;
    for (const kernel of [this, ...Object.values(this.inside)]) {
      if (kernel === from) continue;
      Object.assign(kernel, { prompts, answers, metric, base, rev });
      kernel.counts.question++;
      kernel.model.update({ revs: { ...kernel.counts }, question: kernel.question() });
      if (kernel !== this) kernel.startJob();
    }
    this.sharing = false;
  }

  atlas() {
    return {};
  }

  /** Nothing is drawn here but what the views draw. */
  startJob() {
    this.spread(this);
  }

  finishJob() {
    this.spread(this);
  }

  receive(message) {
    super.receive(message);
    const { kind, id, op, params } = message;
    if (kind !== "request" || this.mode.silent || this.mode.holdAll || this.mode.fail[op]) return;
    if (op !== "bench.show") return;
    const panes = params.panes.map((it) => it.name);
    for (const name of panes) this.open(name);
    this.model.update({ views: this.views(), panes });
    this.done(id, { panes });
  }
}

export { CORRUPTED, status } from "./shim.js";
export const mount = (widget, options, views) => mountWidget(widget, options, views, BenchKernel);
