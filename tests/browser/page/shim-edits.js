// The scripted kernel's answers to what is tried on heads: effects, what a head writes, and the list of edits.

const metric = { name: "logit_diff", label: "logit difference" };

/** What an intervention does here: each kind has its own number, so that a test sees which one was asked for. */
function effectOf(kernel, { what, heads, weights, dest, src }) {
  const change = { zero: 3.07, mean: 2, resample: 1, knockout: 0.5 + (dest ?? 0) / 10 + (src ?? 0) / 100 }[
    what
  ];
  const lost = what === "pattern" ? 4 * (1 - (weights?.[0] ?? 0)) : change * heads.length;
  const after = 4.71 - lost;
  const sites = heads.map(([layer, head]) => `L${layer}H${head}`).join(", ");
  return {
    metric: {
      ...metric,
      base: 4.71,
      after,
      recovered: null,
      destroyed: lost / 9.33,
      ...kernel.options.effect,
    },
    tokens: kernel.options.tokens ?? [
      { id: 1, label: "␣Mary", before: 0.93, after: 0.61 },
      { id: 2, label: "␣John", before: 0.04, after: 0.33 },
      { id: 3, label: "␣store", before: 0.01, after: 0.02 },
    ],
    edits: [{ label: `${what} ${sites}`, on: true, site: sites, note: "" }],
    note: kernel.options.note ?? "",
    provenance: {},
  };
}

function writesOf({ layer, head, position, k }) {
  const names = ["␣Mary", "␣Ann", "␣Sue", "␣her", "␣She", "␣Eve", "␣Kim", "␣Joy"].slice(0, k);
  const entries = (sign) =>
    names.map((label, at) => ({ id: at, label, logit: sign * (4 - at / 2 + layer / 10 + position / 100) }));
  return {
    layer,
    head,
    position,
    promoted: entries(1),
    suppressed: entries(-1),
    logit_effect: 3.8,
    card: "Direct effect of the head's output through the final norm.",
  };
}

class EditList {
  constructor(kernel) {
    this.kernel = kernel;
    this.past = [];
    this.future = [];
    this.list = kernel.options.edits ?? [];
  }
  set(list) {
    this.past.push(this.list);
    this.future = [];
    this.list = list;
  }
  step(from, to) {
    to.push(this.list);
    this.list = from.pop();
  }
  apply(verb, { index, to }) {
    const others = this.list.filter((_, at) => at !== index);
    if (verb === "undo") this.step(this.past, this.future);
    else if (verb === "redo") this.step(this.future, this.past);
    else if (verb === "clear") this.set([]);
    else if (verb === "remove") this.set(others);
    else if (verb === "toggle")
      this.set(this.list.map((it, at) => (at === index ? { ...it, on: !it.on } : it)));
    else if (verb === "move") this.set([...others.slice(0, to), this.list[index], ...others.slice(to)]);
  }
  get history() {
    return { undo: this.past.length > 0, redo: this.future.length > 0 };
  }
}

export const editsOf = (kernel) => {
  kernel.editList ??= new EditList(kernel);
  return kernel.editList;
};

/** Answers an op of these; says whether it was one. */
export function answerEdits(kernel, id, op, params) {
  const done = (data) => kernel.say({ kind: "done", id, rev: kernel.rev, data, arrays: {} });
  const [noun, verb] = op.split(".");
  if (op === "heads.effect") {
    if (kernel.mode.holdEffect) kernel.pendingEffect = () => done(effectOf(kernel, params));
    else done(effectOf(kernel, params));
  } else if (op === "heads.writes") done(writesOf(params));
  else if (op === "heads.keep" || noun === "edits") {
    if (params.base_rev !== kernel.rev) {
      const words = { message: "The question has changed meanwhile.", hint: "Look again.", retryable: true };
      kernel.say({ kind: "failed", id, error: "Stale", ...words });
      return true;
    }
    const edits = editsOf(kernel);
    if (noun === "edits") edits.apply(verb, params);
    else {
      edits.set([...edits.list, ...effectOf(kernel, params).edits]);
      kernel.base = kernel.run === "corrupted" ? "corrupted" : "clean";
    }
    kernel.rev++;
    kernel.counts.question++;
    kernel.model.update({ revs: { ...kernel.counts }, question: kernel.question() });
    kernel.finishJob();
    done({ rev: kernel.rev });
  } else return false;
  return true;
}
