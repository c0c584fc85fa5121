// The workbench: the views of one experiment under one question, in tabs or two side by side.
import { actionButton, Switch } from "../lib/controls";
import { attribute, h, onEnd, setText, show } from "../lib/dom";
import { type BenchView, type Sessions, VIEWS, type WorkbenchSession } from "../lib/workbench-session";
import { board } from "./board";
import type { ViewContext } from "./context";
import { renderWidget } from "./frame";
import { heads } from "./heads";
import { lens } from "./lens";
import { sweep } from "./sweep";
import type { Composition, Kind } from "./widget";

const TITLES: Readonly<Record<BenchView, string>> = {
  heads: heads.title,
  lens: lens.title,
  board: board.title,
  sweep: sweep.title,
};

/** How the session of a view is drawn, where it is there; gives what that has to export. */
function drawing<Name extends BenchView>(name: Name, kind: Kind<Sessions[Name]>) {
  return (bench: WorkbenchSession, el: HTMLElement, signal: AbortSignal) => {
    const session = bench.session(name);
    return session ? renderWidget(kind, session, el, signal) : () => [];
  };
}
const DRAW = {
  heads: drawing("heads", heads),
  lens: drawing("lens", lens),
  board: drawing("board", board),
  sweep: drawing("sweep", sweep),
};

/** A view inside, drawn once, when its model is there; the panes show it and put it away. */
function createInside(context: ViewContext<WorkbenchSession>, name: BenchView) {
  const { session, root } = context;
  const note = h("div.note");
  const element = h("div.inside", { "data-view": name, role: "tabpanel", "aria-label": TITLES[name] }, note);
  let drawn: ReturnType<WorkbenchSession["session"]> = null;
  let life: AbortController | null = null;
  let figures: Composition["figures"] = () => [];

  function draw(): void {
    const found = session.session(name);
    const trouble = session.troubles.get(name);
    setText(note, found ? "" : (trouble ?? "on its way"));
    if (!found || found === drawn) return;
    life?.abort();
    life = new AbortController();
    drawn = found;
    figures = DRAW[name](session, element, life.signal);
  }
  onEnd(context.signal, () => life?.abort());
  return {
    element,
    figures: () => figures(),
    /** In which pane it stands; below 0 in none. */
    update(pane: number) {
      const shown = pane >= 0;
      show(element, shown);
      attribute(element, "data-pane", pane);
      if (shown) draw();
      // Each view has a switch of its own for large type, which is out of sight here.
      const large = element.querySelector<HTMLElement>("[data-action=projector]");
      const wanted = root.hasAttribute("data-projector");
      if (large && (large.getAttribute("aria-pressed") === "true") !== wanted) large.click();
    },
  };
}

export const workbench: Kind<WorkbenchSession> = {
  name: "workbench",
  title: "Workbench",
  compose(context: ViewContext<WorkbenchSession>): Composition {
    const { session, tip, say, root } = context;
    const { keys = "", reading = "" } = session.words;
    const put = (name: BenchView, pane: number) => {
      const off = session.viewReason(name);
      if (off) return say(off);
      session.put(name, pane);
      say(`${TITLES[name]}${pane ? " in the second pane" : ""}`);
    };
    const panes = [0, 1].map(
      (pane) => new Switch(pane ? "second view" : "view", tip, (name) => put(name as BenchView, pane)),
    );
    const beside = actionButton("▯▯", tip, () => session.toggleBeside(), {
      class: "mi-button mi-square",
      name: "beside",
      says: "two views side by side",
    });
    const full = actionButton("⤢", tip, () => fullScreen(), {
      class: "mi-button mi-square",
      name: "full-screen",
      says: "full screen",
    });
    const tabs = h("div.group.bench-tabs", ...panes.map((it) => it.element), h("span.group", beside, full));
    const inside = VIEWS.map((name) => createInside(context, name));
    const element = h("div.bench-panes", ...inside.map((it) => it.element));

    function fullScreen(): void {
      const page = root.ownerDocument;
      if (page.fullscreenElement) void page.exitFullscreen();
      else void root.requestFullscreen?.().catch(() => say("this page may not fill the screen"));
    }
    // Figures and commas of the keys are those of the keyboard's own row, whatever shift makes of them.
    const onKey = (event: KeyboardEvent) => {
      const { target } = event;
      const typed = target instanceof Element && target.closest("input, textarea, select");
      const at = ["Digit1", "Digit2", "Digit3", "Digit4"].indexOf(event.code);
      if (typed || event.ctrlKey || event.metaKey || event.altKey) return;
      const name = VIEWS[at];
      if (name && (!event.shiftKey || session.panes.length > 1)) {
        const pane = event.shiftKey ? 1 : 0;
        put(name, pane);
        update();
        // The view that had the keyboard may be out of sight now.
        if (!(target as HTMLElement).offsetParent)
          panes[pane]?.element.querySelector<HTMLElement>("[aria-checked=true]")?.focus();
      } else if (event.key.toLowerCase() === "f") fullScreen();
      else return;
      event.preventDefault();
      event.stopPropagation();
    };
    root.addEventListener("keydown", onKey, { capture: true, signal: context.signal });

    function update(): void {
      for (const [pane, control] of panes.entries()) {
        const shown = session.panes[pane];
        show(control.element, shown !== undefined);
        control.update(
          VIEWS.map((name) => {
            const off = shown === name ? null : session.viewReason(name);
            const card = tip.card(name, TITLES[name]);
            return { name, label: TITLES[name], chosen: shown === name, off, card };
          }),
        );
      }
      attribute(beside, "aria-pressed", session.panes.length > 1);
      attribute(element, "data-two", session.panes.length > 1);
      for (const [at, view] of inside.entries()) {
        view.update(session.panes.indexOf(VIEWS[at] as BenchView));
      }
    }
    return {
      main: { element: tabs, update() {} },
      runs: () => (session.question?.prompts.corrupted ? ["clean", "corrupted"] : []),
      parts: [element],
      views: [{ element, update }],
      figures: () => [],
      rows: () => session.panes.map((name) => inside[VIEWS.indexOf(name)]?.figures() ?? []),
      compared: [],
      step() {},
      leave() {},
      marks: () => ({
        "data-panes": session.panes.join(" "),
        "data-opened": VIEWS.filter((name) => session.session(name) !== null).join(" "),
      }),
      hint: () => "1 2 3 4 choose a view · F full screen · ? lists keys",
      help: {
        title: "Views and keys",
        keys: keys.split("\n").map((line) => line.split("\t") as [string, string]),
        reading,
        terms: () => VIEWS.map((name) => [TITLES[name], session.why(name)]),
      },
      example: 'mi.Workbench(model, "When Mary and John went")',
    };
  },
};
