// What follows the pointer while something is carried, over everything else on the page.
import { type AtlasLayout, placeOf, thumbOrigin } from "../lib/atlas-layout";
import { css } from "../lib/colour";
import { type Child, h } from "../lib/dom";
import { type Head, headKey, headName } from "../lib/heads";
import type { Theme } from "../lib/theme";

const SIDE = 44;

/** A head: its thumbnail and name. */
export function createGhost(
  atlas: HTMLCanvasElement,
  layout: AtlasLayout | null,
  head: Head,
  theme: Theme,
): HTMLElement {
  const picture = h("canvas", { width: SIDE * 2, height: SIDE * 2 });
  picture.style.cssText = `display:block;width:${SIDE}px;height:${SIDE}px`;
  const place = layout ? placeOf(layout, head) : -1;
  const context = picture.getContext("2d");
  if (layout && context && place >= 0) {
    const ratio = atlas.width / layout.width;
    const [x, y] = thumbOrigin(layout, place);
    const side = layout.thumb * ratio;
    context.imageSmoothingEnabled = false;
    context.drawImage(atlas, x * ratio, y * ratio, side, side, 0, 0, SIDE * 2, SIDE * 2);
  }
  return ghostOf(theme, headKey(head), picture, h("div", `z ${headName(head)}`));
}

/** It stands outside the widget, where no style sheet of ours reaches. */
export function ghostOf(theme: Theme, name: string, ...parts: Child[]): HTMLElement {
  const ghost = h("div", { "data-mi-ghost": name, "aria-hidden": true }, ...parts);
  ghost.style.cssText = [
    "position:fixed;left:0;top:0;z-index:10000;pointer-events:none;padding:4px;border-radius:5px;text-align:center",
    `border:2px solid ${css(theme.accent)};background:${css(theme.background)};color:${css(theme.text)}`,
    `font:11px/1.4 ${theme.mono};box-shadow:0 3px 12px rgb(0 0 0 / 30%);opacity:.94`,
  ].join(";");
  return ghost;
}
