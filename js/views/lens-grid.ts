// The lens as a table of text: a row for each line, a column for each position in view, folds and pages as buttons.
import { actionButton } from "../lib/controls";
import { type Child, h, memo, set, show } from "../lib/dom";
import { moreOf } from "../lib/grid-items";
import { arrows, onKeys } from "../lib/keyboard";
import { shortLabel } from "../lib/labels";
import type { LensCell } from "../lib/lens-cells";
import { measureLabel, measureText } from "../lib/lens-colours";
import type { LensSession } from "../lib/lens-session";
import type { ViewContext } from "./context";
import { foldName, type LensLook } from "./lens-figure";

export interface LensGrid {
  element: HTMLElement;
  show(shown: boolean): void;
  /** Draws what the picture shows; `open` opens a line, `page` turns to the positions before or after. */
  draw(look: LensLook, open: (line: number) => void, page: (by: -1 | 1) => void): void;
}

export function createLensGrid(context: ViewContext<LensSession>): LensGrid {
  const { session, tip } = context;
  const body = h("div.table-scroll", { tabindex: 0, "aria-label": "top tokens as a table" });
  const pages = h("div.lens-foot");
  const element = h("div", { "data-part": "lens-grid", hidden: true }, pages, body);
  const drawn = memo<void>();
  onKeys(
    body,
    arrows((rows, cols) => body.scrollBy(cols * 60, rows * 40)),
  );

  function text({ lens }: LensLook, cell: LensCell): string {
    const { cells } = lens;
    if (!cells.has(cell)) return "…";
    const [top] = cells.top(cell);
    const value = cells.value(cell);
    return [
      top && shortLabel(session.tokenLabel(top.id), 16),
      Number.isFinite(value) ? measureText(lens, value) : "–",
      cells.changed(cell) && "changed",
    ]
      .filter(Boolean)
      .join(" ");
  }

  function build(look: LensLook, open: (line: number) => void, page: (by: -1 | 1) => void): void {
    const { lens, layout, labels } = look;
    const { first, end, positions, lines } = layout;
    const columns = Array.from({ length: end - first }, (_, at) => first + at);
    const heading = (position: number) => `${shortLabel(labels[position] ?? "?", 12)} ${position}`;
    const rows = lines.map((line, at) => {
      const name = foldName(lens, line);
      const label = { scope: "row", dir: "auto" };
      if (line.folded) {
        const button = actionButton(`${name} folded: open`, tip, () => open(at), {
          class: "mi-link",
          name: "open-fold",
        });
        return h("tr", h("th", { ...label, colspan: columns.length + 1 }, button));
      }
      const cells: Child[] = columns.map((position) =>
        h("td", { dir: "auto" }, text(look, { row: line.first, position })),
      );
      return h("tr", h("th", label, name), ...cells);
    });
    const turn = (count: number, by: -1 | 1) =>
      count > 0 &&
      actionButton(by < 0 ? `‹ ${moreOf(count)}` : `${moreOf(count)} ›`, tip, () => page(by), {
        class: "mi-link",
        name: by < 0 ? "before" : "after",
      });
    const back = (element.getRootNode() as Document | ShadowRoot).activeElement as HTMLElement | null;
    const held = element.contains(back) ? back?.dataset.action : undefined;
    const buttons = [turn(first, -1), turn(positions - end, 1)].filter((it) => it !== false);
    pages.replaceChildren(...buttons);
    const head = columns.map((position) => h("th", { scope: "col", dir: "auto" }, heading(position)));
    body.replaceChildren(
      h(
        "table.table",
        { "aria-rowcount": lens.rows.length + 1, "aria-colcount": positions + 1 },
        h("caption", `top token and ${measureLabel(lens)} at each layer (down) and position (across)`),
        h("thead", h("tr", h("th", { scope: "col" }), ...head)),
        h("tbody", ...rows),
      ),
    );
    if (held) (element.querySelector<HTMLElement>(`[data-action="${held}"]`) ?? body).focus();
  }

  return {
    element,
    show: (shown) => show(element, shown),
    draw(look, open, page) {
      const { lens, layout, labels } = look;
      drawn([lens, lens.cells.version, layout, labels], () => build(look, open, page));
      set(element, { "data-first": layout.first });
    },
  };
}
