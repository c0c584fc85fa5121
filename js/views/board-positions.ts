// At which positions heads are carried: all of them, or those tokens that are chosen here.
import type { BoardSession } from "../lib/board-session";
import { actionButton } from "../lib/controls";
import { attribute, focusedIn, h, set, show, watchFacts } from "../lib/dom";
import { clamp } from "../lib/geometry";
import { arrows, onKeys } from "../lib/keyboard";
import { bare, shortLabel } from "../lib/labels";
import type { View, ViewContext } from "./context";

export function createBoardPositions(context: ViewContext<BoardSession>): View {
  const { session, tip, say } = context;
  const all = actionButton("all positions", tip, () => choose(null), {
    class: "mi-button",
    name: "all-positions",
  });
  const tokens = h("div.board-tokens", {
    role: "listbox",
    "aria-multiselectable": true,
    "aria-label": "positions",
  });
  const element = h("section.board-at#positions", h("span.word", "heads at"), all, tokens);
  const news = watchFacts();
  let cursor = 0;

  const labels = () => session.question?.prompts[session.question.base]?.labels ?? [];
  function choose(position: number | null): void {
    const { at } = session;
    if (position === null) session.setAt(null);
    else
      session.setAt(at?.includes(position) ? at.filter((it) => it !== position) : [...(at ?? []), position]);
    const words = session.at?.map((it) => `${labels()[it] ?? ""} (${it})`).join(", ");
    say(`heads at ${words ?? "all positions"}`);
  }
  onKeys(tokens, {
    ...arrows((rows, columns) => {
      cursor = clamp(cursor + rows + columns, 0, tokens.childElementCount - 1);
      update();
      (tokens.children[cursor] as HTMLElement | undefined)?.focus();
    }),
    " ": () => choose(cursor),
    Enter: () => choose(cursor),
  });

  function update(): void {
    const heads = session.board !== null && session.ofHeads;
    show(element, heads);
    if (!heads) return;
    const found = labels();
    if (news(found)) {
      const held = focusedIn(tokens) !== null;
      cursor = Math.min(cursor, Math.max(0, found.length - 1));
      tokens.replaceChildren(
        ...found.map((label, at) => {
          const onclick = () => {
            cursor = at;
            choose(at);
          };
          const props = { role: "option", title: `position ${at}`, "data-token": at, onclick };
          return h("span.token", props, shortLabel(bare(label), 14), h("sub", String(at)));
        }),
      );
      if (held) (tokens.children[cursor] as HTMLElement | undefined)?.focus();
    }
    attribute(all, "aria-pressed", session.at === null);
    for (const [at, it] of [...tokens.children].entries())
      set(it, { tabindex: at === cursor ? 0 : -1, "aria-selected": session.at?.includes(at) ?? false });
  }
  return { element, update };
}
