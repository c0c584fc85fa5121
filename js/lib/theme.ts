// The host's theme as the widget sees it: dark or light by the background that is really there, and our colours for it.

import { ColourTable, luminance, mix, parseColour, type Rgb } from "./colour";
import { onEnd } from "./dom";

export interface Theme {
  dark: boolean;
  background: Rgb;
  /** Cells that the causal mask forbids: apart from zero, and from any value. */
  future: Rgb;
  text: Rgb;
  muted: Rgb;
  line: Rgb;
  accent: Rgb;
  attends: Rgb;
  attended: Rgb;
  sequential: ColourTable;
  diverging: ColourTable;
  font: string;
  mono: string;
}

const LIGHT = {
  text: [17, 20, 24],
  muted: [95, 104, 117],
  accent: [37, 99, 235],
  attends: [240, 138, 60],
  attended: [107, 114, 128],
  ink: [16, 24, 40],
} as const;
const DARK = {
  text: [230, 233, 238],
  muted: [154, 163, 175],
  accent: [122, 166, 255],
  attends: [217, 108, 24],
  attended: [156, 163, 175],
  ink: [255, 255, 255],
} as const;

/** The elements round a node, from itself up, through shadow roots. */
function* around(start: Node | null): Generator<Element> {
  for (let node = start; node; node = node instanceof ShadowRoot ? node.host : node.parentNode)
    if (node instanceof Element) yield node;
}

/** The first opaque background at or above an element; the page's own canvas when there is none. */
export function backgroundOf(element: Element): Rgb {
  for (const node of around(element)) {
    const found = parseColour(getComputedStyle(node).backgroundColor);
    if (found) return found;
  }
  const scheme = getComputedStyle(document.documentElement).colorScheme;
  const dark = scheme === "dark" || (scheme?.includes("dark") && systemTheme()?.matches);
  return dark ? [18, 18, 18] : [255, 255, 255];
}

const systemTheme = () => globalThis.matchMedia?.("(prefers-color-scheme: dark)");

export function themeFor(background: Rgb, fonts: { font: string; mono: string }, strong = false): Theme {
  const dark = luminance(background) < 0.18;
  const { ink, text, muted, ...marks } = dark ? DARK : LIGHT;
  return {
    ...marks,
    ...fonts,
    dark,
    background,
    future: mix(background, ink, dark ? 0.03 : 0.05),
    text: strong ? ink : text,
    muted: strong ? text : muted,
    line: mix(background, ink, strong ? 0.4 : dark ? 0.16 : 0.14),
    sequential: new ColourTable("sequential", dark, background),
    diverging: new ColourTable("diverging", dark, background),
  };
}

/** Reads the theme round `root` now; `root` itself must not carry a background of ours while it is read. */
export function readTheme(root: HTMLElement, strong: boolean): Theme {
  const style = getComputedStyle(root);
  const read = (name: string) => style.getPropertyValue(name).trim();
  const background = parseColour(read("--mi-host-background")) ?? backgroundOf(root.parentElement ?? root);
  const fonts = { font: read("--mi-font") || "sans-serif", mono: read("--mi-mono") || "monospace" };
  return themeFor(background, fonts, strong);
}

/** Calls back when the host may have switched its theme. */
export function watchTheme(root: HTMLElement, signal: AbortSignal, changed: () => void): void {
  const observer = new MutationObserver(changed);
  const attributeFilter = [
    "class",
    "style",
    "data-jp-theme-light",
    "data-jp-theme-name",
    "data-theme",
    "data-vscode-theme-kind",
    "theme",
  ];
  // A view may be rendered before it is in the page: what is above it then is not all there is. A theme may also
  // arrive as a new style sheet: JupyterLab adds its own to the body.
  const { documentElement, head, body } = document;
  for (const it of new Set([documentElement, head, body, ...around(root.parentNode)]))
    observer.observe(it, { attributes: true, attributeFilter, childList: it === head || it === body });
  const media = systemTheme();
  media?.addEventListener("change", changed, { signal });
  document.addEventListener("load", changed, { capture: true, signal });
  onEnd(signal, () => observer.disconnect());
}
