// The gestures of the heat map as a form: a cell by layer and column to add, a rectangle by its ends to run again.
import { actionButton, createSelect } from "../lib/controls";
import { disable, h, show } from "../lib/dom";
import { clamp } from "../lib/geometry";
import { shortLabel } from "../lib/labels";
import { rectOf } from "../lib/sweep-places";
import type { SweepSession } from "../lib/sweep-session";
import type { ViewContext } from "./context";

export interface HeatmapForm {
  element: HTMLElement;
  readonly open: boolean;
  toggle(): void;
  update(): void;
}

export function createHeatmapForm(context: ViewContext<SweepSession>): HeatmapForm {
  const { session, tip, say } = context;
  /** Row and column of the cell, and of the far end of the rectangle. */
  const at = { row: 0, column: 0, lastRow: 0, lastColumn: 0 };
  type Key = keyof typeof at;
  const select = (name: string, key: Key) =>
    createSelect(
      name,
      tip,
      () => null,
      (value) => {
        at[key] = Number(value);
        if (key === "row") at.lastRow = Math.max(at.row, at.lastRow);
        if (key === "column") at.lastColumn = Math.max(at.column, at.lastColumn);
        session.changed();
      },
    );
  const selects = {
    row: select("layer", "row"),
    column: select("column", "column"),
    lastRow: select("to layer", "lastRow"),
    lastColumn: select("to column", "lastColumn"),
  };
  const place = () => ({ row: at.row, column: at.column });
  const rect = () => rectOf(place(), { row: at.lastRow, column: at.lastColumn });
  const add = actionButton(
    "Add to the patch board",
    tip,
    () => {
      session.goTo(place());
      session.addEdits([place()]);
      say(`added ${session.siteOf(place())} to the patch board`);
    },
    {
      name: "form-add",
      card: () => ({ lines: [session.addReason(place()) ?? "Adds the edit of this cell."] }),
    },
  );
  const run = actionButton(
    "Run these cells again",
    tip,
    () => {
      session.runPart(rect());
      say("running these cells again");
    },
    {
      name: "form-run",
      card: () => ({ lines: [session.partReason ?? "From the first to the last of both."] }),
    },
  );
  const word = (text: string) => h("span.word", text);
  const element = h(
    "div.group.sweep-form",
    { role: "group", "aria-label": "cells by form", hidden: true },
    word("layer"),
    selects.row.element,
    word("column"),
    selects.column.element,
    add,
    word("to layer"),
    selects.lastRow.element,
    word("to column"),
    selects.lastColumn.element,
    run,
  );
  return {
    element,
    get open() {
      return !element.hidden;
    },
    toggle() {
      show(element, element.hidden);
      const { cell } = session;
      if (cell) Object.assign(at, cell, { lastRow: cell.row, lastColumn: cell.column });
    },
    update() {
      const { map } = session.table ?? {};
      if (!map || element.hidden) return;
      const rows = map.layers.map((layer, row) => [String(row), `L${layer}`] as const);
      const columns = map.columns.map(
        ({ label, position }, column) =>
          [String(column), `${shortLabel(label, 16)}${position === null ? "" : ` ${position}`}`] as const,
      );
      for (const key of Object.keys(at) as Key[]) {
        const choices = key === "row" || key === "lastRow" ? rows : columns;
        at[key] = clamp(at[key], 0, choices.length - 1);
        selects[key].update(choices, String(at[key]));
      }
      disable(add, session.addReason(place()));
      disable(run, session.partReason);
    },
  };
}
