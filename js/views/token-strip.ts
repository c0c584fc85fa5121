// The token strip: the text itself, one token in focus; orange is where it looks, grey is who looks at it.

import { css, mix, textOn } from "../lib/colour";
import { attribute, h, memo, set, setText, show, uniqueId } from "../lib/dom";
import { clamp } from "../lib/geometry";
import type { HeadsSession } from "../lib/heads-session";
import { arrows, onKeys } from "../lib/keyboard";
import { bare, shortLabel, visible } from "../lib/labels";
import { type Pattern, weight } from "../lib/patterns";
import { widthOf } from "../lib/width";
import type { View, ViewContext } from "./context";
import { digitsOf, valueText } from "./pattern-figure";

/** Longer prompts are folded to a window of so many tokens round the one that was picked. */
const SHOWN = 400;
const REST_MS = 150;
/** While the pointer goes over other pictures the strip follows so often at most: nobody reads faster. */
const PACE_MS = 80;

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
    onscroll: () => scrolls++,
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
  let pace: unknown = null;
  let behind = false;
  let scrolls = 0;
  const laid = memo<{ shown: boolean; whole: boolean }[]>();

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

  /** Of each token: can something of it be seen, or all of it, as the strip is scrolled? */
  const sight = () =>
    laid([tokens, scrolls, widthOf(strip), context.theme, context.scale], () => {
      const start = strip.offsetTop + strip.scrollTop;
      const end = start + strip.clientHeight;
      return tokens.map(({ offsetTop: top, offsetHeight: height }) => {
        const bottom = top + height;
        return { shown: bottom > start && top < end, whole: top >= start && bottom <= end };
      });
    });

  /** Tints the tokens that can be seen, or all of them: a style costs the page far more than its tint. */
  function tint(pattern: Pattern | null, focus: number, all = false): void {
    const { theme } = context;
    const seen = sight();
    for (const [place, element] of tokens.entries()) {
      if (!all && !seen[place]?.shown) continue;
      const token = first + place;
      const out = token <= focus;
      const here = token === 0 && session.focusing.hideSink ? 0 : between(pattern, focus, token);
      const share = Number.isFinite(here) ? Math.min(1, Math.abs(here) / (pattern?.top || 1)) : 0;
      // A power below 1 lets weak weights be seen at all; the number is in the read-out.
      const depth = share ** 0.65;
      const ground = pattern?.twoSided
        ? theme.diverging.colour(Math.sign(here) * depth * (out ? 1 : 0.5))
        : mix(theme.background, out ? theme.attends : theme.attended, out ? depth : 0.7 * depth);
      const tint = share > 0 ? css(ground) : "";
      if (tints[place] === tint) continue;
      tints[place] = tint;
      element.style.backgroundColor = tint;
      element.style.color = share > 0.02 ? textOn(ground) : "";
    }
  }

  function colour(pattern: Pattern | null, focus: number): void {
    tint(pattern, focus);
    if (focus !== told) {
      told = focus;
      for (const [place, element] of tokens.entries()) {
        const token = first + place;
        set(element, { "aria-selected": token === focus, "data-role": roleOf(token, focus) });
      }
    }
    // What is out of sight, and what is read out, waits until the pointer rests.
    session.timers.clear(rest);
    rest = session.timers.set(() => {
      tint(pattern, focus, true);
      describe(pattern, focus);
    }, REST_MS);
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
    if (token && !sight()[focus - first]?.whole)
      strip.scrollTop = token.offsetTop - strip.offsetTop - strip.clientHeight / 2;
  }

  function update(): void {
    show(element, session.shown !== null);
    if (!begun && session.shown) {
      // The atlas stands one frame sooner when the first tint of all tokens waits for the next.
      begun = true;
      requestAnimationFrame(update);
    } else if (pace === null || !(session.hovered ?? session.hoverCell)) draw();
    else behind = true;
  }

  function draw(): void {
    behind = false;
    pace ??= session.timers.set(() => {
      pace = null;
      if (behind) draw();
    }, PACE_MS);
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
