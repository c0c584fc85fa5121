// One row of a pattern, to be overwritten: a bar for each source that is drawn up and down, and presets.
import { actionButton } from "../lib/controls";
import { attribute, h, setText, show } from "../lib/dom";
import type { Preset } from "../lib/intervention";
import { arrows, onKeys } from "../lib/keyboard";
import { bare, shortLabel } from "../lib/labels";
import type { View, ViewContext } from "./context";

/** So many sources are drawn at a time; the cursor takes the window along. */
const SHOWN = 40;
const STEP = 0.05;

export function createRowEditor(context: ViewContext): View {
  const { session } = context;
  const { intervention } = session;
  const words = h("div", { class: "mi-note" });
  const rail = h("div", { class: "mi-row-rail", role: "slider", tabindex: 0, "data-part": "row" });
  attribute(rail, "aria-valuemin", 0);
  attribute(rail, "aria-valuemax", 1);
  const input = h("input", {
    class: "mi-row-input",
    type: "number",
    min: 0,
    max: 1,
    step: 0.01,
    "aria-label": "weight of the source",
    onchange: () => set(cursor, Number(input.value)),
  });
  const where = h("span", {});
  const total = h("span", {});
  const line = h("div", { class: "mi-note mi-row-line" }, where, input, total);
  const presets: [Preset, string, string][] = [
    ["here", "all on it", "All of the row's attention goes to the source that is chosen."],
    ["uniform", "uniform", "Each source gets the same."],
    ["first", "first token", "All of the row's attention goes to the first token."],
    ["sum", "sum to 1", "The weights are divided by their sum."],
    ["shown", "as it was", "The row as the head has it."],
  ];
  const buttons = presets.map(([name, label, card]) =>
    actionButton(label, context.tip, () => intervention.preset(name, cursor), {
      class: "mi-link",
      name: `row-${name}`,
      card: () => ({ lines: [card] }),
    }),
  );
  const element = h(
    "div",
    { class: "mi-row-editor" },
    words,
    rail,
    line,
    h("div", { class: "mi-row-presets" }, ...buttons),
  );
  let cursor = 0;
  let first = 0;
  let dest = -1;
  let bars: HTMLElement[] = [];

  const row = () => intervention.row;
  const count = () => Math.min(SHOWN, (row()?.dest ?? 0) + 1);
  const name = (token: number) => {
    const label = session.shownPrompt?.labels[token] ?? "";
    return `${shortLabel(bare(label), 14)} (${token})`;
  };
  const spoken = () => `to ${name(cursor)}: ${(row()?.weights[cursor] ?? 0).toFixed(2)}`;

  function move(to: number): void {
    const last = row()?.dest ?? 0;
    cursor = Math.max(0, Math.min(last, to));
    first = Math.max(
      0,
      Math.min(Math.max(cursor - count() + 1, Math.min(first, cursor)), last + 1 - count()),
    );
  }
  function set(src: number, value: number): void {
    move(src);
    intervention.setWeight(src, value);
    update();
  }
  function drag(event: PointerEvent): void {
    const box = rail.getBoundingClientRect();
    const place = Math.floor(((event.clientX - box.left) / box.width) * count());
    const src = first + Math.max(0, Math.min(count() - 1, place));
    set(src, 1 - (event.clientY - box.top) / box.height);
  }
  rail.addEventListener("pointerdown", (event) => {
    rail.setPointerCapture(event.pointerId);
    drag(event);
  });
  rail.addEventListener("pointermove", (event) => {
    if (rail.hasPointerCapture(event.pointerId)) drag(event);
  });
  onKeys(rail, {
    ...arrows((rows, cols) => {
      if (cols) move(cursor + cols);
      else intervention.setWeight(cursor, (row()?.weights[cursor] ?? 0) - rows * STEP);
      update();
      context.say(spoken());
    }),
    Escape: () => intervention.choose(null),
  });

  function update(): void {
    const now = row();
    show(element, now !== null);
    if (!now) return;
    if (now.dest !== dest) {
      dest = now.dest;
      // The cursor begins where the row looks most.
      move(now.weights.indexOf(Math.max(...now.weights)));
    }
    setText(words, `row from ${name(now.dest)}: draw its weights`);
    if (bars.length !== count()) {
      bars = Array.from({ length: count() }, () => h("i"));
      rail.replaceChildren(...bars);
    }
    for (const [place, bar] of bars.entries()) {
      const src = first + place;
      bar.style.setProperty("--share", String(now.weights[src] ?? 0));
      attribute(bar, "title", name(src));
      attribute(bar, "data-cursor", src === cursor);
    }
    const value = now.weights[cursor] ?? 0;
    attribute(rail, "aria-label", `weights of the row from ${name(now.dest)}`);
    attribute(rail, "aria-valuenow", value.toFixed(2));
    attribute(rail, "aria-valuetext", spoken());
    setText(where, `to ${name(cursor)}`);
    if (document.activeElement !== input && (input.getRootNode() as ShadowRoot).activeElement !== input)
      input.value = value.toFixed(2);
    const sum = now.weights.reduce((a, b) => a + b, 0);
    setText(total, `sum ${sum.toFixed(2)}`);
    attribute(total, "class", Math.abs(sum - 1) > 0.005 ? "mi-warn" : "");
  }
  return { element, update };
}
