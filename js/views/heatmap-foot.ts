// Below the heat map: the scale of its colours with ticks, what its marks mean, and other ways to read and to ask.
import { css } from "../lib/colour";
import { actionButton } from "../lib/controls";
import { attribute, h, memo, setText, show } from "../lib/dom";
import { rectSize } from "../lib/sweep-places";
import type { SweepSession } from "../lib/sweep-session";
import { ESTIMATE, NONE, SAME } from "../lib/sweep-table";
import { ticksOf, viewLabel } from "../lib/sweep-values";
import type { ViewContext } from "./context";
import { type HeatmapLook, rampOf } from "./heatmap-figure";

export interface HeatmapFoot {
  element: HTMLElement;
  draw(look: HeatmapLook, tabled: boolean, formed: boolean): void;
}

export function createHeatmapFoot(
  context: ViewContext<SweepSession>,
  act: { table(): void; form(): void; again(): void },
): HeatmapFoot {
  const { session, tip } = context;
  const name = h("span");
  const ramp = h("i.sweep-ramp");
  const ticks = h("span.sweep-ticks");
  const legend = h("span.sweep-legend", name, h("span.sweep-scale", ramp, ticks));
  tip.attach(legend, () => {
    const { table, shownView } = session;
    return tip.card(shownView, table ? viewLabel(table.map, shownView) : "");
  });
  const hatched = h("span", h("i.sweep-hatch"), "same tokens up to there");
  const lacking = h("span", h("i.sweep-hatch", { "data-none": true }), "no number");
  const guessed = h("span", "~ estimate");
  tip.attach(guessed, () => tip.card("estimate"));
  tip.attach(hatched, () => tip.card("same"));
  const dotted = h("span", h("i.sweep-dot"), "on the patch board");
  const link = (label: string, name: string, card: string, run: () => void) =>
    actionButton(label, tip, run, { class: "mi-link", name, card });
  const again = link("", "rerun-part", "Runs the cells that are brushed once more (key R).", act.again);
  const form = link("by form", "sweep-form", "Choose cells from lists, to add or to run again.", act.form);
  const table = link("table", "sweep-table", "The same cells as a table of text.", act.table);
  const element = h(
    "div.sweep-foot",
    legend,
    hatched,
    lacking,
    guessed,
    dotted,
    again,
    h("span.sweep-links", form, table),
  );
  const ramped = memo<void>();
  const ticked = memo<void>();

  return {
    element,
    draw(look, tabled, formed) {
      const { table: cells, values, theme, added } = look;
      setText(name, values.view === "raw" ? cells.map.label : viewLabel(cells.map, values.view));
      ramped([theme], () => {
        ramp.style.background = `linear-gradient(to right, ${rampOf(look).map(css)})`;
      });
      ticked([values], () =>
        ticks.replaceChildren(
          ...ticksOf(values).map(({ share, text }) => {
            const tick = h("span", text);
            tick.style.left = `${share * 100}%`;
            return tick;
          }),
        ),
      );
      show(hatched, cells.count(SAME) > 0);
      show(lacking, cells.count(NONE) > 0);
      show(guessed, cells.count(ESTIMATE) > 0);
      show(dotted, added.size > 0);
      const { rect } = session;
      show(again, rect !== null);
      setText(again, rect ? `run ${rectSize(rect)} ${rectSize(rect) === 1 ? "cell" : "cells"} again` : "");
      attribute(table, "aria-pressed", tabled);
      attribute(form, "aria-pressed", formed);
    },
  };
}
