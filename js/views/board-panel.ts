// A run of the board: its name, its prompt with what differs underlined and a pencil, its grid, and what is under the
// pointer in words.

import { numberTable } from "../lib/a11y";
import type { BoardSession } from "../lib/board-session";
import { attribute, h, memo, set, setText, show, watchFacts } from "../lib/dom";
import { times } from "../lib/geometry";
import { shortLabel, visible } from "../lib/labels";
import { foldName, headText } from "./board-figure";
import { type BoardGrid, GRID_TITLES } from "./board-grid";
import type { View, ViewContext } from "./context";
import { createPrompt } from "./prompt";

/** Tokens of a prompt that are written out. */
const MOST = 300;

export function createBoardPanel(
  context: ViewContext<BoardSession>,
  grid: BoardGrid,
  tabled: () => boolean,
): View {
  const { session } = context;
  const { name } = grid;
  const title = h("h3.board-title", { "data-run": name }, GRID_TITLES[name]);
  const note = h("span.note");
  const prompt = name === "edited" ? null : createPrompt(context, name);
  const words = h("span.board-words");
  const line = h("div.board-prompt", words, prompt?.element);
  const readout = h("div.readout", { "data-part": `readout-${name}` });
  const table = h("div.table-scroll", { tabindex: 0, hidden: true, "data-part": `table-${name}` });
  const element = h(
    "section.board-panel",
    { "data-part": `panel-${name}` },
    h("div.focus-head", title, note),
    prompt && line,
    grid.element,
    table,
    readout,
  );
  const news = watchFacts();
  const drawn = memo<void>();
  if (prompt && name === "corrupted")
    // A second prompt is mostly the first one with a word changed.
    prompt.element.addEventListener(
      "click",
      () => {
        const { prompts } = session.question ?? {};
        if (prompts && !prompts.corrupted && session.draft.corrupted === undefined && !session.offReason)
          session.setDraft("corrupted", prompts.clean.text);
      },
      { capture: true },
    );

  /** The prompt's tokens as its text, those that differ underlined. */
  function writePrompt(): void {
    if (name === "edited") return;
    const { board, question } = session;
    const found = question?.prompts[name];
    const differs = new Set(board?.differs[name]);
    if (!news(found?.labels, [...differs], found === null)) return;
    if (!found) return words.replaceChildren(session.why("second prompt"));
    const parts = found.labels.slice(0, MOST).flatMap((label, at) => {
      // The token that a tokenizer puts in front is no text; one that stands for an unknown word is.
      if (at === 0 && found.special.includes(at)) return [];
      const space = found.special.includes(at) ? " " : "";
      const text = space + visible(label).replaceAll("␣", " ");
      const shown = text.length > 60 ? shortLabel(label, 40) : text;
      if (!differs.has(at)) return [h("bdi", shown)];
      const word = shown.trimStart();
      return [word === shown ? "" : " ", h("u", { "data-run": name, dir: "auto" }, word)];
    });
    const rest = found.labels.length - MOST;
    // The text begins with a word, whatever its first token begins with.
    if (parts[0] === " ") parts.shift();
    const [first] = parts;
    if (first instanceof HTMLElement) setText(first, first.textContent?.trimStart() ?? "");
    words.replaceChildren(...parts, ...(rest > 0 ? [` … ${rest} more tokens`] : []));
    if (!parts.length) setText(words, "(empty prompt)");
  }

  /** The cells in view as text. */
  function writeTable(): void {
    const look = grid.look();
    if (!look) return;
    const { layout, cells, labels, head, board } = look;
    drawn([layout, cells, cells.version, labels, session.map, session.map?.version, session.stream], () => {
      const columns = times(layout.end - layout.first, (at) => layout.first + at);
      const text = (row: number, column: number) => {
        if (head) {
          const cell = head(row, column);
          return cell && Number.isFinite(cell.recovered) ? headText(cell) : "–";
        }
        const top = cells.top(row, column);
        if (!top || top.id < 0) return cells.has(row, column) ? "–" : "…";
        const changed = name === "edited" && cells.changed(row, column) ? " changed" : "";
        return `${shortLabel(board.tokens.get(top.id) ?? `#${top.id}`, 16)} ${top.value.toFixed(2)}${changed}`;
      };
      const caption = head ? "share recovered by each head" : "top token and its probability";
      const rows = layout.lines.map((it) =>
        it.folded ? `${foldName(look, it)} folded` : look.rowName(it.first),
      );
      const names = columns.map((at) => `${shortLabel(labels[at] ?? "?", 12)}${head ? "" : ` ${at}`}`);
      const value = (row: number, column: number) => {
        const line = layout.lines[row];
        return line && !line.folded ? text(line.first, columns[column] as number) : "";
      };
      table.replaceChildren(numberTable(`${GRID_TITLES[name]}: ${caption}`, rows, names, value));
    });
  }

  function update(): void {
    const { board, hoverPlace, picked, drag, behind } = session;
    const there = !!board?.grids[name];
    show(grid.element, there && !tabled());
    show(table, there && tabled());
    show(readout, there);
    set(element, { "data-empty": !there, "data-pending": name === "edited" && behind });
    if (prompt) {
      prompt.update();
      writePrompt();
      const editing = prompt.element.querySelector("textarea")?.hidden === false;
      const drafted = name !== "edited" && session.draft[name] !== undefined;
      set(line, { "data-editing": editing, "data-drafted": drafted });
    }
    if (name === "edited") {
      const edits = session.question?.edits.some((edit) => edit.on);
      const trying = drag.cells !== null;
      setText(note, trying ? "preview" : session.why(edits ? "bright" : "unpatched"));
      attribute(note, "data-preview", trying);
    } else setText(note, "");
    if (!there) return;
    if (tabled()) {
      grid.look();
      writeTable();
    } else grid.update();
    const at = hoverPlace?.grid === name ? hoverPlace : null;
    const own = picked?.grid === name && picked.columns ? picked : null;
    const row = at?.row ?? own?.rows[0];
    const column = at?.column ?? own?.columns?.[0];
    setText(readout, row === undefined || column === undefined ? "" : grid.spoken(row, column));
  }
  return { element, update };
}
