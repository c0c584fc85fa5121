// Every state that is not simply "ready", in words and with what can be done about it. Lasting states stand under the
// header; passing ones float over the picture, so that nothing jumps when they come and go.
import { h } from "../lib/dom";
import { progressText, stateOf } from "../lib/state-name";
import type { View, ViewContext } from "./context";

interface Action {
  label: string;
  name: string;
  run: () => void;
}
interface Notice {
  name: string;
  mark?: "✕" | "⚠";
  title: string;
  text: string;
  details?: string;
  actions?: Action[];
}

export function createStates(context: ViewContext): View & { floating: HTMLElement; empty: HTMLElement } {
  const { session } = context;
  const element = h("div.notices", { "data-part": "notice" });
  const floating = h("div.floating", { "data-part": "work" });
  const empty = h("div.empty", { "data-part": "empty", hidden: true });
  let detailsOpen = false;
  let drawn = "";
  let drawnWork = "";
  const hiddenWarnings = new Set<string>();

  function lasting(): Notice[] {
    const notices: Notice[] = [];
    const { connection } = session.channel;
    if (connection === "reload") {
      notices.push({
        name: "reload",
        mark: "⚠",
        title: "Reload the page",
        text: "The kernel speaks a newer protocol than this page. Reload the page to go on.",
      });
    }
    if (connection === "restarted") {
      const text = session.shown
        ? "The picture is from before. Run the cell again to go on."
        : "Run the cell again to go on.";
      notices.push({ name: "restarted", title: "The kernel was restarted", text });
    }
    if (connection === "offline") {
      const text = session.shown
        ? "Everything drawn can still be explored. Rerunning needs a kernel."
        : "Nothing was saved to draw. Run the cell to see the heads.";
      notices.push({ name: "offline", title: "Opened without a kernel", text });
    }
    const failed = session.status?.state === "failed" ? session.status.error : null;
    const again = failed?.retryable || failed?.error === "Cancelled" ? () => session.rerun() : null;
    const trouble =
      session.trouble ?? (failed && { title: "This run failed", failure: failed, retry: again });
    if (trouble && session.channel.usable) {
      const { failure, retry } = trouble;
      const details = failure.error;
      const actions: Action[] = [];
      if (retry) actions.push({ label: "Retry", name: "retry", run: retry });
      if (details)
        actions.push({
          label: "Details",
          name: "details",
          run: () => {
            detailsOpen = !detailsOpen;
            session.changed();
          },
        });
      if (session.trouble)
        actions.push({ label: "Dismiss", name: "dismiss", run: () => session.dismissTrouble() });
      if (failure.error === "Cancelled") {
        const text = session.shown ? "The picture is from before." : "Nothing was drawn yet.";
        notices.push({
          name: "cancelled",
          title: "Cancelled",
          text,
          actions: actions.slice(0, retry ? 1 : 0),
        });
      } else {
        notices.push({
          name: "failed",
          mark: "✕",
          title: trouble.title,
          text: [failure.message, failure.hint].filter(Boolean).join(" "),
          details,
          actions,
        });
      }
    }
    if (session.atlasTrouble)
      notices.push({
        name: "failed",
        mark: "✕",
        title: "The picture did not arrive",
        text: session.atlasTrouble,
      });
    for (const warning of session.question?.warnings ?? []) {
      if (hiddenWarnings.has(warning)) continue;
      const hide = {
        label: "Hide",
        name: "hide",
        run: () => {
          hiddenWarnings.add(warning);
          session.changed();
        },
      };
      notices.push({ name: "warning", mark: "⚠", title: "", text: warning, actions: [hide] });
    }
    return notices;
  }

  function passing(): Notice | null {
    const work = session.work;
    const cancel = { label: "Cancel", name: "cancel", run: () => work?.cancel() };
    if (session.channel.usable && session.channel.waiting && (work || !session.shown)) {
      const text = "Another cell is running. This starts when the kernel is free.";
      return {
        name: "waiting",
        title: "Waiting for the kernel",
        text,
        ...(work ? { actions: [cancel] } : {}),
      };
    }
    if (!work || !session.busyLong) return null;
    const layers = session.question?.model?.n_layers;
    const unit = work.progress?.total === layers ? "layers" : "steps";
    return { name: "running", title: "Running", text: progressText(work.progress, unit), actions: [cancel] };
  }

  function nothing(): Notice | null {
    const state = stateOf(session);
    if (state === "empty")
      return {
        name: "empty",
        title: "Nothing to show yet",
        text: 'Give the widget a model and a prompt: mi.AttentionHeads(model, "When Mary and John went").',
      };
    return null;
  }

  function card(notice: Notice): HTMLElement {
    const mark = notice.mark
      ? h(
          "span",
          { class: notice.mark === "✕" ? "mi-bad" : "mi-warn", "aria-hidden": "true" },
          `${notice.mark} `,
        )
      : null;
    const actions = (notice.actions ?? []).map((action) => {
      const button = h("button.button", { "data-action": action.name, onclick: action.run }, action.label);
      if (action.name === "details") button.setAttribute("aria-expanded", String(detailsOpen));
      return button;
    });
    const details = notice.details && detailsOpen ? h("div.details", { dir: "auto" }, notice.details) : null;
    const words = notice.title
      ? [h("div.card-title", mark, notice.title), h("div.card-text", { dir: "auto" }, notice.text)]
      : [h("div.card-text", { dir: "auto" }, mark, notice.text)];
    const row = actions.length ? h("div.card-actions", ...actions) : null;
    return h(
      "div.card",
      { "data-notice": notice.name, role: notice.name === "failed" ? "alert" : "group" },
      h("div.card-words", ...words, details),
      row,
    );
  }

  function update(): void {
    const notices = lasting();
    const facts = JSON.stringify(notices) + detailsOpen;
    if (facts !== drawn) {
      drawn = facts;
      const focused = (document.activeElement as HTMLElement | null)?.dataset.action;
      const held = focused && element.contains(document.activeElement);
      element.replaceChildren(...notices.map(card));
      if (held) element.querySelector<HTMLElement>(`[data-action="${focused}"]`)?.focus();
      const first = notices[0];
      if (first && first.name !== "warning") context.say(`${first.title}. ${first.text}`);
    }
    const work = passing();
    const workFacts = work ? `${work.name}${work.actions?.length ?? 0}` : "";
    if (workFacts !== drawnWork) {
      drawnWork = workFacts;
      floating.replaceChildren(...(work ? [card(work)] : []));
      if (work) context.say(`${work.title}. ${work.text}`);
    } else if (work) {
      const text = floating.querySelector(".mi-card-text");
      if (text && text.textContent !== work.text) text.textContent = work.text;
    }
    const nobody = nothing();
    empty.hidden = nobody === null;
    if (nobody && !empty.hasChildNodes()) empty.append(card(nobody));
  }
  return { element, update, floating, empty };
}
