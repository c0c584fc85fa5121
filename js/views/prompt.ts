// The prompt, editable where it stands: the pencil opens it, Enter runs it, Escape brings back what was run.
import { actionButton } from "../lib/controls";
import { attribute, disable, focusedIn, h, set, setText, show } from "../lib/dom";
import { shorten } from "../lib/labels";
import type { Side } from "../lib/run-session";
import type { View, ViewContext } from "./context";

/** Of one side, or of the run in view. */
export function createPrompt(context: ViewContext, side?: Side): View {
  const { session, tip } = context;
  const tag = h("span.prompt-tag");
  const text = h("bdi");
  const words = h("span.prompt-words", tag, text);
  const off = () => {
    const { question, offReason } = session;
    if (question?.mean?.shown) return session.why("of-mean");
    return offReason ?? (question?.model ? null : "Nothing was asked yet.");
  };
  const card = () => {
    const whole = session.question?.prompts[which()]?.text ?? "";
    const { lines = [] } = tip.card("prompt", "", off()) ?? {};
    return { title: "prompt", lines: whole.length > 90 ? [shorten(whole, 600), ...lines] : lines };
  };
  const button = actionButton("", tip, () => edit(), { class: "mi-prompt", name: "prompt", card });
  button.append(words, h("span.pencil", { "aria-hidden": "true" }, " ✎"));
  const area = h("textarea.prompt-area", {
    rows: 1,
    spellcheck: "false",
    "aria-label": "prompt",
    "data-input": "prompt",
    hidden: true,
    oninput() {
      if (editing) session.setDraft(editing, area.value);
      growArea();
    },
    onkeydown(event: KeyboardEvent) {
      event.stopPropagation();
      if (event.key === "Enter" && !event.shiftKey && !event.isComposing) void run();
      else if (event.key === "Escape") restore();
      else return;
      event.preventDefault();
    },
    onblur() {
      // What was typed stays, marked as changed; an untouched text closes. A host that takes the view to another place
      // takes the keyboard away for a frame.
      requestAnimationFrame(() =>
        requestAnimationFrame(() => {
          if (!area.isConnected || area.matches(":focus")) return;
          if (editing && session.draft[editing] === undefined && !session.asking) close(false);
        }),
      );
    },
  });
  const state = h("span.prompt-state");
  const element = h("div.prompt-holder", button, area, state);
  let editing: Side | null = null;

  const which = () => editing ?? side ?? session.promptOf(session.run);

  function growArea(): void {
    area.style.height = "auto";
    area.style.height = `${Math.min(120, area.scrollHeight + 2)}px`;
  }
  function edit(): void {
    editing = which();
    area.value = session.draft[editing] ?? session.question?.prompts[editing]?.text ?? "";
    session.changed();
    update();
    area.focus();
    area.setSelectionRange(area.value.length, area.value.length);
    growArea();
  }
  function close(refocus: boolean): void {
    editing = null;
    update();
    if (refocus) button.focus();
  }
  function restore(): void {
    if (editing) session.setDraft(editing, null);
    session.dismissTrouble();
    close(true);
  }
  async function run(): Promise<void> {
    const side = editing;
    if (!side) return;
    const wanted = area.value;
    if (wanted === session.question?.prompts[side]?.text) return restore();
    if (off()) return;
    const reply = await session.setQuestion({ which: side, text: wanted });
    if (reply.kind !== "done" || editing !== side || area.value !== wanted) return;
    session.setDraft(side, null);
    close(focusedIn(element) !== null);
  }
  function update(): void {
    const side = which();
    const prompts = session.question?.prompts;
    const draft = session.draft[side];
    const both = !!prompts?.corrupted;
    // Another view of this widget may have edited, run or restored the text.
    if (editing && draft !== undefined && area.value !== draft) area.value = draft;
    set(tag, { hidden: !both, text: side, "data-side": side });
    const whole = draft ?? prompts?.[side]?.text ?? "";
    setText(text, prompts && whole === "" ? "(empty prompt)" : shorten(whole, 4000));
    attribute(words, "data-empty", whole === "");
    show(button, !editing);
    show(area, !!editing);
    disable(button, off());
    attribute(button, "aria-label", `edit the ${both ? `${side} ` : ""}prompt: ${shorten(whole, 200)}`);
    const changed = session.drafted ? session.why("drafted") : "";
    setText(state, session.asking ? "running…" : changed);
    show(state, state.textContent !== "");
  }
  return { element, update };
}
