// The two header lines: what this is and what it shows; what is asked.
import { actionButton, menuButton, Switch } from "../lib/controls";
import { attribute, h, setText, show } from "../lib/dom";
import { shortLabel } from "../lib/labels";
import { COMPARED, RUNS, type Run } from "../lib/protocol";
import { createChips } from "./chips";
import type { View, ViewContext } from "./context";
import { createPrompt } from "./prompt";
import { createScores } from "./scores";

const RUN_CARDS: Record<Run, string> = {
  clean: "The clean prompt as it is.",
  corrupted: "The corrupted prompt as it is.",
  edited: "The base prompt with the edits that are switched on.",
  difference: "Clean minus corrupted, cell by cell: blue is more in clean, red is more in corrupted.",
  other: "The clean prompt in the experiment that this one is compared with.",
  against: "Clean minus the same run of the other experiment: blue is more here, red is more there.",
};

export interface HeaderActions {
  exports: () => { label: string; name: string; run: () => void }[];
  projector(): boolean;
  toggleProjector(): void;
}

export function createHeader(context: ViewContext, actions: HeaderActions): View {
  const { session, tip } = context;
  const model = h("span.chip.model");
  const scores = createScores(context);
  const projector = actionButton("◱", tip, actions.toggleProjector, {
    class: "mi-button mi-square",
    name: "projector",
    card: () => ({ title: "projector", lines: ["Larger type and stronger contrast, for talks."] }),
  });
  attribute(projector, "aria-label", "projector");
  const help = actionButton("?", tip, () => context.toggleHelp(), {
    class: "mi-button mi-square",
    name: "help",
  });
  attribute(help, "aria-label", "help: keys and scores");
  const title = h("h2.title", "Attention heads");
  const first = h(
    "div.line.line-first",
    h("div.group.lead", title, model),
    scores.element,
    h("div.group", projector, menuButton("Export ▾", context.signal, actions.exports), help),
  );

  const prompt = createPrompt(context);
  const run = new Switch("run", tip, (name) => session.setRun(name as Run));
  const base = select(
    "base",
    context,
    (value) => void session.setQuestion({ base: value }),
    "Where edited runs start: the clean or the corrupted prompt.",
  );
  const chips = createChips(context);
  const metric = select(
    "metric",
    context,
    (value) => void session.setQuestion({ metric: value }),
    "How the answer is scored at the answer position.",
  );
  const baseGroup = h("span.group", h("span.word", "base"), base.element);
  const second = h(
    "div.line.line-second",
    prompt.element,
    h("div.group.controls", run.element, baseGroup, chips.element, metric.element),
  );
  const element = h("header.header", { "data-part": "header" }, first, second);

  function runs() {
    const names = session.question?.compare ? [...RUNS, ...COMPARED] : RUNS;
    return names.map((name) => {
      const label = session.runLabel(name);
      const card = { title: label, lines: [RUN_CARDS[name]] };
      const off = session.runReason(name);
      return { name, label: shortLabel(label, 24), chosen: session.run === name, off, card };
    });
  }

  function update(): void {
    const { question } = session;
    const facts = question?.model;
    const atlas = session.atlas;
    const words = facts
      ? `${facts.name} · ${facts.n_layers} layers × ${facts.n_heads} heads · ${facts.dtype} · ${facts.device}`
      : question?.arrays && atlas
        ? `from arrays · ${atlas.layers} layers × ${atlas.heads} heads`
        : "";
    show(model, words !== "");
    setText(model, words);
    attribute(model, "title", words || null);
    setText(title, question?.title || "Attention heads");
    scores.update();
    attribute(projector, "aria-pressed", String(actions.projector()));
    show(second, !!facts);
    if (!question || !facts) return;
    prompt.update();
    run.update(runs());
    show(baseGroup, question.prompts.corrupted !== null);
    base.update(
      [
        ["clean", "clean"],
        ["corrupted", "corrupted"],
      ],
      question.base,
    );
    chips.update();
    metric.update(
      question.metrics.length ? question.metrics : [[question.metric, question.metric_label]],
      question.metric,
    );
  }
  return { element, update };
}

/** A native menu, so that it works with every input device; off with a reason like every other control. */
function select(name: string, context: ViewContext, choose: (value: string) => void, words: string) {
  const element = h("select.select", { "aria-label": name, "data-select": name });
  element.addEventListener("change", () => choose(element.value));
  element.addEventListener("keydown", (event) => event.stopPropagation());
  context.tip.attach(element, () => ({ title: name, lines: [context.session.offReason ?? words] }));
  let drawn = "";
  return {
    element,
    update(choices: readonly (readonly [string, string])[], chosen: string) {
      const facts = JSON.stringify(choices);
      if (facts !== drawn) {
        drawn = facts;
        element.replaceChildren(...choices.map(([value, label]) => h("option", { value }, label)));
      }
      if (element.value !== chosen) element.value = chosen;
      element.disabled = context.session.offReason !== null;
    },
  };
}
