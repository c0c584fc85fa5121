// Answer and distractor: chips that are edited where they stand. Spaces count in them, so they are typed and shown as ␣.
import { actionButton } from "../lib/controls";
import { attribute, h, setText, show } from "../lib/dom";
import { shortLabel } from "../lib/labels";
import type { Answer } from "../lib/protocol";
import type { View, ViewContext } from "./context";

const WORDS = {
  answer:
    "The token whose logit counts for. Click to change; a space is typed as a space and shown as ␣. Empty asks for a guess.",
  distractor: "The token whose logit counts against. Click to change. Empty asks for a guess.",
};

function createChip(context: ViewContext, which: "answer" | "distractor"): View {
  const { session, tip } = context;
  const label = h("span", { dir: "auto" });
  const guessed = h("i", "guessed");
  const card = () => {
    const value = session.question?.[which];
    const whole = value ? value.labels.join(" / ") : "none";
    const lines = [whole.length > 24 ? shortLabel(whole, 300) : "", session.offReason ?? WORDS[which]];
    return { title: which, lines };
  };
  const chip = actionButton("", tip, () => edit(), { class: "mi-chip mi-chip-button", name: which, card });
  chip.append(label, guessed);
  const input = h("input.chip-input", {
    "aria-label": which,
    "data-input": which,
    spellcheck: "false",
    autocomplete: "off",
    hidden: true,
  });
  const element = h("span.chip-holder", chip, input);

  function edit(): void {
    const texts = session.question?.[which]?.texts ?? [];
    input.value = (texts[0] ?? "").replaceAll(" ", "␣");
    show(chip, false);
    show(input, true);
    input.focus();
    input.select();
  }
  function close(refocus: boolean): void {
    if (input.hidden) return;
    show(input, false);
    show(chip, true);
    if (refocus) chip.focus();
  }
  input.addEventListener("input", () => {
    const caret = input.selectionStart;
    input.value = input.value.replaceAll(" ", "␣");
    input.setSelectionRange(caret, caret);
  });
  input.addEventListener("keydown", (event) => {
    event.stopPropagation();
    if (event.key === "Escape") close(true);
    else if (event.key === "Enter") {
      const text = input.value.replaceAll("␣", " ");
      close(true);
      if (text !== session.question?.[which]?.texts[0])
        void session.setQuestion({ [which]: text === "" ? null : text });
    } else return;
    event.preventDefault();
  });
  input.addEventListener("blur", () => close(false));

  return {
    element,
    update() {
      const value: Answer | null = session.question?.[which] ?? null;
      setText(label, value ? value.labels.map((it) => shortLabel(it, 16)).join(" / ") : "none");
      show(guessed, value?.guessed === true);
      attribute(chip, "data-none", value === null);
      attribute(chip, "aria-disabled", session.offReason || !session.question?.model ? "true" : null);
      attribute(
        chip,
        "aria-label",
        `${which}: ${label.textContent ?? ""}${value?.guessed ? " (guessed)" : ""}`,
      );
    },
  };
}

/** "answer [␣Mary] ⇄ not [␣John]" */
export function createChips(context: ViewContext): View {
  const { session } = context;
  const answer = createChip(context, "answer");
  const distractor = createChip(context, "distractor");
  const swapReason = () => {
    const question = session.question;
    if (session.offReason) return session.offReason;
    return question?.answer && question.distractor ? null : "There is no distractor to swap with.";
  };
  const swap = actionButton(
    "⇄",
    context.tip,
    () => {
      const { answer: right, distractor: wrong } = session.question ?? {};
      if (right && wrong)
        void session.setQuestion({ answer: wrong.texts[0] ?? null, distractor: right.texts[0] ?? null });
    },
    {
      class: "mi-icon",
      name: "swap",
      card: () => ({ lines: [swapReason() ?? "Swap answer and distractor: the metric changes its sign."] }),
    },
  );
  attribute(swap, "aria-label", "swap answer and distractor");
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
      attribute(swap, "aria-disabled", swapReason() ? "true" : null);
    },
  };
}
