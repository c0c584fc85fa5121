// One row of a pattern, to be overwritten: a bar for each source that is drawn up and down, and presets.

import { actionButton } from "../lib/controls";
import { h, onHeld, set, setText, shareOf, show } from "../lib/dom";
import { clamp, times } from "../lib/geometry";
import type { HeadsSession } from "../lib/heads-session";
import type { Preset } from "../lib/intervention";
import { arrows, onKeys } from "../lib/keyboard";
import { bare, shortLabel } from "../lib/labels";
import type { View, ViewContext } from "./context";

/** So many sources are drawn at a time; the cursor takes the window along. */
const SHOWN = 40;
const STEP = 0.05;

export function createRowEditor(context: ViewContext<HeadsSession>): View {
  const { session } = context;
  const { intervention } = session;
  const words = h("div.note");
  const rail = h("div.row-rail#row", { role: "slider", tabindex: 0, "aria-valuemin": 0, "aria-valuemax": 1 });
  const input = h("input.row-input", {
    type: "number",
    min: 0,
    max: 1,
    step: 0.01,
    "aria-label": "weight of the source",
    onchange: () => setWeight(cursor, Number(input.value)),
  });
  const where = h("span");
  const total = h("span");
  const preset = (name: Preset, label: string) =>
    actionButton(label, context.tip, () => intervention.preset(name, cursor), {
      class: "mi-link",
      name: `row-${name}`,
    });
  const element = h(
    "div.row-editor",
    words,
    rail,
    h("div.note.row-line", where, input, total),
    h(
      "div.row-presets",
      preset("here", "all on it"),
      preset("uniform", "uniform"),
      preset("first", "first token"),
      preset("sum", "sum to 1"),
      preset("own", "as it was"),
    ),
  );
  let cursor = 0;
  let first = 0;
  let dest = -1;
  let bars: HTMLElement[] = [];

  const last = () => intervention.row?.dest ?? 0;
  const count = () => Math.min(SHOWN, last() + 1);
  const name = (token: number) =>
    `${shortLabel(bare(session.shownPrompt?.labels[token] ?? ""), 14)} (${token})`;
  const value = () => intervention.row?.weights[cursor] ?? 0;

  function move(to: number): void {
    cursor = clamp(to, 0, last());
    first = clamp(clamp(first, cursor - count() + 1, cursor), 0, last() + 1 - count());
  }
  function setWeight(src: number, weight: number): void {
    move(src);
    intervention.setWeight(src, weight);
    update();
  }
  onHeld(rail, (event) => {
    const [across, down] = shareOf(rail, event);
    setWeight(first + clamp(Math.floor(across * count()), 0, count() - 1), 1 - down);
  });
  onKeys(rail, {
    ...arrows((rows, cols) => {
      if (cols) move(cursor + cols);
      else intervention.setWeight(cursor, value() - rows * STEP);
      update();
      context.say(rail.getAttribute("aria-valuetext") ?? "");
    }),
    Escape: () => intervention.choose(null),
  });

  function update(): void {
    const now = intervention.row;
    show(element, now !== null);
    if (!now) return;
    const { weights } = now;
    if (now.dest !== dest) {
      dest = now.dest;
      // The cursor begins where the row looks most.
      move(weights.indexOf(Math.max(...weights)));
    }
    const from = `row from ${name(dest)}`;
    setText(words, `${from}: draw its weights`);
    if (bars.length !== count()) {
      bars = times(count(), () => h("i"));
      rail.replaceChildren(...bars);
    }
    for (const [place, bar] of bars.entries()) {
      const src = first + place;
      bar.style.setProperty("--share", String(weights[src] ?? 0));
      set(bar, { title: name(src), "data-cursor": src === cursor });
    }
    const text = value().toFixed(2);
    const to = `to ${name(cursor)}`;
    set(rail, {
      "aria-label": `weights of the ${from}`,
      "aria-valuenow": text,
      "aria-valuetext": `${to}: ${text}`,
    });
    setText(where, to);
    if (!input.matches(":focus")) input.value = text;
    const sum = weights.reduce((a, b) => a + b, 0);
    set(total, { text: `sum ${sum.toFixed(2)}`, class: Math.abs(sum - 1) > 0.005 && "mi-warn" });
  }
  return { element, update };
}
