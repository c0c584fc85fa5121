// The patch sweep: its parts, in the frame that all widgets share.
import { clamp } from "../lib/geometry";
import { progressText } from "../lib/state-name";
import type { SweepSession } from "../lib/sweep-session";
import { EXACT, SAME } from "../lib/sweep-table";
import type { ViewContext } from "./context";
import { createHeatmap } from "./heatmap";
import { createSweepCard } from "./sweep-card";
import { createMapLine, createOnTop, createSites } from "./sweep-header";
import type { Composition, Kind, Term } from "./widget";

/** The words of the "?" card, by name. */
const TERMS = ["recovered", "raw", "change", "patch", "zero", "mean", "on-top", "estimate", "stderr"];

export const sweep: Kind<SweepSession> = {
  name: "sweep",
  title: "Patch sweep",
  compose(context: ViewContext<SweepSession>): Composition {
    const { session, say } = context;
    const { keys, reading } = session.words;
    const line = createMapLine(context);
    const edits = createOnTop(context);
    const map = createHeatmap(context);
    const card = createSweepCard(context);
    const words = () => session.table?.map;
    return {
      main: createSites(context),
      unmodelled: () => (session.question?.arrays ? ["from a result"] : []),
      runs: () => [],
      parts: [line.element, edits.element, map.element, card.element],
      views: [line, edits, map, card],
      figures: () => [map.figure()],
      compared: [],
      step(layers) {
        const { table, cell } = session;
        if (!table || !cell) return;
        session.goTo({ ...cell, row: clamp(cell.row + layers, 0, table.map.layers.length - 1) });
        if (session.cell) say(session.siteOf(session.cell));
      },
      keys: {
        e() {
          const off = session.onTopReason;
          session.setOnTop(!session.onTop);
          say(off ?? (session.onTop ? "cells on top of the edits" : "cells alone"));
        },
        c: () => say("a sweep has no run to compare with"),
      },
      leave: () => session.hoverAt(null),
      marks() {
        const { table, focusCell } = session;
        return {
          "data-sweep-rev": table?.rev ?? 0,
          "data-site": table?.map.site ?? "",
          "data-view": session.shownView,
          "data-cells": table?.version ?? 0,
          "data-exact": table?.count(EXACT) ?? 0,
          "data-whole": table?.map.complete === true,
          "data-focus": table && focusCell ? session.siteOf(focusCell) : "",
        };
      },
      provenance() {
        const { table, work } = session;
        const map = words();
        if (!table || !map) return [];
        const exact = table.count(EXACT);
        const all = Math.max(map.total, exact);
        const stopped =
          map.cancelled && `cancelled: ${exact} of ${all} exact, the others are estimates or empty`;
        const whole = `${exact} exact ${exact === 1 ? "rerun" : "reruns"}`;
        return [
          work?.progress ? progressText(work.progress, "reruns") : stopped || whole,
          map.from_table && !work && "known from before",
          map.n_prompts > 1 && `mean over ${map.n_prompts} prompts`,
          table.count(SAME) > 0 && "hatched: same tokens up to there, cannot differ",
        ];
      },
      hint: () => (session.question?.arrays ? "? lists keys" : "click a cell to add it to the patch board"),
      help: {
        title: "Keys, colours, numbers",
        keys: (keys ?? "").split("\n").map((line) => line.split("\t") as [string, string]),
        reading: reading ?? "",
        terms: () =>
          TERMS.flatMap((name): Term[] => (session.words[name] ? [[name, session.words[name]]] : [])),
      },
      example: 'mi.PatchSweep(model, "When Mary and John went", corrupted="When Mary and Ann went")',
    };
  },
};
