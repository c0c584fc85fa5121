// The two header lines: what this is and what it shows; what is asked.
import { actionButton, createSelect, Switch } from "../lib/controls";
import { attribute, h, set, setText, show } from "../lib/dom";
import { times } from "../lib/geometry";
import { dotted, shortLabel } from "../lib/labels";
import type { Params, Run } from "../lib/protocol";
import { createChips } from "./chips";
import type { View, ViewContext } from "./context";
import { createPrompt } from "./prompt";
import type { Composition } from "./widget";

/** The runs of every widget. */
export const RUNS: readonly Run[] = ["clean", "corrupted", "edited", "difference"];

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
  const modelRest = h("span.model-rest");
  const modelName = h("span");
  const model = h("span.chip.model", modelName, modelRest);
  const square = (label: string, name: string, says: string, action: () => void) =>
    actionButton(label, tip, action, { class: "mi-button mi-square", name, says });
  const projector = square("◱", "projector", "projector", facts.toggleProjector);
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
  const select = (name: string, change = (value: string): Params => ({ [name]: value })) =>
    createSelect(
      name,
      tip,
      () => session.offReason,
      (value) => void session.setQuestion(change(value)),
    );
  const picker = select("shown prompt", (value) =>
    value === "mean" ? { mean: true } : { prompt: Number(value) },
  );
  const base = select("base");
  const chips = createChips(context);
  const metric = select("metric");
  const baseGroup = h("span.group", h("span.word", "base"), base.element);
  const controls = h(
    "div.group.controls",
    picker.element,
    run.element,
    baseGroup,
    chips.element,
    metric.element,
  );
  const second = h("div.line.line-second", prompt.element, controls);
  const element = h("header.header#header", first, second);

  function choice(name: Run) {
    const label = session.runLabel(name);
    const off = session.runReason(name);
    const card = tip.card(name, label);
    return { name, label: shortLabel(label, 24), chosen: session.run === name, off, card };
  }

  function update(): void {
    const { question } = session;
    const asked = question?.model;
    const words = asked
      ? [asked.name, sizeText(asked.n_layers, asked.n_heads), asked.dtype, asked.device]
      : (unmodelled?.() ?? []);
    const text = dotted(words);
    // Name and number of layers, and what a widget with more in its first line leaves to the title.
    const [, name, rest] = /^(.*? layers)?(.*)$/s.exec(text) ?? [];
    setText(modelName, name ?? "");
    setText(modelRest, rest ?? "");
    set(model, { title: text || null, hidden: text === "" });
    setText(title, question?.title || facts.title);
    main.update();
    lead?.update();
    attribute(projector, "aria-pressed", facts.projector());
    show(second, !!asked);
    if (!question || !asked) return;
    const { prompts, n_prompts, mean, metrics, metric: chosen, metric_label } = question;
    prompt.update();
    show(picker.element, n_prompts > 1);
    if (n_prompts > 1) {
      const numbers = times(n_prompts, (at) => [String(at), `${at + 1} of ${n_prompts}`] as const);
      const off = mean ? (mean.reason ?? "") : session.why("no-mean");
      picker.update([...numbers, ["mean", "mean", off]], mean?.shown ? "mean" : String(question.prompt));
    }
    run.update(runs().map(choice));
    show(baseGroup, prompts.corrupted !== null);
    const bases = ["clean", "corrupted"].map((name) => [name, name] as const);
    base.update(bases, question.base);
    chips.update();
    metric.update(metrics.length ? metrics : [[chosen, metric_label]], chosen);
  }
  return { element, update };
}
