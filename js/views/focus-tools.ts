// The tools of the focus: attention or value-weighted, the sink hidden, and how close one looks.
import { actionButton, Switch } from "../lib/controls";
import { attribute, h, setText, show } from "../lib/dom";
import type { Weighting } from "../lib/focus";
import { onKeys } from "../lib/keyboard";
import { bare, shortLabel } from "../lib/labels";
import { type Pattern, pooled, rowToken, weight } from "../lib/patterns";
import type { View, ViewContext } from "./context";
import { digitsOf, valueText } from "./pattern-figure";

const CARDS = {
  attention: {
    title: "attention",
    lines: ["How much each token (dest) takes from each source: A[dest, src], rows sum to 1."],
  },
  value: {
    title: "value-weighted",
    lines: [
      "The weight times the size of what is moved: A[dest, src] · ‖v[src] W_O‖, before any post-norm. Rows are not rescaled; the scale is this head's own.",
      "Kobayashi et al. 2020",
    ],
  },
};
export const STEP = 1.6;

/** "hides 0.62 of the attention …": what is lost from sight with column 0; null while it is shown. */
export function sinkText(context: ViewContext, pattern: Pattern): string | null {
  const { session } = context;
  const { focusing } = session;
  if (!focusing.hideSink) return null;
  const { weighting } = focusing;
  const [head, more] = session.focus;
  const digits = digitsOf(pattern);
  const seen = !pooled(pattern) && (pattern.src ?? 0) === 0;
  const column = Array.from({ length: pattern.size }, (_, row) => rowToken(pattern, row))
    .filter((dest) => dest > 0)
    .map((dest) => weight(pattern, dest, 0));
  const score = session.shown?.scores.first?.values[head?.[0] ?? -1]?.[head?.[1] ?? -1];
  const known = weighting === "attention" && !more && !pattern.signed ? (score ?? null) : null;
  const mean = known ?? (seen && column.length ? column.reduce((a, b) => a + b, 0) / column.length : null);
  const here = seen ? weight(pattern, session.focusToken, 0) : Number.NaN;
  const what = weighting === "value" ? "of the value-weighted norm" : "of the attention";
  const row = Number.isFinite(here) ? `, ${valueText(here, pattern.signed, digits)} in the row in focus` : "";
  const name = shortLabel(bare(session.shownPrompt?.labels[0] ?? "the first token"), 12);
  if (mean === null) return `${name} is hidden; nothing is rescaled`;
  return `${name} hidden: hides ${valueText(mean, pattern.signed, digits)} ${what} (mean of the rows${row}); nothing is rescaled`;
}

export function createFocusTools(context: ViewContext): View & { overview: HTMLElement } {
  const { session, tip } = context;
  const { focusing } = session;
  const weighting = new Switch("weighting", tip, (name) => focusing.setWeighting(name as Weighting));
  const sink = actionButton("hide first", tip, () => focusing.setHideSink(!focusing.hideSink), {
    name: "hide-sink",
    card: () => ({
      title: "hide the first token",
      lines: [
        "Many heads park their attention on the first token, which says little about them. Its column is left blank and its share is stated; nothing is rescaled.",
      ],
    }),
  });
  const zoomer = (label: string, name: string, words: string, run: () => void) => {
    const button = actionButton(label, tip, run, {
      class: "mi-button mi-square",
      name,
      card: () => ({ lines: [words] }),
    });
    attribute(button, "aria-label", words);
    return button;
  };
  const out = zoomer("−", "zoom-out", "zoom out (key −)", () => focusing.zoom(STEP));
  const closer = zoomer("+", "zoom-in", "zoom in (key +; the wheel after a click)", () =>
    focusing.zoom(1 / STEP),
  );
  const all = zoomer("⤢", "zoom-all", "show all tokens (key 0, double click)", () => focusing.reset());
  const frame = h("i");
  const overview = h("div", {
    class: "mi-overview",
    role: "slider",
    tabindex: 0,
    "aria-label": "part of the pattern in view",
    "data-part": "overview",
  });
  overview.append(frame);
  const zoom = h("span", { class: "mi-zoom" }, out, closer, all);
  const element = h("div", { class: "mi-focus-tools" }, weighting.element, sink, zoom);

  function move(event: PointerEvent): void {
    const box = overview.getBoundingClientRect();
    const { span } = focusing.window;
    const at = (share: number) => Math.round(share * focusing.positions - span / 2);
    const dest = at((event.clientY - box.top) / box.height);
    focusing.show({ dest, src: at((event.clientX - box.left) / box.width), span });
  }
  overview.addEventListener("pointerdown", (event) => {
    overview.setPointerCapture(event.pointerId);
    move(event);
  });
  overview.addEventListener("pointermove", (event) => {
    if (overview.hasPointerCapture(event.pointerId)) move(event);
  });
  const by = (down: number, across: number) => () => {
    const { dest, src, span } = focusing.window;
    const step = Math.max(1, Math.round(span / 4));
    focusing.show({ dest: dest + down * step, src: src + across * step, span });
    context.say(inView());
  };
  onKeys(overview, {
    ArrowUp: by(-1, 0),
    ArrowDown: by(1, 0),
    ArrowLeft: by(0, -1),
    ArrowRight: by(0, 1),
  });
  function inView(): string {
    const { dest, src, span } = focusing.window;
    return `from ${dest} to ${dest + span - 1}, sources ${src} to ${src + span - 1} of ${focusing.positions}`;
  }

  function update(): void {
    const off = session.channel.usable ? null : session.offReason;
    const choice = (name: Weighting, why: string | null) => ({
      name,
      label: CARDS[name].title,
      chosen: focusing.weighting === name,
      off: focusing.weighting === name ? null : why,
      card: CARDS[name],
    });
    const arrays = session.question?.arrays ? "Made from arrays: there are no values to weigh by." : null;
    weighting.update([choice("attention", off), choice("value", arrays ?? off)]);
    const name = shortLabel(bare(session.shownPrompt?.labels[0] ?? "first"), 8);
    setText(sink, `hide ${name}`);
    attribute(sink, "aria-pressed", String(focusing.hideSink));
    const { zoomed, positions } = focusing;
    const { dest, src, span } = focusing.window;
    attribute(out, "aria-disabled", zoomed ? null : "true");
    attribute(all, "aria-disabled", zoomed ? null : "true");
    attribute(closer, "aria-disabled", span > Math.min(6, positions) ? null : "true");
    show(overview, zoomed);
    if (!zoomed) return;
    const share = (tokens: number) => `${(tokens / positions) * 100}%`;
    Object.assign(frame.style, {
      top: share(dest),
      left: share(src),
      width: share(span),
      height: share(span),
    });
    attribute(overview, "aria-valuenow", dest);
    attribute(overview, "aria-valuemax", positions - span);
    attribute(overview, "aria-valuetext", inView());
  }
  return { element, update, overview };
}
