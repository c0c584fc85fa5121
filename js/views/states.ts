// Every state that is not simply "ready", in words and with what can be done about it. Lasting states stand under the
// header; passing ones float over the picture, so that nothing jumps when they come and go.
import { focusedIn, h, setText, show } from "../lib/dom";
import { progressText, stateOf } from "../lib/state-name";
import type { View, ViewContext } from "./context";
import type { Composition } from "./widget";

interface Action {
  label: string;
  name: string;
  run: () => void;
}
interface Notice {
  name: string;
  mark?: "✕" | "⚠" | "";
  title: string;
  text: string;
  details?: string;
  actions?: (Action | false | null)[];
}

export function createStates(
  context: ViewContext,
  { example }: Composition,
): View & { floating: HTMLElement; empty: HTMLElement } {
  const { session } = context;
  const element = h("div.notices#notice");
  const floating = h("div.floating#work");
  let detailsOpen = false;
  let drawn = "";
  let drawnWork = "";
  const hiddenWarnings = new Set<string>();
  const action = (label: string, run: () => void): Action => ({ label, name: label.toLowerCase(), run });
  const changing = (label: string, change: () => void) =>
    action(label, () => {
      change();
      session.changed();
    });

  function lasting(): Notice[] {
    const notices: Notice[] = [];
    const { channel, line, shown, status, trouble: asked, pictureTrouble } = session;
    const { connection } = channel;
    if (line) {
      const [title = "", , pictured = "", blank = pictured] = line;
      const mark = connection === "reload" ? "⚠" : "";
      notices.push({ name: connection, mark, title, text: shown ? pictured : blank });
    }
    const failed = status?.state === "failed" ? status.error : null;
    const again = failed?.retryable || failed?.error === "Cancelled" ? () => session.rerun() : null;
    const trouble =
      asked ?? (failed && { title: session.failedWords ?? "This run failed", failure: failed, retry: again });
    if (trouble && channel.usable) {
      const { title, failure, retry } = trouble;
      const retrying = retry && action("Retry", retry);
      if (failure.error === "Cancelled") {
        const text = shown ? session.leftWords : "Nothing was drawn yet.";
        notices.push({ name: "cancelled", title: "Cancelled", text, actions: [!session.goesOn && retrying] });
      } else {
        const details = failure.error;
        const open = () => {
          detailsOpen = !detailsOpen;
        };
        const actions = [
          retrying,
          details !== "" && changing("Details", open),
          asked && action("Dismiss", () => session.dismissTrouble()),
        ];
        const text = [failure.message, failure.hint].filter(Boolean).join(" ");
        notices.push({ name: "failed", mark: "✕", title, text, details, actions });
      }
    }
    if (pictureTrouble)
      notices.push({ name: "failed", mark: "✕", title: "The picture did not arrive", text: pictureTrouble });
    for (const text of session.question?.warnings ?? []) {
      if (hiddenWarnings.has(text)) continue;
      const hide = changing("Hide", () => hiddenWarnings.add(text));
      notices.push({ name: "warning", mark: "⚠", title: "", text, actions: [hide] });
    }
    return notices;
  }

  function passing(): Notice | null {
    const { work, channel, shown } = session;
    const actions = [work && action("Cancel", work.cancel)];
    if (channel.usable && channel.waiting && (work || !shown)) {
      return { name: "waiting", title: "Waiting for the kernel", text: session.why("waiting"), actions };
    }
    if (!work || !session.busyLong) return null;
    const unit = work.progress?.total === session.question?.model?.n_layers ? "layers" : "steps";
    return { name: "running", title: "Running", text: progressText(work.progress, unit), actions };
  }

  function card({ name, mark, title, text, details, actions = [] }: Notice): HTMLElement {
    const sign = mark && h(mark === "✕" ? "span.bad" : "span.warn", { "aria-hidden": true }, `${mark} `);
    const buttons = actions.flatMap((it) => {
      if (!it) return [];
      const open = it.name === "details" ? detailsOpen : null;
      const props = { "data-action": it.name, "aria-expanded": open, onclick: it.run };
      return [h("button.button", props, it.label)];
    });
    return h(
      "div.card",
      { "data-notice": name, role: name === "failed" ? "alert" : "group" },
      h(
        "div.card-words",
        title && h("div.card-title", sign, title),
        h("div.card-text", { dir: "auto" }, !title && sign, text),
        detailsOpen && details && h("div.details", { dir: "auto" }, details),
      ),
      buttons.length > 0 && h("div.card-actions", ...buttons),
    );
  }
  const tell = ({ title, text }: Notice) => context.say(`${title}. ${text}`);
  const empty = h(
    "div.empty#empty",
    { hidden: true },
    card({
      name: "empty",
      title: "Nothing to show yet",
      text: `Give the widget a model and a prompt: ${example}.`,
    }),
  );

  function update(): void {
    const notices = lasting();
    const facts = JSON.stringify(notices) + detailsOpen;
    if (facts !== drawn) {
      drawn = facts;
      const held = focusedIn(element)?.dataset.action;
      element.replaceChildren(...notices.map(card));
      if (held) element.querySelector<HTMLElement>(`[data-action="${held}"]`)?.focus();
      const first = notices[0];
      if (first?.title) tell(first);
    }
    const work = passing();
    const workFacts = work ? work.name + !!work.actions?.[0] : "";
    if (workFacts !== drawnWork) {
      drawnWork = workFacts;
      floating.replaceChildren(...(work ? [card(work)] : []));
      if (work) tell(work);
    } else if (work) setText(floating.querySelector(".mi-card-text") as Element, work.text);
    show(empty, stateOf(session) === "empty");
  }
  return { element, update, floating, empty };
}
