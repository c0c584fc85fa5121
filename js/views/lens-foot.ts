// Below the lens table: what its colours run over, what its marks mean, and what is folded.
import { css } from "../lib/colour";
import { actionButton } from "../lib/controls";
import { attribute, h, memo, setText, show } from "../lib/dom";
import { amber, rampColour, scaleEnds } from "../lib/lens-colours";
import type { LensSession } from "../lib/lens-session";
import type { ViewContext } from "./context";
import type { LensLook } from "./lens-figure";

/** Stops of the colour legend. */
const STOPS = 9;

export interface LensFoot {
  element: HTMLElement;
  draw(look: LensLook, tabled: boolean): void;
}

export function createLensFoot(context: ViewContext<LensSession>, toggleTable: () => void): LensFoot {
  const { session, tip } = context;
  const [low, high, ramp] = [h("span"), h("span"), h("i")];
  const scale = h("span.lens-scale", low, ramp, high);
  tip.attach(scale, () => {
    const { title = "", formula = "", source = "" } = session.lens?.card ?? {};
    return { lines: [title, formula, source] };
  });
  const changed = h("span", h("i.lens-dot"), "changed by the edit");
  const added = h("span");
  const folded = h("span");
  const link = (label: string, name: string, card: string, run: () => void) =>
    actionButton(label, tip, run, { class: "mi-link", name, card });
  const fold = link("fold again", "fold", "Folds the rows that were opened.", () => session.foldRows());
  const table = link("table", "lens-table", "The same cells as a table of text.", toggleTable);
  const element = h("div.lens-foot", scale, added, changed, folded, fold, table);
  const ramped = memo<void>();

  return {
    element,
    draw({ lens, layout, theme }, tabled) {
      const [from, to] = scaleEnds(lens);
      setText(low, from);
      setText(high, to);
      ramped([lens.scale, theme], () => {
        const stops = Array.from({ length: STOPS }, (_, at) =>
          css(rampColour(lens, theme, at / (STOPS - 1))),
        );
        ramp.style.background = `linear-gradient(to right, ${stops})`;
        folded.style.color = css(amber(theme).mark);
      });
      // Contributions have no measure but the logit difference: they have a scale of their own.
      show(added, lens.reach > 0 && lens.measure !== "logit_diff");
      setText(added, `attn, mlp: what they add, ±${lens.reach.toFixed(1)} logits`);
      show(changed, lens.cells.compared);
      const rows = layout.lines.reduce((sum, it) => sum + Number(it.folded) * (it.last - it.first + 1), 0);
      setText(folded, `amber row: ${rows} ${rows > 1 ? "rows" : "row"} folded, click to open`);
      show(folded, rows > 0);
      const opened = ({ label }: { label: string }, at: number) =>
        session.opened.has(label) && !lens.shown.rows.includes(at);
      show(fold, lens.rows.some(opened));
      attribute(table, "aria-pressed", tabled);
    },
  };
}
