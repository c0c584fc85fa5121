// The card of a cell: its likeliest tokens with bars, of a contribution what it promotes and suppresses; a click pins.
import { actionButton } from "../lib/controls";
import { attribute, disable, h, set, setText, show, uniqueId, watchFacts } from "../lib/dom";
import { barSpan, clamp } from "../lib/geometry";
import { onKeys } from "../lib/keyboard";
import { bare, shortLabel } from "../lib/labels";
import { type CardToken, FEW, MANY, otherRun, slotCss, trackedRun } from "../lib/lens-card";
import type { LensCell } from "../lib/lens-cells";
import type { LensSession } from "../lib/lens-session";
import type { View, ViewContext } from "./context";
import { numberText } from "./effect-panel";

type Context = ViewContext<LensSession>;

/** "L11 · to 14": what it is about, then the position as the table heads it. */
export function placeName({ session }: Context, words: string, position: number): HTMLElement[] {
  const label = session.shownPrompt?.labels[position] ?? "?";
  const title = `${shortLabel(label, 200)} · position ${position}`;
  const token = h("span.token.token-focus", { dir: "auto", title }, shortLabel(bare(label), 16));
  return [h("span", words), token, h("sub", String(position))];
}

interface TokenList {
  element: HTMLElement;
  draw(tokens: readonly CardToken[], most: number, name: string): void;
}

/** Tokens with a bar each: one tab stop, arrows move, Enter, Space and P pin, Delete unpins. */
function createTokenList(context: Context, role: "edited" | "up" | "down"): TokenList {
  const { session, say } = context;
  const { card } = session;
  const prob = role === "edited";
  const prefix = uniqueId("top");
  const element = h("div.top", { role: "listbox", tabindex: 0 });
  const rows: ReturnType<typeof makeRow>[] = [];
  let shown: readonly CardToken[] = [];
  let cursor = 0;

  const mark = (at: number) => {
    cursor = clamp(at, 0, shown.length - 1);
    attribute(element, "aria-activedescendant", `${prefix}-${cursor}`);
    for (const [index, row] of rows.entries()) attribute(row.element, "data-cursor", index === cursor);
  };
  const toggle = (at = cursor) => {
    const token = shown[at];
    if (!token) return;
    const pinned = card.togglePin(token.id, token.label);
    say(`${shortLabel(token.label, 24)} ${pinned ? "pinned" : "unpinned"}`);
  };
  const pin = () => toggle();
  onKeys(element, {
    ArrowDown: () => mark(cursor + 1),
    ArrowUp: () => mark(cursor - 1),
    Home: () => mark(0),
    End: () => mark(shown.length),
    Enter: pin,
    " ": pin,
    p: pin,
    P: pin,
    Delete() {
      const token = shown[cursor];
      if (token && card.isPinned(token.id)) pin();
    },
    "?": context.toggleHelp,
  });
  set(element, {
    onfocus: () => mark(cursor),
    onblur() {
      for (const row of rows) attribute(row.element, "data-cursor", null);
    },
  });

  /** A row stays while its words change: the pointer moves over many cells a second. */
  function makeRow(at: number) {
    const dot = h("i.pin");
    const name = h("span.top-name", { dir: "auto" });
    const bar = h(`span.bar.${role}`);
    const was = h("i.was");
    const number = h("span.bar-value");
    const move = h("span.top-move");
    const element = h(
      "div.top-row",
      { role: "option", id: `${prefix}-${at}`, onclick: () => toggle(at) },
      dot,
      name,
      h("span.top-rail", bar, was),
      number,
      move,
    );
    function fill({ id, label, value, before = null, before_rank = null }: CardToken, most: number): void {
      const pinned = card.pins.find((it) => it.id === id);
      const share = (it: number | null) => barSpan(it && Math.abs(it), 0, most)?.width ?? 0;
      const risen = before_rank === null ? 0 : before_rank - at;
      const text = numberText(value, !prob);
      const colour = pinned ? slotCss(pinned.slot, context.theme) : "";
      Object.assign(dot.style, { background: colour, borderColor: colour });
      setText(name, shortLabel(bare(label), 14));
      bar.style.width = `${share(value)}%`;
      // A mark that lies on the bar's end would be read as an end.
      show(was, before !== null && Math.abs(share(before) - share(value)) > 1.5);
      was.style.left = `${share(before)}%`;
      setText(number, text);
      setText(move, risen ? `${risen > 0 ? "▲" : "▼"}${Math.abs(risen)}` : "");
      attribute(move, "data-up", risen > 0);
      const words = [
        text,
        before !== null && `${otherRun(session.lens?.run ?? "clean")} ${numberText(before, !prob)}`,
        risen && `from place ${at + risen + 1} to ${at + 1}`,
        pinned && "pinned",
      ]
        .filter(Boolean)
        .join(", ");
      set(element, {
        "aria-selected": pinned !== undefined,
        "aria-label": `${shortLabel(label, 60)} ${words}`,
        "data-token": id,
        title: `${shortLabel(label, 200)} ${words} · click ${pinned ? "unpins" : "pins"}`,
      });
    }
    return { element, fill };
  }

  return {
    element,
    draw(tokens, most, name) {
      shown = tokens;
      for (const row of rows.splice(tokens.length)) row.element.remove();
      for (const [at, token] of tokens.entries()) {
        const row = rows[at] ?? makeRow(at);
        rows[at] = row;
        if (!row.element.parentNode) element.append(row.element);
        row.fill(token, most);
      }
      attribute(element, "aria-label", name);
      attribute(element, "data-shown", session.card.count);
    },
  };
}

