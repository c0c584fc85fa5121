// A patch without a drag: the same choices as fields, for screen readers and for exact numbers.

import type { BoardSession } from "../lib/board-session";
import {
  headLabel,
  headsOf,
  lengthOf,
  otherSide,
  partner,
  rowName,
  siteOfRow,
  specsFor,
} from "../lib/board-specs";
import { actionButton } from "../lib/controls";
import { attribute, h, setText, show, watchFacts } from "../lib/dom";
import { times } from "../lib/geometry";
import { stop } from "../lib/keyboard";
import { shortLabel } from "../lib/labels";
import type { Carried } from "../lib/pointer-drag";
import type { Side } from "../lib/run-session";
import type { View, ViewContext } from "./context";

export function createBoardForm(context: ViewContext<BoardSession>): View {
  const { session, tip, say } = context;
  const head = actionButton("add a patch", tip, () => toggle(), {
    class: "mi-fold",
    name: "add-form",
  });
  const field = (name: string, label: string) => {
    const select = h("select.select", {
      "data-input": name,
      onkeydown: (event: Event) => event.stopPropagation(),
      onchange: () => update(),
    });
    return { select, element: h("label.field", h("span", label), select) };
  };
  const into = field("into", "into");
  const kind = field("carry", "carry");
  const layer = field("layer", "row");
  const headOf = field("head", "head");
  const from = field("from", "from position");
  const to = field("to", "to position");
  const strength = h("input.field-number", {
    type: "number",
    min: 0,
    max: 1,
    step: 0.05,
    value: 1,
    "data-input": "strength",
    onkeydown(event: KeyboardEvent) {
      if (event.key === "Enter") add();
      else if (event.key !== "Escape") return event.stopPropagation();
      stop(event);
    },
  });
  const trouble = h("span.trouble", { role: "alert" });
  const button = actionButton("Add", tip, add, {
    name: "add-patch",
    card: () => tip.card("", "", session.offReason),
  });
  const fields = [into, kind, layer, headOf, from, to];
  const body = h(
    "div.form-fields",
    { hidden: true },
    ...fields.map((it) => it.element),
    h("label.field", h("span", "strength"), strength),
    button,
    trouble,
  );
  const element = h("div.board-form", { "data-part": "add-form" }, head, body);
  const news = watchFacts();

  function toggle(): void {
    show(body, body.hidden);
    update();
    if (!body.hidden) into.select.focus();
  }
  function fill(
    select: HTMLSelectElement,
    options: readonly (readonly [string, string, (string | null)?])[],
  ): void {
    const chosen = select.value;
    select.replaceChildren(
      ...options.map(([value, label, why]) =>
        h("option", { value, disabled: !!why, title: why ?? null }, label),
      ),
    );
    const open = options.filter(([, , why]) => !why);
    select.value = open.some(([value]) => value === chosen) ? chosen : (open[0]?.[0] ?? "");
  }

  function update(): void {
    const { board, question, offReason } = session;
    attribute(head, "aria-expanded", !body.hidden);
    attribute(button, "aria-disabled", offReason ? "true" : null);
    if (body.hidden || !board || !question) return;
    const facts = [
      board.rev,
      board.carries,
      question.prompts,
      session.stream,
      ...fields.map((it) => it.select.value),
    ];
    if (!news(...facts)) return;
    const sides: Side[] = board.grids.corrupted ? ["clean", "corrupted"] : ["clean"];
    const first = into.select.childElementCount === 0;
    fill(
      into.select,
      sides.map((it) => [it, it]),
    );
    if (first) into.select.value = board.base;
    fill(
      kind.select,
      board.carries.map(({ name, reason }) => [name, name, reason]),
    );
    const carry = board.carries.find((it) => it.name === kind.select.value);
    if (!carry) return;
    const rows = board.rows.flatMap((row, at) =>
      siteOfRow(row, carry, session.stream)
        ? [[String(at), rowName(row, board, carry.name === "residual" ? session.stream : "post")] as const]
        : [],
    );
    fill(layer.select, rows);
    const heads = carry.axis === "head";
    show(headOf.element, heads);
    if (heads)
      fill(
        headOf.select,
        times(headsOf(board, carry.site), (at) => [String(at), headLabel(board, carry.site, at)]),
      );
    const side = into.select.value as Side;
    const source = board.grids.corrupted ? otherSide(side) : side;
    const tokens = (of: Side) =>
      times(
        lengthOf(board, of),
        (at) => [String(at), `${shortLabel(question.prompts[of]?.labels[at] ?? "?", 16)} (${at})`] as const,
      );
    fill(from.select, [["", heads ? "all positions" : "the whole row"], ...tokens(source)]);
    show(to.element, from.select.value !== "");
    fill(to.select, [["", "its partner"], ...tokens(side)]);
  }

  function add(): void {
    const { board } = session;
    const carry = board?.carries.find((it) => it.name === kind.select.value);
    const row = board?.rows[Number(layer.select.value)];
    const site = row && carry && siteOfRow(row, carry, session.stream);
    const alpha = Number(strength.value);
    if (!board || !site || session.offReason) return;
    if (!(strength.value !== "" && alpha >= 0 && alpha <= 1))
      return setText(trouble, session.why("bad-strength"));
    const side = into.select.value as Side;
    const source = board.grids.corrupted ? otherSide(side) : side;
    const position = from.select.value === "" ? null : Number(from.select.value);
    const carried: Carried = {
      site: site[0],
      layer: site[1],
      head: carry.axis === "head" ? Number(headOf.select.value) : null,
      positions: position === null ? null : [position],
      source,
    };
    const partnered = position === null ? null : partner(board, position, source, side);
    const target = position === null || to.select.value === "" ? partnered : Number(to.select.value);
    const specs = specsFor(board, carried, { side, position: target !== null && target < 0 ? null : target });
    if (!specs.length) {
      return setText(trouble, session.why(source === side ? "own-place" : "no-partner"));
    }
    setText(trouble, "");
    session.add(
      specs.map((it) => ({ ...it, alpha })),
      side,
    );
    session.tellWithEffect(`patched ${site[0]} ${row.label}`);
    say("adding the patch");
  }
  return { element, update };
}
