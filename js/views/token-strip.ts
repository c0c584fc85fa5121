// The token strip: the text itself, one token in focus; orange is where it looks, grey is who looks at it.

import { css, mix, textOn } from "../lib/colour";
import { attribute, h, set, setText, show, uniqueId } from "../lib/dom";
import { clamp } from "../lib/geometry";
import type { HeadsSession } from "../lib/heads-session";
import { arrows, onKeys } from "../lib/keyboard";
import { bare, shortLabel, visible } from "../lib/labels";
import { type Pattern, weight } from "../lib/patterns";
import type { View, ViewContext } from "./context";
import { digitsOf, valueText } from "./pattern-figure";

/** Longer prompts are folded to a window of so many tokens round the one that was picked. */
const SHOWN = 400;
const REST_MS = 150;

export function createTokenStrip(context: ViewContext<HeadsSession>): View {
  const { session } = context;
  const from = h("span.token.token-focus", { dir: "auto" });
  const where = h("span.note");
  const tokenAt = (event: Event) => {
    const found = (event.target as Element).closest("[data-token]")?.getAttribute("data-token");
    return found == null ? null : Number(found);
  };
  const leave = () => session.hoverPosition(null);
  const strip = h("div.strip-text", {
    role: "listbox",
    tabindex: 0,
    "aria-label": "Tokens of the prompt",
    onpointerover: (event: Event) => session.hoverPosition(tokenAt(event)),
    onpointerleave: leave,
    onblur: leave,
    onclick(event: Event) {
      const token = tokenAt(event);
      if (token !== null) session.pickToken(token);
    },
  });
  const legend = h("div.note");
  const element = h(
    "section.strip#strip",
    h("div.strip-head", h("b", "From"), " ", from, " ", where),
    strip,
    legend,
  );
  const prefix = uniqueId("token");
  let tokens: HTMLElement[] = [];
  let tints: string[] = [];
  let labelsDrawn: readonly string[] | null = null;
  let first = 0;
  let seen = -1;
  let begun = false;
  /** The focus that the tokens' roles are of. */
  let told = -1;
  let rest: unknown = null;

  const labels = () => session.shownPrompt?.labels ?? [];
  const pick = () => {
    session.pickToken(session.focusToken);
    context.say(`token ${session.focusToken} in focus`);
  };
  onKeys(strip, {
    ...arrows((rows, cols) => {
      const next = clamp(session.focusToken + (cols || rows), 0, labels().length - 1);
      session.hoverPosition(next);
      build(next);
      tokens[next - first]?.scrollIntoView({ block: "nearest" });
      context.say(spoken(next));
    }),
    Enter: pick,
    " ": pick,
    Escape: () => {
      leave();
      session.clearSelection();
    },
    "?": () => context.toggleHelp(),
  });

  const spoken = (token: number) => `${shortLabel(labels()[token] ?? "", 24)}, position ${token}`;

  function tokenElement(label: string, token: number, special: boolean): HTMLElement {
    const element = h(
      special ? "span.token.special" : "span.token",
      {
        role: "option",
        id: `${prefix}-${token}`,
        dir: "auto",
        "data-token": token,
        title: `${shortLabel(label, 200)} · position ${token}`,
      },
      shortLabel(bare(label), 24),
    );
    // A token that begins no word stands close to the one before it.
    attribute(element, "data-joined", token > 0 && !label.startsWith("␣") && /^[\p{L}\p{N}]/u.test(label));
    return element;
  }

  /** What a fold hides, as a button that opens the next window. */
  function gap(count: number, to: number): HTMLElement | null {
    if (count <= 0) return null;
    const open = () => {
      first = to;
      fill();
      session.changed();
    };
    return h("button.link.gap", { onclick: open }, `… ${count} tokens`);
  }

  /** Makes the tokens when they are others, and moves the window when `wanted` is outside of it. */
  function build(wanted: number | null): void {
    const all = labels();
    const outside = wanted !== null && (wanted < first || wanted >= first + SHOWN);
    if (all === labelsDrawn && !outside) return;
    labelsDrawn = all;
    if (outside || first >= all.length)
      first = clamp((wanted ?? 0) - SHOWN / 2, 0, Math.max(0, all.length - SHOWN));
    fill();
  }
  function fill(): void {
    const all = labels();
    const special = new Set(session.shownPrompt?.special ?? []);
    const shown = all.slice(first, first + SHOWN);
    tokens = shown.map((label, place) => tokenElement(label, first + place, special.has(first + place)));
    tints = [];
    told = -1;
    const last = first + shown.length;
    const before = gap(first, Math.max(0, first - SHOWN));
    const after = gap(all.length - last, Math.min(last, all.length - SHOWN));
    strip.replaceChildren(...[before, ...tokens, after].filter((it) => it !== null));
  }

  const between = (pattern: Pattern | null, focus: number, token: number) =>
    pattern ? weight(pattern, Math.max(focus, token), Math.min(focus, token)) : Number.NaN;
  const roleOf = (token: number, focus: number) => (token <= focus ? "attends to" : "attended by");

  function colour(pattern: Pattern | null, focus: number): void {
    const { theme } = context;
    for (const [place, element] of tokens.entries()) {
      const token = first + place;
      const out = token <= focus;
      const here = between(pattern, focus, token);
      const share = Number.isFinite(here) ? Math.min(1, Math.abs(here) / (pattern?.top || 1)) : 0;
      // A power below 1 lets weak weights be seen at all; the number is in the read-out.
      const depth = share ** 0.65;
      const ground = pattern?.twoSided
        ? theme.diverging.colour(Math.sign(here) * depth * (out ? 1 : 0.5))
        : mix(theme.background, out ? theme.attends : theme.attended, out ? depth : 0.7 * depth);
      const background = share > 0 ? css(ground) : "";
      // Most tokens keep their tint while the pointer moves; writing it again would cost a layout each.
      if (tints[place] === background) continue;
      tints[place] = background;
      Object.assign(element.style, { background, color: share > 0.02 ? textOn(ground) : "" });
    }
    if (focus !== told) {
      told = focus;
      for (const [place, element] of tokens.entries()) {
        const token = first + place;
        set(element, { "aria-selected": token === focus, "data-role": roleOf(token, focus) });
      }
    }
    // What is read out is a number for each token: it waits until the pointer rests.
    session.timers.clear(rest);
    rest = session.timers.set(() => describe(pattern, focus), REST_MS);
  }

  function describe(pattern: Pattern | null, focus: number): void {
    const digits = pattern ? digitsOf(pattern) : 2;
    for (const [place, element] of tokens.entries()) {
      const token = first + place;
      const value = valueText(between(pattern, focus, token), pattern?.twoSided ?? false, digits);
      attribute(element, "aria-label", `${spoken(token)}: ${roleOf(token, focus)} ${value}`);
    }
  }

  /** Brings a token picked elsewhere into view, inside the strip alone. */
  function follow(focus: number): void {
    if (focus === seen || session.hoverToken !== null) return;
    seen = focus;
    const token = tokens[focus - first];
    if (!token || strip.scrollHeight <= strip.clientHeight) return;
    const top = token.offsetTop - strip.offsetTop;
    if (top < strip.scrollTop || top + token.offsetHeight > strip.scrollTop + strip.clientHeight)
      strip.scrollTop = top - strip.clientHeight / 2;
  }

  function update(): void {
    show(element, session.shown !== null);
    if (!begun && session.shown) {
      // The atlas stands one frame sooner when the first tint of all tokens waits for the next.
      begun = true;
      requestAnimationFrame(update);
      return;
    }
    const pattern = session.focusing.whole;
    const focus = session.focusToken;
    build(session.hoverToken === null && focus !== seen ? focus : null);
    const label = labels()[focus] ?? "";
    set(from, { text: shortLabel(bare(label), 20), title: visible(label.slice(0, 400)) });
    setText(where, `position ${focus}`);
    colour(pattern, focus);
    const difference = "blue: more, red: less · strong: attends to, pale: attended by";
    setText(legend, pattern?.twoSided ? difference : "orange: attends to · grey: attended by");
    set(strip, { "aria-activedescendant": tokens[focus - first]?.id, "data-focus": focus });
    follow(focus);
  }
  return { element, update };
}
