// What the board has in the first header line: what a drag carries, undo and redo, and the experiment as code.
import type { BoardSession } from "../lib/board-session";
import type { Stream } from "../lib/board-specs";
import { actionButton, Switch } from "../lib/controls";
import { disable, h, setText, show } from "../lib/dom";
import type { View, ViewContext } from "./context";
import { createSteps } from "./patch-chips";

const SHORT: Readonly<Record<string, string>> = { mlp: "MLP", z: "head z" };

export function createBoardSwitches(context: ViewContext<BoardSession>): View {
  const { session, tip } = context;
  const carry = new Switch("carry", tip, (name) => session.setCarry(name));
  const stream = new Switch("stream", tip, (name) => session.setStream(name as Stream));
  const steps = createSteps(context, "mi-button mi-square");
  const python = actionButton("Copy as Python", tip, () => code.open(), {
    name: "python",
    card: () => tip.card("code", "", session.offReason),
  });
  const code = createCode(context);
  const element = h(
    "div.group.scores.carry",
    h("span.word", "carry"),
    carry.element,
    stream.element,
    h("span.group.board-acts", ...steps.map((it) => it.element), python),
    code.element,
  );
  return {
    element,
    update() {
      const { board, offReason } = session;
      show(element, board !== null);
      if (!board) return;
      carry.update(
        board.carries.map(({ name, reason }) => {
          return { name, label: SHORT[name] ?? name, chosen: session.carry === name, off: reason };
        }),
      );
      show(stream.element, session.carry === "residual");
      stream.update(
        (["post", "pre"] as const).map((name) => ({
          name,
          label: name,
          chosen: session.stream === name,
          off: null,
        })),
      );
      for (const it of steps) it.update();
      disable(python, offReason);
    },
  };
}

/** The code, copied and shown: a page may not be let at the clipboard. */
function createCode({ session, say, tip }: ViewContext<BoardSession>) {
  const area = h("textarea.code-text", {
    readonly: true,
    rows: 16,
    spellcheck: "false",
    "aria-label": "the experiment as Python",
    onkeydown(event: KeyboardEvent) {
      event.stopPropagation();
      if (event.key === "Escape") close();
    },
  });
  const note = h("span.note");
  const close = () => {
    show(element, false);
  };
  const element = h(
    "div.code#code",
    { hidden: true, role: "dialog", "aria-label": "the experiment as Python" },
    h(
      "div.side-head",
      note,
      actionButton("Copy", tip, () => void copy(), { name: "copy-code" }),
      actionButton("Close", tip, close, { name: "close-code" }),
    ),
    area,
  );
  async function copy(): Promise<void> {
    try {
      await navigator.clipboard.writeText(area.value);
      setText(note, session.why("copied"));
    } catch {
      setText(note, session.why("no-clipboard"));
      area.select();
    }
    say(note.textContent ?? "");
  }
  return {
    element,
    open() {
      const pending = session.ask("code.python", () => ({}), {
        slot: "code",
      });
      void pending.reply.then((reply) => {
        if (reply.kind !== "done") return;
        area.value = (reply.data as { text: string }).text;
        show(element, true);
        area.focus();
        void copy();
      });
    },
  };
}
