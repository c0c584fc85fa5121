// The logit-lens widget: its parts, in the frame that all widgets share.
import { h } from "../lib/dom";
import { cellSite } from "../lib/lens-cells";
import type { LensSession } from "../lib/lens-session";
import { createAttribution } from "./attribution";
import type { ViewContext } from "./context";
import { RUNS } from "./header";
import { createLensCard } from "./lens-card";
import { createEditedChips, createLensSwitches } from "./lens-header";
import { createLensTable } from "./lens-table";
import { createTrajectories } from "./trajectories";
import type { Composition, Kind } from "./widget";

export const lens: Kind<LensSession> = {
  name: "lens",
  title: "Logit lens",
  compose(context: ViewContext<LensSession>): Composition {
    const { session } = context;
    const { keys = "", reading = "" } = session.words;
    const table = createLensTable(context);
    const card = createLensCard(context);
    const trajectories = createTrajectories(context);
    const attribution = createAttribution(context);
    const side = h("div.lens-side", card.element, trajectories.element);
    return {
      main: createLensSwitches(context),
      lead: createEditedChips(context),
      runs: () => [...RUNS, "change"],
      parts: [table.element, side, attribution.element],
      views: [table, card, trajectories, attribution],
      figures: () => [table.figure(), trajectories.figure()],
      compared: ["change", "difference"],
      step(layers) {
        const { lens } = session;
        if (session.stepLayer(layers) && lens && session.cell) context.say(cellSite(lens, session.cell));
      },
      leave: () => session.hoverAt(null),
      marks() {
        const { lens, focusCell } = session;
        return {
          "data-lens-rev": lens?.rev ?? 0,
          "data-measure": lens?.measure ?? "",
          "data-cells": lens?.cells.version ?? 0,
          "data-focus": lens && focusCell ? cellSite(lens, focusCell) : "",
        };
      },
      provenance: () => [session.tuned && "tuned lens", "exact"],
      hint: () =>
        "Enter pins a token · [ ] steps through layers · E edited or unedited · C compares · ? lists keys",
      help: {
        title: "Keys, colours, measures",
        keys: keys.split("\n").map((line) => line.split("\t") as [string, string]),
        reading,
        terms: () => (session.lens?.measures ?? []).map(({ label, card }) => [label, card]),
      },
      example: 'mi.LogitLens(model, "When Mary and John went")',
    };
  },
};
