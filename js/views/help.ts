// The "?" card: every key, what the colours mean, and one sentence on each score.
import { attribute, type Child, h, setText, show, uniqueId, watchFacts } from "../lib/dom";
import { onKeys } from "../lib/keyboard";
import type { View, ViewContext } from "./context";

const KEYS: [string, string][] = [
  ["arrows", "move over heads, cells or tokens; Home, End and page keys go to the end"],
  ["Space", "lock the head, pick the cell, focus the token"],
  ["Shift + Space", "add the head to the selection, or take it out; so does Shift + click"],
  ["Enter", "pick the head up to carry it to a patch board; on a cell or token: pick it"],
  ["Escape", "put back what is carried; clear the selection; in a text: restore it"],
  ["[ ]", "the layer above, the layer below"],
  ["C E", "compare with the other prompt or model; edited or unedited"],
  ["+ − 0", "look closer at the pattern, further, at all of it; the wheel after a click, drag to pan"],
  ["A K R", "ablate the head; knock out the picked cell; rank heads by it"],
  ["Ctrl + Z", "undo an edit, with Shift redo it; Delete removes an edit's chip"],
  ["?", "this card"],
];

/** What is explained, each followed by its words. */
const terms = (pairs: readonly (readonly [what: Child, words: string])[]) =>
  pairs.flatMap(([what, words]) => [h("dt", what), h("dd", words)]);

export function createHelp(context: ViewContext): View & { toggle(): void } {
  const id = uniqueId("help");
  const scores = h("dl");
  const close = h("button.button", { "data-action": "close-help", onclick: () => toggle() }, "Close");
  const keys = h("dl", ...terms(KEYS.map(([key, words]) => [h("kbd", key), words])));
  const reading = h(
    "p",
    "Row = the token that looks (dest), column = the token it looks at (src). All thumbnails share one scale, 0 to 1; a difference runs from −1 to 1. The part that the causal mask forbids has its own ground; hatched cells are not finite.",
  );
  const lacking = h("dl", { "data-part": "lacking" });
  const lackingHead = h("b");
  const model = h("section.help-model", { hidden: true }, lackingHead, lacking);
  const element = h(
    "div.help",
    { role: "dialog", "aria-labelledby": id, hidden: true, "data-part": "help", tabindex: -1 },
    h("div.help-head", h("b", { id }, "Keys, colours, scores"), close),
    model,
    h("div.help-body", keys, h("div", reading, scores)),
  );
  const news = watchFacts();
  onKeys(element, { Escape: () => toggle(), "?": () => toggle() });
  let back: HTMLElement | null = null;
  function toggle(): void {
    element.hidden = !element.hidden;
    attribute(context.root, "data-help", !element.hidden);
    if (element.hidden) return back?.focus();
    const root = context.root.getRootNode() as Document | ShadowRoot;
    back = root.activeElement as HTMLElement | null;
    close.focus();
  }
  function update(): void {
    const { question, atlas } = context.session;
    const { name = "this model", missing = {} } = question?.model ?? {};
    const found = Object.values(atlas?.scores ?? {});
    if (!news(name, missing, found.length)) return;
    const lacked = Object.entries(missing);
    show(model, lacked.length > 0);
    setText(lackingHead, `Sites that ${name} does not have, and why`);
    lacking.replaceChildren(...terms(lacked));
    const sourced = (source: string) => (source ? ` (${source})` : "");
    scores.replaceChildren(...terms(found.map(({ label, card, source }) => [label, card + sourced(source)])));
  }
  return { element, update, toggle };
}
