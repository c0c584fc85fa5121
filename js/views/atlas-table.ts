// The atlas as a table: every head with all its scores, sorted by any of them.

import { type Atlas, scoreText } from "../lib/atlas";
import { attribute, focusedIn, h, memo, show } from "../lib/dom";
import { allHeads, type Head, headKey, headName } from "../lib/heads";
import type { HeadsSession } from "../lib/heads-session";
import type { View, ViewContext } from "./context";

/** Rows built at once; a button brings the others. */
const ROWS = 200;

export function createAtlasTable(context: ViewContext<HeadsSession>): View & { show(shown: boolean): void } {
  const { session } = context;
  const element = h("div.table-scroll#atlas-table", { tabindex: 0, hidden: true });
  let sort: { name: string; down: boolean } = { name: "", down: true };
  let all = false;
  const drawn = memo<void>();
  let rows = new Map<string, HTMLElement>();

  function sorted(atlas: Atlas, name: string): Head[] {
    const heads = allHeads(atlas.layers, atlas.heads).filter(([layer]) => atlas.absent[layer] === undefined);
    if (name === "") return sort.down ? heads : heads.reverse();
    const value = ([layer, head]: Head) => atlas.scores[name]?.values[layer]?.[head] ?? null;
    const sign = sort.down ? -1 : 1;
    return heads.sort((a, b) => {
      const [x, y] = [value(a), value(b)];
      // Heads without the score come last, whichever way it is sorted.
      if (x === null || y === null) return Number(x === null) - Number(y === null);
      return sign * (x - y);
    });
  }

  function column(name: string, label: string) {
    const chosen = sort.name === name;
    const falls = () => sort.down === (name !== "");
    const choose = () => {
      sort = { name, down: chosen ? !sort.down : true };
      if (session.scoreDefined(name)) session.setScore(name);
      session.changed();
      context.say(`sorted by ${label}, ${falls() ? "largest" : "smallest"} first`);
    };
    const mark = chosen ? (falls() ? " ▾" : " ▴") : "";
    const button = h("button", { "data-sort": name || "head", onclick: choose }, label + mark);
    const direction = falls() ? "descending" : "ascending";
    return h("th", { scope: "col", "aria-sort": chosen ? direction : "none" }, button);
  }

  function line(atlas: Atlas, names: readonly string[], head: Head): HTMLElement {
    const hover = () => session.hoverHead(head);
    const name = h(
      "button",
      {
        "data-head": headKey(head),
        onclick: (event: MouseEvent) => session.lock(head, event.shiftKey),
        onfocus: hover,
        onblur: () => session.hoverHead(null),
      },
      headName(head),
    );
    const cells = names.map((score) => h("td", scoreText(atlas, score, head)));
    const made = h("tr", { onpointerenter: hover }, h("th", { scope: "row" }, name), ...cells);
    rows.set(headKey(head), made);
    return made;
  }

  function build(atlas: Atlas): void {
    const names = Object.keys(atlas.scores);
    if (sort.name && !names.includes(sort.name)) sort = { name: "", down: true };
    const heads = sorted(atlas, sort.name);
    rows = new Map();
    const shown = all ? heads : heads.slice(0, ROWS);
    const labels = names.map((name) => column(name, atlas.scores[name]?.label ?? name));
    const more = () => {
      all = true;
      session.changed();
    };
    const back = focusedIn(element)?.dataset.sort;
    const rest = shown.length < heads.length;
    element.replaceChildren(
      h(
        "table.table",
        { "aria-rowcount": heads.length + 1 },
        h("caption", "scores of every head; click a name to lock it"),
        h("thead", h("tr", column("", "head"), ...labels)),
        h("tbody", ...shown.map((it) => line(atlas, names, it))),
      ),
      rest ? h("button.link", { "data-action": "all-rows", onclick: more }, `all ${heads.length} heads`) : "",
    );
    if (back !== undefined) element.querySelector<HTMLElement>(`[data-sort="${back}"]`)?.focus();
  }

  element.addEventListener("pointerleave", () => session.hoverHead(null));

  return {
    element,
    show: (shown) => show(element, shown),
    update() {
      const atlas = session.shown;
      if (!atlas) return;
      drawn([atlas.scores, atlas.rev, atlas.run, sort.name, sort.down, all], () => build(atlas));
      const locked = new Set(session.locked.map(headKey));
      for (const [key, made] of rows) attribute(made, "data-locked", locked.has(key));
    },
  };
}
