// The menu of the figure: as SVG or PNG, to the clipboard or as a file.
import { type Entry, menuButton } from "../lib/controls";
import { type Figure, shifted, toPng, toSvg } from "../lib/display-list";
import { h } from "../lib/dom";
import type { Theme } from "../lib/theme";
import type { ViewContext } from "./context";

const GAP = 20;

/** Figures that stand side by side; null where one is not drawn. */
type Row = readonly (Figure | null)[];

/** A button that exports the figures that are drawn; `name` begins the name of a file. */
export function createExport(
  context: ViewContext,
  name: string,
  title: string,
  rows: () => readonly Row[],
): HTMLElement {
  const { session, say } = context;

  function figure(): Figure | null {
    const drawn = rows().map((row) => row.filter((it) => it !== null));
    return drawn.some((row) => row.length) ? arranged(drawn, context.theme) : null;
  }
  function save(content: Blob | string, kind: "svg" | "png"): void {
    const file = `${name}-${session.question?.model?.name ?? "figure"}`;
    const blob = new Blob([content], { type: kind === "svg" ? "image/svg+xml" : "image/png" });
    const url = URL.createObjectURL(blob);
    h("a", { href: url, download: `${file.replace(/[^\w.-]+/g, "-").slice(0, 80)}.${kind}` }).click();
    setTimeout(() => URL.revokeObjectURL(url), 10000);
  }
  async function copy(text: string): Promise<void> {
    try {
      await navigator.clipboard.writeText(text);
      say("figure copied as SVG");
    } catch {
      save(text, "svg");
      say(session.why("figure-saved"));
    }
  }
  function entries(): Entry[] {
    if (!figure()) return [{ label: "Nothing is drawn yet", name: "none", run: () => undefined }];
    const entry = (label: string, name: string, make: (made: Figure) => void) => ({
      label,
      name,
      run() {
        const made = figure();
        if (made) make(made);
      },
    });
    const svg = (made: Figure) => toSvg(made, `${title}: ${session.shownPrompt?.text.slice(0, 400) ?? ""}`);
    return [
      entry("Copy figure as SVG", "copy-svg", (made) => void copy(svg(made))),
      entry("Download SVG", "save-svg", (made) => save(svg(made), "svg")),
      entry("Download PNG", "save-png", (made) => void toPng(made, 3).then((blob) => save(blob, "png"))),
    ];
  }
  return menuButton("Export ▾", context.signal, entries);
}

/** One figure of rows of figures, one row below the other. */
function arranged(rows: readonly (readonly Figure[])[], { background }: Theme): Figure {
  const items: Figure["items"] = [];
  let [width, top] = [0, GAP];
  for (const row of rows) {
    let left = GAP;
    for (const part of row) {
      items.push(...shifted(part.items, left, top));
      left += part.width + GAP;
    }
    width = Math.max(width, left);
    if (row.length) top += Math.max(...row.map((part) => part.height)) + GAP;
  }
  return { width, height: top, background, items };
}
