// The patch board: its parts, in the frame that all widgets share.
import { GRIDS, type GridName } from "../lib/board-cells";
import type { BoardSession } from "../lib/board-session";
import { actionButton } from "../lib/controls";
import { attribute, h, setText, show } from "../lib/dom";
import { createBoardAlign } from "./board-align";
import { createBoardChips } from "./board-chips";
import { createBoardDrop } from "./board-drop";
import { createBoardEffect } from "./board-effect";
import { createBoardForm } from "./board-form";
import { type BoardGrid, createBoardGrid } from "./board-grid";
import { createBoardSwitches } from "./board-header";
import { createBoardPanel } from "./board-panel";
import { createBoardPositions } from "./board-positions";
import type { ViewContext } from "./context";
import { createRunsHistory } from "./runs-history";
import type { Composition, Kind } from "./widget";

const TERMS = ["recovered", "destroyed", "strength", "cone", "floor", "align"];

export const board: Kind<BoardSession> = {
  name: "board",
  title: "Patch board",
  compose(context: ViewContext<BoardSession>): Composition {
    const { session } = context;
    const { keys = "", reading = "" } = session.words;
    let tabled = false;
    const grids: BoardGrid[] = [];
    const drop = createBoardDrop(context, () => grids);
    const panel = (name: GridName) => {
      const grid = createBoardGrid(context, name, drop);
      grids.push(grid);
      return createBoardPanel(context, grid, () => tabled);
    };
    const clean = panel("clean");
    const corrupted = panel("corrupted");
    const edited = panel("edited");
    const align = createBoardAlign(context);
    const positions = createBoardPositions(context);
    const form = createBoardForm(context);
    const chips = createBoardChips(context, form.element);
    const effect = createBoardEffect(context);
    const history = createRunsHistory(context);
    const table = actionButton(
      "table",
      context.tip,
      () => {
        tabled = !tabled;
        session.changed();
      },
      { class: "mi-link", name: "board-table", card: () => context.tip.card("table") },
    );
    const folded = h("span.lens-folded");
    const fold = actionButton("fold again", context.tip, () => session.foldRows(), {
      class: "mi-link",
      name: "fold",
    });
    const foot = h("div.lens-foot.board-foot", folded, fold, table);
    const parts = [
      clean.element,
      corrupted.element,
      align.element,
      positions.element,
      chips.element,
      edited.element,
      effect.element,
      h("div.board-end", history.element, foot),
    ];
    const switches = createBoardSwitches(context);
    return {
      main: switches,
      runs: () => [],
      parts,
      views: [
        clean,
        corrupted,
        align,
        positions,
        form,
        chips,
        edited,
        effect,
        history,
        {
          element: foot,
          update() {
            const { board: picture, openRows } = session;
            const hidden = (picture?.rows.length ?? 0) - openRows.length;
            setText(
              folded,
              hidden ? `amber row: ${hidden} ${hidden > 1 ? "rows" : "row"} folded, click to open` : "",
            );
            show(fold, session.opened.size > 0);
            attribute(table, "aria-pressed", tabled);
            show(foot, picture !== null);
          },
        },
      ],
      figures: () => [...grids.map((it) => it.figure()), effect.figure()],
      compared: [],
      step(layers) {
        const row = session.stepLayer(layers);
        if (row) context.say(row);
      },
      leave() {
        session.hoverAt(null);
        session.drag.end();
      },
      marks() {
        const { board: picture, drag, map } = session;
        const [spec] = drag.specs;
        return {
          "data-board-rev": picture?.rev ?? 0,
          "data-carry": session.carry,
          "data-carrying": drag.carried ? (drag.keyboard ? "keyboard" : "pointer") : "",
          "data-target": spec ? `${drag.target?.side} ${spec.site} L${spec.layer}` : "",
          "data-shown": drag.shown?.of ?? "",
          "data-map": map?.version ?? 0,
          "data-cells": GRIDS.map((name) => picture?.grids[name]?.version ?? 0).join(" "),
        };
      },
      provenance() {
        const { board: picture, map, sweeping } = session;
        const { done = 0, total = 0 } = map?.map ?? {};
        const { run_number, n_runs } = picture ?? {};
        return [
          ...(picture?.notes ?? []),
          run_number != null && n_runs ? `run ${run_number} of ${n_runs}` : "exact",
          sweeping.running && total > 0 && `map of ${map?.map.site}: ${done} of ${total} reruns`,
        ];
      },
      hint: () => session.why(session.drag.keyboard && session.drag.carried ? "carry-keys" : "main-keys"),
      help: {
        title: "Keys, drags, words",
        keys: keys.split("\n").map((line) => line.split("\t") as [string, string]),
        reading,
        terms: () => TERMS.map((name) => [name, session.why(name)]),
      },
      example: 'mi.PatchBoard(model, "When Mary and John went", corrupted="When Mary and Mary went")',
    };
  },
};