export function createLensCard(context: Context): View {
  const { session, tip } = context;
  const { card } = session;
  const title = h("h3.focus-title");
  const facts = h("span.facts");
  const stream = createTokenList(context, "edited");
  const promoted = createTokenList(context, "up");
  const suppressed = createTokenList(context, "down");
  const contribution = h(
    "div.writes",
    h("div", h("div.note", "promotes"), promoted.element),
    h("div", h("div.note", "suppresses"), suppressed.element),
  );
  const more = actionButton("", tip, () => card.setCount(card.count === FEW ? MANY : FEW), {
    class: "mi-link",
    name: "more-tokens",
    card: () => ({ lines: [session.offReason ?? `The ${FEW} or ${MANY} likeliest tokens of the cell.`] }),
  });
  const all = actionButton("all measures", tip, () => card.setMeasuring(!card.measuring), {
    class: "mi-link",
    name: "all-measures",
    card: () => ({
      lines: [session.offReason ?? "Every measure of this one cell; computed while it is shown."],
    }),
  });
  const retry = actionButton("Retry", tip, () => card.asked.retry(), {
    class: "mi-link",
    name: "retry-card",
  });
  const trouble = h("span", { dir: "auto" });
  const failed = h("div.trouble", trouble, " ", retry);
  const measures = h("dl.measures", { "aria-label": "measures of the cell" });
  const note = h("div.note");
  const element = h(
    "section.lens-card",
    { "data-part": "lens-card" },
    h("div.focus-head", title, facts),
    stream.element,
    contribution,
    note,
    h("div.cell-actions", more, all),
    measures,
    failed,
  );
  const isPlace = watchFacts();
  const isMeasured = watchFacts();

  /** What the numbers of the bars are of. */
  function aboutRun(contributes: boolean): string {
    const run = session.lens?.run ?? "clean";
    const other = otherRun(run);
    const of = other && `${trackedRun(run)}, marks: ${other}`;
    return [contributes && "direct effect, in logits", of].filter(Boolean).join(" · ");
  }

  function updateMeasures(cell: LensCell): void {
    const found = card.exact(cell)?.measures;
    show(measures, card.measuring);
    if (!isMeasured(card.measuring, card.measuring && (found ?? null), session.lens?.rev)) return;
    const terms = (session.lens?.measures ?? []).map(({ name, label, card: words, reason }) => {
      const value = found?.[name] ?? null;
      const number = () => (name === "rank" ? String(value) : numberText(value, name === "logit_diff"));
      const text = !found ? "…" : value === null ? "–" : number();
      return h(
        "div",
        {
          title: found && value === null ? (reason ?? "not defined in this cell") : words,
          "data-measure": name,
        },
        h("dt", label),
        h("dd", text),
      );
    });
    measures.replaceChildren(...terms);
  }

  function update(): void {
    const { lens, focusCell: cell } = session;
    const row = cell && lens?.rows[cell.row];
    show(element, !!row);
    if (!lens || !cell || !row) return;
    const contributes = row.kind === "contribution";
    if (isPlace(row.label, cell.position, session.shownPrompt?.labels[cell.position]))
      title.replaceChildren(...placeName(context, `${row.label} · `, cell.position));
    setText(facts, aboutRun(contributes));
    const tokens = card.tokens(cell);
    const low = card.exact(cell)?.suppressed?.slice(0, card.count) ?? [];
    show(stream.element, !contributes && tokens.length > 0);
    show(contribution, contributes);
    const place = `${row.label} at position ${cell.position}`;
    const sizes = [...tokens, ...low].flatMap(({ value, before = null }) => [value, before]);
    const most = Math.max(1e-9, ...sizes.map((it) => Math.abs(it ?? 0)).filter(Number.isFinite));
    if (contributes) {
      promoted.draw(tokens, most, `promoted by ${place}`);
      suppressed.draw(low, most, `suppressed by ${place}`);
    } else stream.draw(tokens, most, `top tokens of ${place}`);
    const { asked } = card;
    const hole = tokens.length === 0 && !asked.failure;
    setText(
      note,
      hole ? (session.lacking([cell.row], cell.position, cell.position + 1) ?? "on its way") : "",
    );
    setText(more, `top ${card.count === FEW ? MANY : FEW}`);
    attribute(more, "aria-pressed", card.count === MANY);
    attribute(all, "aria-pressed", card.measuring);
    for (const link of [more, all]) disable(link, session.offReason);
    setText(trouble, asked.failure?.message ?? "");
    show(failed, asked.failure !== null);
    show(retry, asked.failure?.retryable === true);
    updateMeasures(cell);
  }
  return { element, update };
}
