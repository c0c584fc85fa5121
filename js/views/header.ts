// The two header lines: what this is and what it shows; what is asked.
import { actionButton, createSelect, Switch } from "../lib/controls";
import { attribute, h, set, setText, show } from "../lib/dom";
import { shortLabel } from "../lib/labels";
import type { Run } from "../lib/protocol";
import { createChips } from "./chips";
import type { View, ViewContext } from "./context";
import { createPrompt } from "./prompt";
import type { Composition } from "./widget";

/** The runs of every widget, with their cards. */
export const RUNS: readonly (readonly [Run, string])[] = [
  ["clean", "The clean prompt as it is."],
  ["corrupted", "The corrupted prompt as it is."],
  ["edited", "The base prompt with the edits that are switched on."],
  ["difference", "Clean minus corrupted, cell by cell: blue is more in clean, red is more in corrupted."],
];

export const sizeText = (layers: number, heads: number) => `${layers} layers × ${heads} heads`;

export interface HeaderFacts {
  title: string;
  exports: HTMLElement;
  projector(): boolean;
  toggleProjector(): void;
}

export function createHeader(
  context: ViewContext,
  { main, lead, unmodelled, runs }: Composition,
  facts: HeaderFacts,
): View {
  const { session, tip } = context;
  const model = h("span.chip.model");
  const square = (label: string, name: string, says: string, action: () => void, card = "") =>
    actionButton(label, tip, action, { class: "mi-button mi-square", name, says, card });
  const larger = "Larger type and stronger contrast, for talks.";
  const projector = square("◱", "projector", "projector", facts.toggleProjector, larger);
  const help = square("?", "help", "help: keys and words", context.toggleHelp);
  const title = h("h2.title");
  const first = h(
    "div.line.line-first",
    h("div.group.lead", title, model, lead?.element),
    main.element,
    h("div.group", projector, facts.exports, help),
  );

  const prompt = createPrompt(context);
  const run = new Switch("run", tip, (name) => session.setRun(name as Run));
  const select = (name: string, words: string) =>
    createSelect(
      name,
      tip,
      words,
      () => session.offReason,
      (value) => void session.setQuestion({ [name]: value }),
    );
  const base = select("base", "Where edited runs start: the clean or the corrupted prompt.");
  const chips = createChips(context);
  const metric = select("metric", "How the answer is scored at the answer position.");
  const baseGroup = h("span.group", h("span.word", "base"), base.element);
  const controls = h("div.group.controls", run.element, baseGroup, chips.element, metric.element);
  const second = h("div.line.line-second", prompt.element, controls);
  const element = h("header.header", { "data-part": "header" }, first, second);

  function choice([name, words]: readonly [Run, string]) {
    const label = session.runLabel(name);
    const card = { title: label, lines: [words] };
    const off = session.runReason(name);
    return { name, label: shortLabel(label, 24), chosen: session.run === name, off, card };
  }

  function update(): void {
    const { question } = session;
    const asked = question?.model;
    const words = asked
      ? [asked.name, sizeText(asked.n_layers, asked.n_heads), asked.dtype, asked.device]
      : (unmodelled?.() ?? []);
    const text = words.join(" · ");
    set(model, { text, title: text || null, hidden: text === "" });
    setText(title, question?.title || facts.title);
    main.update();
    lead?.update();
    attribute(projector, "aria-pressed", facts.projector());
    show(second, !!asked);
    if (!question || !asked) return;
    const { prompts, metrics, metric: chosen, metric_label } = question;
    prompt.update();
    run.update(runs().map(choice));
    show(baseGroup, prompts.corrupted !== null);
    const bases = ["clean", "corrupted"].map((name) => [name, name] as const);
    base.update(bases, question.base);
    chips.update();
    metric.update(metrics.length ? metrics : [[chosen, metric_label]], chosen);
  }
  return { element, update };
}
