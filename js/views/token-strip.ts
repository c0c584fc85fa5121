// The token strip: the text itself, one token in focus; orange is where it looks, grey is who looks at it.
import { css, luminance, mix, textOn } from "../lib/colour";
import { attribute, h, setText, show, uniqueId } from "../lib/dom";
import { arrows, onKeys } from "../lib/keyboard";
import { bare, shortLabel, visible } from "../lib/labels";
import { type Pattern, weight } from "../lib/patterns";
import type { View, ViewContext } from "./context";
import { valueText } from "./pattern-figure";

export function createTokenStrip(context: ViewContext): View {
  const { session } = context;
  const from = h("span", { class: "mi-token mi-token-focus", dir: "auto" });
  const where = h("span", { class: "mi-note" });
  const heading = h("div", { class: "mi-strip-head" }, h("b", {}, "From"), " ", from, " ", where);
  const strip = h("div", {
    class: "mi-strip-text",
    role: "listbox",
    tabindex: 0,
    "aria-label": "Tokens of the prompt",
  });
  const legend = h("div", { class: "mi-note" });
  const element = h("section", { class: "mi-strip", "data-part": "strip" }, heading, strip, legend);
  const prefix = uniqueId("token");
  let tokens: HTMLElement[] = [];
  let labelsDrawn: readonly string[] | null = null;

  const tokenAt = (event: Event) => {
    const token = (event.target as HTMLElement).closest<HTMLElement>("[data-token]")?.dataset.token;
    return token === undefined ? null : Number(token);
  };
  strip.addEventListener("pointerover", (event) => session.hoverPosition(tokenAt(event)));
  strip.addEventListener("pointerleave", () => session.hoverPosition(null));
  strip.addEventListener("click", (event) => {
    const token = tokenAt(event);
    if (token !== null) session.pickToken(token);
  });
  strip.addEventListener("blur", () => session.hoverPosition(null));
  const pick = () => {
    session.pickToken(session.focusToken);
    context.say(`token ${session.focusToken} in focus`);
  };
  onKeys(strip, {
    ...arrows((rows, cols) => {
      const last = tokens.length - 1;
      const next = Math.min(last, Math.max(0, session.focusToken + (cols || rows)));
      session.hoverPosition(next);
      tokens[next]?.scrollIntoView({ block: "nearest" });
      context.say(spoken(next));
    }),
    Enter: pick,
    " ": pick,
    Escape: () => {
      session.hoverPosition(null);
      session.clearSelection();
    },
    "?": () => context.toggleHelp(),
  });

  const spoken = (token: number) =>
    `${shortLabel(session.shownPrompt?.labels[token] ?? "", 24)}, position ${token}`;

  function build(labels: readonly string[]): void {
    if (labels === labelsDrawn) return;
    labelsDrawn = labels;
    const special = new Set(session.shownPrompt?.special ?? []);
    tokens = labels.map((label, token) => {
      const short = shortLabel(bare(label), 24);
      const element = h(
        "span",
        {
          class: special.has(token) ? "mi-token mi-special" : "mi-token",
          role: "option",
          id: `${prefix}-${token}`,
          dir: "auto",
          "data-token": token,
          title: `${shortLabel(label, 200)} · position ${token}`,
        },
        short,
      );
      // A token that begins no word stands close to the one before it.
      attribute(element, "data-joined", token > 0 && !label.startsWith("␣") && /^[\p{L}\p{N}]/u.test(label));
      return element;
    });
    strip.replaceChildren(...tokens);
  }

  function colour(pattern: Pattern | null, focus: number): void {
    const { theme } = context;
    for (const [token, element] of tokens.entries()) {
      const out = pattern ? weight(pattern, focus, token) : Number.NaN;
      const into = pattern ? weight(pattern, token, focus) : Number.NaN;
      const here = token <= focus ? out : into;
      const share = Number.isFinite(here) ? Math.min(1, Math.abs(here)) : 0;
      // A power below 1 lets weak weights be seen at all; the number is in the read-out.
      const depth = share ** 0.65;
      const tint = token <= focus ? theme.attends : theme.attended;
      const ground = pattern?.signed
        ? theme.diverging.colour(Math.sign(here) * depth * (token <= focus ? 1 : 0.5))
        : mix(theme.background, tint, token <= focus ? depth : 0.7 * depth);
      element.style.background = css(ground);
      element.style.color = share > 0.02 ? textOn(ground) : "";
      attribute(element, "aria-selected", String(token === focus));
      const role = token <= focus ? "attends to" : "attended by";
      element.dataset.role = role;
      attribute(
        element,
        "aria-label",
        `${spoken(token)}: ${role} ${valueText(here, pattern?.signed ?? false)}`,
      );
    }
  }

  function update(): void {
    const labels = session.shownPrompt?.labels ?? [];
    const pattern = session.focusing.whole;
    show(element, session.shown !== null);
    build(labels);
    const focus = session.focusToken;
    const label = labels[focus] ?? "";
    setText(from, shortLabel(bare(label), 20));
    attribute(from, "title", visible(label.slice(0, 400)));
    setText(where, `position ${focus}`);
    colour(pattern, focus);
    const difference = "blue: more, red: less · strong: attends to, pale: attended by";
    setText(legend, pattern?.signed ? difference : "orange: attends to · grey: attended by");
    attribute(strip, "aria-activedescendant", tokens[focus]?.id ?? null);
    strip.dataset.focus = String(focus);
    strip.dataset.dark = String(luminance(context.theme.background) < 0.18);
  }
  return { element, update };
}
