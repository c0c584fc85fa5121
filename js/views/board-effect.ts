// The effect: the line from corrupted to clean, and the next tokens before and after with how their ranks moved.
import type { BoardEffect, EffectToken } from "../lib/board-cells";
import { runColour } from "../lib/board-colours";
import type { BoardSession } from "../lib/board-session";
import { drawCanvas, type Figure, type Item, shifted } from "../lib/display-list";
import { attribute, h, memo, set, setText, watchFacts } from "../lib/dom";
import { typeOf } from "../lib/grid-items";
import { dotted, shortLabel } from "../lib/labels";
import { widthOf } from "../lib/width";
import type { View, ViewContext } from "./context";
import { effectItems, LINE_HEIGHT, shareText } from "./effect-line";
import { bar, barRow, direction, numberText, tokenName } from "./effect-panel";

const WORDS = { run: "patched", preview: "preview", map: "preview", estimate: "estimate" } as const;
/** ▲, ▼ or – and the rank now, counted from 1. */
export function rankText({ before_rank, after_rank }: EffectToken): [arrow: string, rank: string] {
  const moved = before_rank - after_rank;
  return [moved > 0 ? "▲" : moved < 0 ? "▼" : "–", String(after_rank + 1)];
}

/** "logit difference 2.31, 74 % recovered" */
export function spokenEffect(effect: BoardEffect): string {
  const share = shareText(effect);
  return `${effect.label} ${numberText(effect.after)}${share && `, ${share}`}`;
}

export function createBoardEffect(context: ViewContext<BoardSession>): View & { figure(): Figure | null } {
  const { session } = context;
  const { drag } = session;
  const title = h("h3.board-title", "Effect");
  const note = h("span.note");
  const metric = h("div.note");
  const canvas = h("canvas", { role: "img" });
  const line = h("div.effect-line", canvas);
  const tokens = h("div.effect-tokens", { "data-part": "effect-tokens" });
  const foot = h("div.note", { "data-part": "effect-note", dir: "auto" });
  const element = h(
    "section.board-effect#effect",
    h("div.focus-head", title, note),
    metric,
    line,
    tokens,
    foot,
  );
  const drawn = memo<void>();
  const news = watchFacts();
  let told = "";

  const metricText = (effect: BoardEffect) => {
    const { question } = session;
    const over = effect.n_prompts > 1 ? ` · mean of ${effect.n_prompts} prompts` : "";
    return `${effect.label} ${question ? direction(question) : ""}${over}`;
  };
  function lineLook(width: number) {
    const shown = drag.shown;
    if (!shown) return null;
    const { effect, of } = shown;
    const live = of === "run" ? null : (session.board?.effect?.after ?? null);
    const edits = session.question?.edits.some((edit) => edit.on);
    const word = of === "run" && !edits ? "unedited" : WORDS[of];
    const { theme, scale } = context;
    return { effect, word, estimate: of === "estimate", live, width, theme, scale };
  }

  function writeTokens({ tokens: list, base, noise_floor, note: words, n_prompts }: BoardEffect): void {
    if (!news(list, base, noise_floor, words, n_prompts)) return;
    const most = Math.max(1e-9, ...list.flatMap((it) => [it.before ?? 0, it.after ?? 0]));
    const scale = most > 0.2 ? 1 : most * 1.2;
    tokens.replaceChildren(
      ...list.map((token) => {
        const { label, before, after } = token;
        const [arrow, rank] = rankText(token);
        const move = h("span.effect-rank", { "data-moved": arrow }, `${arrow} ${rank}`);
        attribute(move, "title", `rank ${token.before_rank + 1} before`);
        const name = h("span.effect-name", tokenName(label), move);
        const row = barRow(
          name,
          `${numberText(before)} → ${numberText(after)}`,
          bar("edited", after, 0, scale),
          bar(base, before, 0, scale),
        );
        row.classList.add("mi-next");
        return row;
      }),
    );
    const floor = noise_floor === null ? "" : `noise floor ${numberText(noise_floor)}`;
    const which = n_prompts > 1 && list.length ? session.why("whose") : "";
    setText(foot, dotted([words, which, floor]));
  }

  function update(): void {
    const shown = drag.shown;
    set(element, { "data-of": shown?.of ?? "", "data-waiting": shown?.waiting ?? false });
    if (!shown) {
      setText(foot, session.board ? session.why("unscored") : "");
      return;
    }
    const { effect, of } = shown;
    const width = widthOf(line) || 420;
    const look = lineLook(width);
    setText(metric, metricText(effect));
    setText(note, drag.failure?.message ?? (of === "run" ? "" : session.why(`of-${of}`)));
    attribute(note, "data-preview", of !== "run");
    if (look) {
      const { effect: it, word, live, theme, scale } = look;
      // Each look is another one: the line is drawn again when what it shows is.
      drawn([JSON.stringify([it, word, live, width]), theme, scale], () => {
        const height = LINE_HEIGHT * scale;
        drawCanvas(canvas, { width, height, background: theme.background, items: effectItems(look) });
        const ends = (["corrupted", "clean"] as const)
          .filter((name) => it[name] !== null)
          .map((name) => `${name} ${numberText(it[name])}`);
        set(canvas, {
          "aria-label": `${word}: ${spokenEffect(it)}; ${ends.join(", ")}`,
          "data-after": it.after?.toFixed(4) ?? "",
        });
      });
    }
    writeTokens(effect);
    tell(effect, of);
  }

  /** Says what a change of the list did, once its effect is here; a preview is said when it is here. */
  function tell(effect: BoardEffect, of: string): void {
    const spoken = spokenEffect(effect);
    if (of === "preview") {
      if (spoken !== told) context.say(`preview: ${spoken}`);
      told = spoken;
      return;
    }
    if (of !== "run" || session.behind) return;
    const done = session.takeNews();
    if (done) context.say(`${done}: ${spoken}`);
    told = "";
  }

  const figure = () => {
    const width = Math.max(widthOf(line), 360);
    const look = lineLook(width);
    if (!look) return null;
    const { theme, scale, effect } = look;
    const type = typeOf(look);
    const items: Item[] = [
      {
        ...type,
        x: 0,
        y: 10 * scale,
        text: "Effect",
        size: 12 * scale,
        font: theme.font,
        bold: true,
        fill: theme.text,
      },
      { ...type, x: 0, y: 28 * scale, text: metricText(effect) },
      ...shifted(effectItems(look), 0, 38 * scale),
    ];
    let y = (38 + LINE_HEIGHT + 12) * scale;
    const [left, right] = [150 * scale, width - 110 * scale];
    const most = Math.max(0.2, ...effect.tokens.flatMap((it) => [it.before ?? 0, it.after ?? 0]));
    for (const token of effect.tokens) {
      const { label, before, after } = token;
      items.push({ ...type, x: 0, y: y + 5, text: shortLabel(label, 12), fill: theme.text });
      items.push({ ...type, x: 100 * scale, y: y + 5, text: rankText(token).join(" ") });
      for (const [at, value] of [after, before].entries()) {
        const fill = runColour(theme, at ? effect.base : "edited");
        const wide = Math.max(1, ((value ?? 0) / most) * (right - left));
        items.push({
          kind: "rect",
          x: left,
          y: y + at * 8 * scale - 3,
          width: wide,
          height: 7 * scale,
          fill,
        });
      }
      items.push({
        ...type,
        x: width,
        y: y + 5,
        align: "end",
        text: `${numberText(before)} → ${numberText(after)}`,
      });
      y += 22 * scale;
    }
    return { width, height: y, background: theme.background, items };
  };
  return { element, update, figure };
}
