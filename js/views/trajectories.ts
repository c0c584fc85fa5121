// Pinned tokens on their way through the rows at one position: lines of probability, logit or rank, dashed without edits.
import { numberTable } from "../lib/a11y";
import { actionButton, Switch } from "../lib/controls";
import { drawCanvas, type Figure } from "../lib/display-list";
import { attribute, h, memo, set, setText, show, watchFacts } from "../lib/dom";
import { clamp } from "../lib/geometry";
import { arrows, onKeys } from "../lib/keyboard";
import { bare, shortLabel } from "../lib/labels";
import { MOST_PINS, type Pin, slotCss } from "../lib/lens-card";
import type { LensSession } from "../lib/lens-session";
import { QUANTITIES, type Quantity } from "../lib/trajectory-layout";
import { widthOf } from "../lib/width";
import type { View, ViewContext } from "./context";
import { numberText } from "./effect-panel";
import { placeName } from "./lens-card";
import { plotBox, type TrajectoryLook, trajectoryFigure } from "./trajectory-figure";

export function createTrajectories(context: ViewContext<LensSession>): View & { figure(): Figure | null } {
  const { session, tip, say } = context;
  const { card } = session;
  const title = h("h3.focus-title");
  const facts = h("span.facts");
  const quantity = new Switch("quantity", tip, (name) => card.setQuantity(name as Quantity));
  const canvas = h("canvas", { tabindex: 0, role: "slider", "aria-label": "row of the trajectories" });
  const table = h("div.table-scroll", { tabindex: 0, "aria-label": "trajectories as a table", hidden: true });
  const pins = h("div.pins", { role: "group", "aria-label": "pinned tokens" });
  const input = h("input.chip-input", {
    "aria-label": "pin a token by its text",
    placeholder: "+ pin a token",
    spellcheck: "false",
    autocomplete: "off",
    maxlength: 60,
    oninput: () => setText(typed, ""),
    onkeydown(event: KeyboardEvent) {
      event.stopPropagation();
      if (event.key === "Escape") input.value = "";
      if (event.key === "Enter" && input.value) void pinTyped();
    },
  });
  tip.attach(input, () => ({
    title: "pin a token",
    lines: [session.offReason ?? `Its text, Enter; a leading space counts. At most ${MOST_PINS} tokens.`],
  }));
  const typed = h("span.note", { dir: "auto", "data-part": "typed" });
  const tableButton = actionButton(
    "table",
    tip,
    () => {
      tabled = !tabled;
      session.changed();
    },
    { class: "mi-link", name: "tracks-table", card: "The same numbers as a table." },
  );
  const retry = actionButton("Retry", tip, () => card.tracking.retry(), {
    class: "mi-link",
    name: "retry-track",
  });
  const trouble = h("span", { dir: "auto" });
  const failed = h("div.trouble", trouble, " ", retry);
  const note = h("div.note");
  const element = h(
    "section.trajectories",
    { "data-part": "trajectories" },
    h("div.focus-head", title, facts),
    canvas,
    table,
    note,
    failed,
    h("div.pins-line", pins, input, typed),
    h("div.cell-actions", quantity.element, tableButton),
  );
  const isPlace = watchFacts();
  const arePins = watchFacts();
  const drawn = memo<void>();
  const tabledAs = memo<void>();
  let tabled = false;
  let look: TrajectoryLook | null = null;

  async function pinTyped(): Promise<void> {
    const { pins: before } = card;
    const words = session.offReason ?? (await card.pinText(input.value.replaceAll("␣", " ")));
    if (card.pins !== before) input.value = "";
    setText(typed, words);
    say(words);
  }

  // --- gestures -----------------------------------------------------------------------------------------------------
  const rowAt = (at: number) => look?.tracks.rows[at];
  function nearest(event: MouseEvent): number {
    if (!look) return -1;
    const { left, right } = plotBox(look, widthOf(canvas), context.scale);
    const across = event.clientX - canvas.getBoundingClientRect().left;
    const last = look.rows.length - 1;
    return clamp(Math.round(((across - left) / Math.max(1, right - left)) * last), 0, last);
  }
  const hover = (at: number) => {
    const row = rowAt(at);
    if (row !== undefined && look) session.hoverAt({ row, position: look.tracks.position });
  };
  const pick = (at: number) => {
    const row = rowAt(at);
    if (row !== undefined && look) session.goTo({ row, position: look.tracks.position });
  };
  const step = (by: number) => {
    // Keys may come faster than frames: where they stand is asked, not what was drawn.
    look = looked();
    if (!look) return;
    const from = look.focus < 0 ? look.rows.length - 1 : look.focus;
    const at = clamp(from + by, 0, look.rows.length - 1);
    hover(at);
    say(spoken(at));
  };
  set(canvas, {
    onpointermove: (event: PointerEvent) => hover(nearest(event)),
    onpointerleave: () => session.hoverAt(null),
    onclick: (event: MouseEvent) => pick(nearest(event)),
    onblur: () => session.hoverAt(null),
  });
  const pickFocus = () => {
    look = looked();
    if (!look || look.focus < 0) return;
    pick(look.focus);
    say(`selected ${spoken(look.focus)}`);
  };
  onKeys(canvas, {
    ...arrows((rows, cols) => step(cols - Math.sign(rows) * Math.min(1, Math.abs(rows)))),
    Enter: pickFocus,
    " ": pickFocus,
    Escape: () => session.hoverAt(null),
    "?": context.toggleHelp,
  });

  const valueAt = (pin: Pin, row: number, lines = look?.tracks.lines): number => {
    const token = look?.tracks.tokens.findIndex((it) => it.id === pin.id) ?? -1;
    return token < 0 || !look
      ? Number.NaN
      : (lines?.[look.quantity][token * look.rows.length + row] ?? Number.NaN);
  };
  const text = (value: number) =>
    !Number.isFinite(value)
      ? "–"
      : look?.quantity === "rank"
        ? String(value)
        : numberText(value, look?.quantity === "logit");
  function spoken(at: number): string {
    if (!look) return "";
    const { before } = look.tracks;
    const values = card.pins.map((pin) => {
      const was = before ? `, unedited ${text(valueAt(pin, at, before))}` : "";
      return `${shortLabel(bare(pin.label), 16)} ${text(valueAt(pin, at))}${was}`;
    });
    return `${look.rows[at]}: ${values.join("; ")}`;
  }

  // --- drawing ------------------------------------------------------------------------------------------------------
  /** Each pinned token with its colour and its number at the row in focus; a click or Delete unpins. */
  function drawPins(): void {
    const row = look ? (look.focus < 0 ? look.rows.length - 1 : look.focus) : -1;
    if (arePins(card.pins, context.theme.dark)) {
      const held = [...pins.children].findIndex((it) => it.matches(":focus"));
      pins.replaceChildren(...card.pins.map(chip));
      (pins.children[Math.min(held, pins.children.length - 1)] as HTMLElement | undefined)?.focus();
    }
    for (const [at, pin] of card.pins.entries())
      setText(pins.children[at]?.querySelector("b") as HTMLElement, row < 0 ? "" : text(valueAt(pin, row)));
  }
  function chip({ id, label, role, slot }: Pin): HTMLElement {
    const dot = h("i.pin");
    dot.style.background = dot.style.borderColor = slotCss(slot, context.theme);
    const unpin = () => {
      card.togglePin(id);
      say(`${shortLabel(label, 24)} unpinned`);
    };
    const words = [shortLabel(label, 60), role].filter(Boolean).join(", ");
    const button = h(
      "button.pin-chip",
      { "data-pin": id, "aria-label": `${words}: unpin`, onclick: unpin },
      dot,
      h("span", { dir: "auto" }, shortLabel(bare(label), 12)),
      h("b"),
    );
    onKeys(button, { Delete: unpin, Backspace: unpin });
    tip.attach(button, () => ({
      title: shortLabel(label, 200),
      lines: [role ?? "", "Click or Delete unpins it."],
    }));
    return button;
  }

  function drawTable(now: TrajectoryLook): void {
    const { tracks, quantity, rows, pins } = now;
    tabledAs([tracks, quantity, pins], () => {
      const lines = pins.flatMap((pin) =>
        [tracks.lines, tracks.before].flatMap((lines, at) =>
          lines ? [{ pin, lines, name: shortLabel(pin.label, 16) + (at ? " (unedited)" : "") }] : [],
        ),
      );
      const names = lines.map((it) => it.name);
      const made = numberTable(`${quantity} of the pinned tokens`, rows, names, (row, at) => {
        const { pin, lines: of } = lines[at] as (typeof lines)[0];
        return text(valueAt(pin, row, of));
      });
      table.replaceChildren(made);
    });
  }

  function looked(): TrajectoryLook | null {
    const { lens } = session;
    const tracks = card.tracking.answer;
    if (!lens || !tracks || card.pins.length === 0) return null;
    const { theme, scale } = context;
    const rows = tracks.rows.map((row) => lens.rows[row]?.label ?? "");
    const cell = session.focusCell;
    const focus = cell?.position === tracks.position ? tracks.rows.indexOf(cell.row) : -1;
    return { tracks, quantity: card.quantity, pins: card.pins, rows, focus, theme, scale };
  }

  function update(): void {
    const { lens, pickedCell } = session;
    const { tracking } = card;
    show(element, lens !== null);
    if (!lens || !pickedCell) return;
    look = looked();
    const position = look?.tracks.position ?? pickedCell.position;
    if (isPlace(position, session.shownPrompt?.labels[position]))
      title.replaceChildren(...placeName(context, "Pinned at ", position));
    const of = lens.run === "difference" ? "of the clean run" : "";
    setText(facts, [look?.tracks.before && "dashed: unedited", of].filter(Boolean).join(" · "));
    quantity.update(
      QUANTITIES.map((name) => ({
        name,
        label: name,
        chosen: card.quantity === name,
        off: null,
        card: tip.card(`track-${name}`, name),
      })),
    );
    drawPins();
    show(canvas, look !== null && !tabled);
    show(table, look !== null && tabled);
    attribute(tableButton, "aria-pressed", tabled);
    attribute(canvas, "data-pending", tracking.running);
    const waits = card.pins.length
      ? (session.offReason ?? "on its way")
      : "No token is pinned: click one above, or type one.";
    setText(note, look || tracking.failure ? "" : waits);
    if (tracking.failure) setText(trouble, tracking.failure.message);
    show(failed, tracking.failure !== null);
    show(retry, tracking.failure?.retryable === true);
    if (!look) return;
    if (tabled) return drawTable(look);
    draw(look);
  }

  function draw(now: TrajectoryLook): void {
    const { tracks, quantity, pins, focus, theme, scale } = now;
    const width = widthOf(element) || 280;
    drawn([tracks, quantity, pins, focus, theme, scale, width, globalThis.devicePixelRatio], () => {
      drawCanvas(canvas, trajectoryFigure(now, width));
      const at = focus < 0 ? now.rows.length - 1 : focus;
      set(canvas, {
        "data-row": now.rows[focus] ?? "",
        "aria-valuemin": 0,
        "aria-valuemax": now.rows.length - 1,
        "aria-valuenow": at,
        "aria-valuetext": spoken(at),
      });
    });
  }

  const figure = () => {
    const now = looked();
    return now && trajectoryFigure({ ...now, focus: -1 }, widthOf(element) || 280);
  };
  return { element, update, figure };
}
