// The lens' own switches in the header, and its edits as chips beside the model: which run they are in is said there.
import { Switch } from "../lib/controls";
import { attribute, h, setText, show } from "../lib/dom";
import type { LensSession } from "../lib/lens-session";
import type { View, ViewContext } from "./context";
import { createPatchChips } from "./patch-chips";

/** Measures as a switch has room for them; the card says the whole of it. */
const SHORT: Readonly<Record<string, string>> = {
  prob: "prob",
  rank: "rank",
  kl: "KL",
  logit_diff: "logit diff",
};

/** "colour [prob | rank | …] [residual | sublayers] [plain | tuned]" */
export function createLensSwitches(context: ViewContext<LensSession>): View {
  const { session, tip } = context;
  const measure = new Switch("colour", tip, (name) => session.setMeasure(name));
  const rows = new Switch("rows", tip, (name) => session.setSublayers(name === "sublayers"));
  const lens = new Switch("lens", tip, (name) => session.setTuned(name === "tuned"));
  const element = h(
    "div.group.scores",
    h("span.word", "colour"),
    measure.element,
    rows.element,
    lens.element,
  );
  const two = (control: Switch, on: boolean, names: readonly [off: string, on: string], why: string | null) =>
    control.update(
      names.map((name, at) => {
        const chosen = on === (at === 1);
        return { name, label: name, chosen, off: chosen ? null : why, card: tip.card(name, name) };
      }),
    );
  function update(): void {
    const { lens: picture } = session;
    show(element, picture !== null);
    if (!picture) return;
    measure.update(
      picture.measures.map(({ name, label, card }) => ({
        name,
        label: SHORT[name] ?? label,
        chosen: session.measure === name,
        off: session.measureReason(name),
        card: { title: label, lines: [card] },
      })),
    );
    two(rows, session.sublayers, ["residual", "sublayers"], session.offReason);
    two(lens, session.tuned, ["plain", "tuned"], session.tunedReason);
    show(lens.element, session.translated);
  }
  return { element, update };
}

/** "edited run: [zero L9.H6 ×]": the experiment's edits, switched, removed and undone where they stand. */
export function createEditedChips(context: ViewContext<LensSession>): View {
  const { session } = context;
  const chips = createPatchChips(context);
  const word = h("span.edited-word");
  const element = h("span.group.edited", { "data-part": "edited" }, word, chips.element);
  function update(): void {
    chips.update();
    const run = session.shown?.run;
    const on = session.question?.edits.some((edit) => edit.on) ?? false;
    const edited = on && (run === "edited" || run === "change");
    show(element, !chips.element.hidden);
    setText(
      word,
      edited
        ? run === "edited"
          ? "edited run:"
          : "edited − unedited:"
        : on
          ? "not in this run:"
          : "edits off:",
    );
    show(word, (session.question?.edits.length ?? 0) > 0);
    attribute(element, "data-edited", edited);
  }
  return { element, update };
}
