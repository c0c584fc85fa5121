// Answer and distractor: chips that are edited where they stand. Spaces count in them, so they are typed and shown as ␣.
import { actionButton } from "../lib/controls";
import { disable, h, set, setText, show } from "../lib/dom";
import { shortLabel } from "../lib/labels";
import type { Answer } from "../lib/protocol";
import type { View, ViewContext } from "./context";

function createChip(context: ViewContext, which: "answer" | "distractor"): View {
  const { session, tip } = context;
  const label = h("span", { dir: "auto" });
  const guessed = h("i", "guessed");
  const card = () => {
    const value = session.question?.[which];
    const whole = value ? value.labels.join(" / ") : "none";
    const { lines = [] } = tip.card(which, "", session.offReason) ?? {};
    return { title: which, lines: whole.length > 24 ? [shortLabel(whole, 300), ...lines] : lines };
  };
  const chip = actionButton("", tip, () => edit(), { class: "mi-chip mi-chip-button", name: which, card });
  chip.append(label, guessed);
  const input = h("input.chip-input", {
    "aria-label": which,
    "data-input": which,
    spellcheck: "false",
    autocomplete: "off",
    hidden: true,
    oninput() {
      const caret = input.selectionStart;
      input.value = input.value.replaceAll(" ", "␣");
      input.setSelectionRange(caret, caret);
    },
    onkeydown(event: KeyboardEvent) {
      event.stopPropagation();
      if (event.key !== "Escape" && event.key !== "Enter") return;
      event.preventDefault();
      close(true);
      const text = input.value.replaceAll("␣", " ");
      if (event.key === "Enter" && text !== session.question?.[which]?.texts[0])
        void session.setQuestion({ [which]: text || null });
    },
    onblur: () => close(false),
  });
  const element = h("span.chip-holder", chip, input);

  function swap(editing: boolean): void {
    show(chip, !editing);
    show(input, editing);
  }
  function edit(): void {
    const texts = session.question?.[which]?.texts ?? [];
    input.value = (texts[0] ?? "").replaceAll(" ", "␣");
    swap(true);
    input.focus();
    input.select();
  }
  function close(refocus: boolean): void {
    if (input.hidden) return;
    swap(false);
    if (refocus) chip.focus();
  }

  return {
    element,
    update() {
      const value: Answer | null = session.question?.[which] ?? null;
      setText(label, value ? value.labels.map((it) => shortLabel(it, 16)).join(" / ") : "none");
      show(guessed, value?.guessed === true);
      const sure = value?.guessed ? " (guessed)" : "";
      set(chip, { "data-none": value === null, "aria-label": `${which}: ${label.textContent}${sure}` });
      disable(chip, session.offReason || !session.question?.model);
    },
  };
}

/** "answer [␣Mary] ⇄ not [␣John]" */
export function createChips(context: ViewContext): View {
  const { session } = context;
  const answer = createChip(context, "answer");
  const distractor = createChip(context, "distractor");
  const swapReason = () => {
    const { answer, distractor } = session.question ?? {};
    return session.offReason ?? (answer && distractor ? null : session.why("no-distractor"));
  };
  const swapTexts = () => {
    const { answer: right, distractor: wrong } = session.question ?? {};
    if (right && wrong)
      void session.setQuestion({ answer: wrong.texts[0] ?? null, distractor: right.texts[0] ?? null });
  };
  const swap = actionButton("⇄", context.tip, swapTexts, {
    class: "mi-icon",
    name: "swap",
    says: "swap answer and distractor",
    card: () => context.tip.card("swap", "", swapReason()),
  });
  const element = h(
    "span.group",
    h("span.word", "answer"),
    answer.element,
    swap,
    h("span.word", "not"),
    distractor.element,
  );
  return {
    element,
    update() {
      answer.update();
      distractor.update();
      disable(swap, swapReason());
    },
  };
}
