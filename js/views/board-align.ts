// Which position of one prompt stands for which of the other, where that is not plain: lines between their tokens, and
// the choice of how they are paired.
import { runColour } from "../lib/board-colours";
import type { BoardSession } from "../lib/board-session";
import { mix } from "../lib/colour";
import { createSelect } from "../lib/controls";
import { drawCanvas, type Figure, type Item } from "../lib/display-list";
import { h, memo, set, setText, show } from "../lib/dom";
import { ADVANCE, fitLabel, lettersOf } from "../lib/lens-labels";
import { widthOf } from "../lib/width";
import type { View, ViewContext } from "./context";

const SIZE = 11;
const HEIGHT = 66;
/** Tokens that are drawn of each prompt; the rest stand at the end as a number. */
const MOST = 120;

export function createBoardAlign(context: ViewContext<BoardSession>): View {
  const { session, tip } = context;
  const canvas = h("canvas", { role: "img" });
  const scroll = h("div.align-scroll", { tabindex: 0, "aria-label": "how positions pair" }, canvas);
  const select = createSelect(
    "align",
    tip,
    () => session.offReason,
    (value) => void session.setQuestion({ align: value }),
  );
  const note = h("span.note");
  const element = h(
    "section.align#align",
    h("div.focus-head", h("span.word", "align"), select.element, note),
    scroll,
  );
  const drawn = memo<void>();

  function figure(width: number): Figure | null {
    const { board, question } = session;
    const { clean, corrupted } = question?.prompts ?? {};
    if (!board || !clean || !corrupted) return null;
    const { theme, scale } = context;
    const size = SIZE * scale;
    const type = { kind: "text", size, font: theme.mono, align: "middle" } as const;
    const longest = Math.min(MOST, Math.max(clean.labels.length, corrupted.labels.length));
    const column = Math.max(46 * scale, Math.min(80 * scale, (width - 8) / longest));
    const letters = Math.floor((column - 6) / (size * ADVANCE));
    const high = HEIGHT * scale;
    const at = (position: number) => 4 + (position + 0.5) * column;
    const items: Item[] = [];
    for (const [from, to] of board.pairs) {
      if (from >= MOST || to >= MOST) continue;
      const points = [
        [at(from), 16 * scale],
        [at(to), high - 16 * scale],
      ] as const;
      const differs = board.differs.clean.includes(from);
      const stroke = differs ? theme.accent : mix(theme.background, theme.muted, 0.6);
      items.push({ kind: "path", points, stroke, line: differs ? 2 : 1 });
    }
    for (const [side, { labels }] of [
      ["clean", clean],
      ["corrupted", corrupted],
    ] as const) {
      const y = side === "clean" ? 8 * scale : high - 8 * scale;
      const paired = new Set(board.pairs.map((pair) => pair[side === "clean" ? 0 : 1]));
      for (const [position, label] of labels.slice(0, MOST).entries()) {
        const text = fitLabel(label, letters);
        const alone = !paired.has(position);
        const fill = alone || board.differs[side].includes(position) ? runColour(theme, side) : theme.text;
        const width = lettersOf(text) * size * ADVANCE + 6;
        if (alone) {
          // Without a partner: framed, so that it is not colour alone that says it.
          const box = { x: at(position) - width / 2, y: y - 8 * scale, width, height: 16 * scale, radius: 3 };
          items.push({ kind: "rect", ...box, stroke: fill, line: 1 });
        }
        items.push({ ...type, x: at(position), y, text, fill });
      }
    }
    return { width: 8 + longest * column, height: high, background: theme.background, items };
  }

  function update(): void {
    const { board, question } = session;
    const two = board?.grids.corrupted;
    // Each position for the one of the same number is plain.
    const differ =
      !!two &&
      (board.pairs.some(([from, to]) => from !== to) ||
        board.pairs.length < Math.max(two.positions, board.grids.clean.positions));
    show(element, differ);
    if (!board || !differ) return;
    select.update(
      board.aligns.map(({ name, label, reason }) => [name, label, reason ?? ""] as const),
      board.align,
    );
    const lone = (["clean", "corrupted"] as const).flatMap((side) => {
      const count = (board.grids[side]?.positions ?? 0) - board.pairs.length;
      return count ? [`${count} of ${side} without a partner`] : [];
    });
    setText(note, lone.join(", "));
    const { theme, scale } = context;
    const width = widthOf(element) || 640;
    drawn([board.pairs, board.differs, question?.prompts, theme, scale, width], () => {
      const made = figure(width);
      if (made) drawCanvas(canvas, made);
      const pairs = board.pairs.map(([from, to]) => `${from}–${to}`).join(", ");
      set(canvas, { "aria-label": `clean and corrupted positions that pair: ${pairs}` });
    });
  }
  return { element, update };
}
