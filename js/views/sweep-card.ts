// The card of a cell: its number, the metric, the error over prompts, how it is known, and what its run says next.
import { actionButton } from "../lib/controls";
import { attribute, disable, h, set, setText, show, watchFacts } from "../lib/dom";
import { bare, shortLabel } from "../lib/labels";
import type { EditEffect } from "../lib/protocol";
import type { SweepPlace } from "../lib/sweep-places";
import type { SweepSession } from "../lib/sweep-session";
import { ESTIMATE, EXACT, NONE, PENDING, SAME } from "../lib/sweep-table";
import { baseline, bothTokens, hasNumber, numberOf, scaleOf, textOf, viewLabel } from "../lib/sweep-values";
import type { View, ViewContext } from "./context";
import { bar, numberText } from "./effect-panel";

/** Cells that are listed while none is in focus. */
const LISTED = 8;

const KNOWN: Readonly<Record<number, string>> = {
  [PENDING]: "not run yet",
  [ESTIMATE]: "~ estimate: source minus base, times the gradient",
  [EXACT]: "exact: the model was run with this edit",
  [SAME]: "cannot differ: both prompts have the same tokens up to here, so it was not run",
};

export function createSweepCard(context: ViewContext<SweepSession>): View {
  const { session, tip, say } = context;
  const title = h("h3.focus-title");
  const facts = h("dl.measures");
  const known = h("div.note");
  const nextTitle = h("b.side-title", "Next token");
  const next = h("div");
  const note = h("div.note", { dir: "auto" });
  const add = actionButton(
    "add to the patch board",
    tip,
    () => {
      const place = session.focusCell;
      if (!place) return;
      session.addEdits([place]);
      say(`added ${session.siteOf(place)} to the patch board`);
    },
    {
      class: "mi-link",
      name: "add-edit",
      card: () => {
        const place = session.focusCell;
        return {
          lines: [
            (place && session.addReason(place)) ??
              "Adds this edit to the experiment's (Enter, or a click on the cell).",
          ],
        };
      },
    },
  );
  const actions = h("div.cell-actions", add);
  const cell = h("div.sweep-cell", h("div", facts, known, actions), h("div", nextTitle, next, note));
  const list = h("ol.sweep-largest");
  const listNote = h("div.note", "hover a cell for its numbers; a click adds its edit");
  const largest = h("div", list, listNote);
  const element = h(
    "section.sweep-card",
    { "data-part": "sweep-card" },
    h("div.focus-head", title),
    cell,
    largest,
  );
  const isCell = watchFacts();
  const isEffect = watchFacts();
  const isList = watchFacts();

  function describe(place: SweepPlace): void {
    const { table } = session;
    const found = session.cellAt(place);
    if (!table || !found) return;
    const { map } = table;
    const layer = map.layers[place.row] as number;
    const { label = "?", position } = map.columns[place.column] ?? {};
    const why = map.missing?.[String(layer)];
    const scale = scaleOf(table, session.shownView);
    if (!isCell(place, found, map.rev, map.site, map.base, map.edit, label, scale)) return;
    const both = bothTokens(map, place.column);
    const token = (text: string, side = "") =>
      h(
        "span.token.token-focus",
        { dir: "auto", "data-side": side, title: shortLabel(text, 200) },
        shortLabel(bare(text), 16),
      );
    const head = [h("span", `L${layer} · ${map.site} `)];
    if (both) head.push(token(both.clean, "clean"), token(both.corrupted, "corrupted"));
    else head.push(map.axis === "head" ? h("span", label) : token(label));
    if (position != null) head.push(h("sub", String(position)));
    title.replaceChildren(...head);

    const share = { ...scale, view: "recovered" as const, centre: 0, reach: 1 };
    const error = Number.isFinite(found.stderr) ? ` ± ${textOf(share, found.stderr)}` : "";
    const from = baseline(map);
    const rows: (readonly [string, string, string])[] = hasNumber(found)
      ? [
          [
            viewLabel(map, "recovered"),
            `${textOf(share, numberOf(map, found, "recovered"))}${error}`,
            "recovered",
          ],
          [map.label, numberText(found.metric, true), "metric"],
          [`${map.base} run`, numberText(from, true), "base"],
          ["change", numberText(found.metric - from, true), "change"],
        ]
      : [];
    facts.replaceChildren(
      ...rows.map(([name, text, kind]) => h("div", { "data-measure": kind }, h("dt", name), h("dd", text))),
    );
    const prompts = map.n_prompts > 1 ? ` · mean of ${map.n_prompts} prompts` : "";
    const how =
      found.state === NONE ? (why ?? map.notes[0] ?? "There is no number here.") : KNOWN[found.state];
    setText(known, how + (hasNumber(found) ? prompts : ""));
  }

  function effected(effect: EditEffect | null): void {
    if (!isEffect(effect)) return;
    const most = Math.max(1e-9, ...(effect?.tokens ?? []).flatMap((it) => [it.before ?? 0, it.after ?? 0]));
    const top = most > 0.2 ? 1 : most * 1.2;
    const side = effect?.base ?? "clean";
    const rows = (effect?.tokens ?? [])
      .slice(0, 5)
      .map(({ label, before, after, before_rank, after_rank }) => {
        const risen = before_rank - after_rank;
        const move = h("span.top-move", { "data-up": risen > 0 });
        setText(move, risen ? `${risen > 0 ? "▲" : "▼"}${Math.abs(risen)}` : "");
        const name = h(
          "span.top-name",
          { dir: "auto", title: shortLabel(label, 200) },
          shortLabel(bare(label), 12),
        );
        const bars = h("span", bar(side, before, 0, top), bar("edited", after, 0, top));
        const words = `${shortLabel(label, 40)}: ${numberText(before)}, now ${numberText(after)}`;
        return h(
          "div.sweep-next",
          { title: words },
          name,
          bars,
          h("span.bar-value", numberText(after)),
          move,
        );
      });
    next.replaceChildren(...rows);
    setText(note, effect?.note ?? "");
  }

  function drawLargest(): void {
    const { table } = session;
    if (!table) return;
    const { map } = table;
    const scale = scaleOf(table, session.shownView);
    const found: { place: SweepPlace; value: number; far: number }[] = [];
    for (let row = 0; row < map.layers.length; row++)
      for (let column = 0; column < map.columns.length; column++) {
        const it = table.cell(row, column);
        const value = numberOf(map, it, scale.view);
        const far = Math.abs(numberOf(map, it, "change"));
        if (hasNumber(it) && Number.isFinite(far)) found.push({ place: { row, column }, value, far });
      }
    found.sort((a, b) => b.far - a.far);
    const shown = found.slice(0, LISTED);
    setText(title, "Largest");
    if (!isList(shown, scale, map.rev, map.site)) return;
    list.replaceChildren(
      ...shown.map(({ place, value }) => {
        const { state } = table.cell(place.row, place.column);
        const { label = "?" } = map.columns[place.column] ?? {};
        const text = `${state === ESTIMATE ? "~" : ""}${textOf(scale, value)}`;
        const onclick = () => session.goTo(place);
        const name = `${session.siteOf(place)} ${map.axis === "head" ? "" : shortLabel(bare(label), 12)}`;
        return h("li", h("button.link", { dir: "auto", onclick }, name), h("span.bar-value", text));
      }),
    );
    show(list, shown.length > 0);
  }

  function update(): void {
    const { table, focusCell: place } = session;
    session.watchFocus();
    show(element, table !== null);
    if (!table) return;
    // Where a cell's own run can be asked for there is room for it, so that nothing moves under the pointer.
    attribute(element, "data-runs", !session.question?.arrays);
    show(cell, place !== null);
    show(largest, place === null);
    if (!place) return drawLargest();
    describe(place);
    const { effect } = session;
    const able = !session.question?.arrays && hasNumber(table.cell(place.row, place.column));
    effected(effect);
    show(nextTitle, effect !== null);
    show(next, effect !== null);
    set(cell, { "data-running": session.alone.running });
    show(actions, able);
    disable(add, session.addReason(place));
  }
  return { element, update };
}
