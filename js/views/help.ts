// The "?" card: every key, what the colours mean, and one sentence on each of the widget's words.
import { attribute, focusedIn, h, setText, show, uniqueId, watchFacts } from "../lib/dom";
import { onKeys } from "../lib/keyboard";
import type { View, ViewContext } from "./context";
import type { Composition, Term } from "./widget";

/** The keys of every widget. */
const KEYS: Term[] = [
  ["Ctrl + Z", "undo an edit, with Shift redo it; Delete removes an edit's chip"],
  ["?", "this card"],
];

/** What is explained, each followed by its words. */
const list = (pairs: readonly Term[]) => pairs.flatMap(([what, words]) => [h("dt", what), h("dd", words)]);

export function createHelp(
  context: ViewContext,
  { title, keys, reading, terms }: Composition["help"],
): View & { toggle(): void } {
  const id = uniqueId("help");
  const words = h("dl");
  const close = h("button.button", { "data-action": "close-help", onclick: () => toggle() }, "Close");
  const pressed = h("dl", ...list([...keys, ...KEYS].map(([key, does]) => [h("kbd", key), does])));
  const lacking = h("dl#lacking");
  const lackingHead = h("b");
  const model = h("section.help-model", { hidden: true }, lackingHead, lacking);
  const element = h(
    "div.help#help",
    { role: "dialog", "aria-labelledby": id, hidden: true, tabindex: -1 },
    h("div.help-head", h("b", { id }, title), close),
    model,
    h("div.help-body", pressed, h("div", h("p", reading), words)),
  );
  const news = watchFacts();
  onKeys(element, { Escape: () => toggle(), "?": () => toggle() });
  let back: HTMLElement | null = null;
  function toggle(): void {
    element.hidden = !element.hidden;
    attribute(context.root, "data-help", !element.hidden);
    if (element.hidden) return back?.focus();
    back = focusedIn(context.root);
    close.focus();
  }
  function update(): void {
    const { name = "this model", missing = {} } = context.session.question?.model ?? {};
    const found = terms();
    if (!news(name, missing, found.length)) return;
    const lacked = Object.entries(missing);
    show(model, lacked.length > 0);
    setText(lackingHead, `Sites that ${name} does not have, and why`);
    lacking.replaceChildren(...list(lacked));
    words.replaceChildren(...list(found));
  }
  return { element, update, toggle };
}
