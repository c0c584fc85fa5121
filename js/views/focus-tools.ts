// The tools of the focus: attention or value-weighted, the sink hidden, and how close one looks.

import { actionButton, Switch } from "../lib/controls";
import { disable, h, onHeld, set, shareOf, show } from "../lib/dom";
import { CLOSEST, type Weighting } from "../lib/focus";
import { times } from "../lib/geometry";
import type { HeadsSession } from "../lib/heads-session";
import { arrows, onKeys } from "../lib/keyboard";
import { bare, shortLabel } from "../lib/labels";
import { type Pattern, pooled, rowToken, weight } from "../lib/patterns";
import type { View, ViewContext } from "./context";
import { digitsOf, valueText } from "./pattern-figure";

export const STEP = 1.6;

/** "hides 0.62 of the attention …": what is lost from sight with column 0; null while it is shown. */
export function sinkText({ session }: ViewContext<HeadsSession>, pattern: Pattern): string | null {
  const { hideSink, weighedBy: weighting } = session.focusing;
  if (!hideSink) return null;
  const [head, more] = session.inFocus;
  const share = (value: number) => valueText(value, pattern.twoSided, digitsOf(pattern));
  const seen = !pooled(pattern) && !pattern.src;
  const column = times(pattern.size, (row) => rowToken(pattern, row))
    .filter((dest) => dest > 0)
    .map((dest) => weight(pattern, dest, 0));
  const known = head && !more && weighting === "attention" && !pattern.twoSided;
  const score = known ? session.shown?.scores.first?.values[head[0]]?.[head[1]] : null;
  const mean = score ?? (seen && column.length ? column.reduce((a, b) => a + b, 0) / column.length : null);
  const name = `${shortLabel(firstToken(session), 12)} `;
  if (mean === null) return `${name}is hidden; nothing is rescaled`;
  const here = weight(pattern, session.focusToken, 0);
  const what = weighting === "value" ? "value-weighted norm" : "attention";
  const row = seen && Number.isFinite(here) ? `, ${share(here)} in the row in focus` : "";
  return `${name}hidden: hides ${share(mean)} of the ${what} (mean of the rows${row}); nothing is rescaled`;
}

const firstToken = (session: HeadsSession) => bare(session.shownPrompt?.labels[0] ?? "first");

export function createFocusTools(context: ViewContext<HeadsSession>): View & { overview: HTMLElement } {
  const { session, tip } = context;
  const { focusing } = session;
  const weighting = new Switch("weighting", tip, (name) => focusing.setWeighting(name as Weighting));
  const sink = actionButton("hide first", tip, () => focusing.setHideSink(!focusing.hideSink), {
    name: "hide-sink",
  });
  const zoomer = (label: string, name: string, run: () => void) =>
    actionButton(label, tip, run, { class: "mi-button mi-square", name, says: session.why(name) });
  const out = zoomer("−", "zoom-out", () => focusing.zoom(STEP));
  const closer = zoomer("+", "zoom-in", () => focusing.zoom(1 / STEP));
  const all = zoomer("⤢", "zoom-all", () => focusing.reset());
  const frame = h("i");
  const overview = h(
    "div.overview#overview",
    { role: "slider", tabindex: 0, "aria-label": "part of the pattern in view" },
    frame,
  );
  const element = h("div.focus-tools", weighting.element, sink, h("span.zoom", out, closer, all));

  onHeld(overview, (event) => {
    const { span } = focusing.window;
    const [src, dest] = shareOf(overview, event).map((it) => Math.round(it * focusing.all - span / 2));
    focusing.show({ dest: dest as number, src: src as number, span });
  });
  onKeys(
    overview,
    arrows((down, across) => {
      const { dest, src, span } = focusing.window;
      const step = Math.max(1, Math.round(span / 4));
      focusing.show({ dest: dest + down * step, src: src + across * step, span });
      context.say(inView());
    }),
  );
  function inView(): string {
    const { dest, src, span } = focusing.window;
    return `from ${dest} to ${dest + span - 1}, sources ${src} to ${src + span - 1} of ${focusing.all}`;
  }

  function update(): void {
    const off = session.channel.usable ? null : session.offReason;
    const choice = (name: Weighting, label: string, why: string | null) => {
      const chosen = focusing.weighedBy === name;
      return { name, label, chosen, off: chosen ? null : why };
    };
    const arrays = session.question?.arrays ? session.why("no-values") : null;
    weighting.update([
      choice("attention", "attention", off),
      choice("value", "value-weighted", arrays ?? off),
    ]);
    set(sink, { text: `hide ${shortLabel(firstToken(session), 8)}`, "aria-pressed": focusing.hideSink });
    const { zoomed, all: positions } = focusing;
    const { dest, src, span } = focusing.window;
    disable(out, !zoomed);
    disable(all, !zoomed);
    disable(closer, span <= CLOSEST);
    show(overview, zoomed);
    if (!zoomed) return;
    const share = (tokens: number) => `${(tokens / positions) * 100}%`;
    const [top, left, width] = [dest, src, span].map(share);
    Object.assign(frame.style, { top, left, width, height: width });
    set(overview, {
      "aria-valuenow": dest,
      "aria-valuemax": positions - span,
      "aria-valuetext": inView(),
    });
  }
  return { element, update, overview };
}
