// The footer: how what is shown came to be, and what is selected and can be done next.
import { h, setText } from "../lib/dom";
import { headName } from "../lib/heads";
import type { View, ViewContext } from "./context";

export function bytesText(bytes: number): string {
  if (bytes < 1000) return `${bytes} B`;
  return bytes < 1e6 ? `${(bytes / 1000).toFixed(1)} kB` : `${(bytes / 1e6).toFixed(1)} MB`;
}

export function createFooter(context: ViewContext): View {
  const { session } = context;
  const left = h("span", { "data-part": "provenance" });
  const right = h("span.hint");
  const element = h("footer.footer", { "data-part": "footer" }, left, right);

  function provenance(): string {
    const atlas = session.atlas;
    if (!atlas) return "";
    const facts = atlas.provenance;
    return [
      facts.forward_ms != null &&
        `forward ${facts.forward_ms < 100 ? facts.forward_ms.toFixed(1) : Math.round(facts.forward_ms)} ms`,
      facts.patterns !== undefined && `${facts.patterns} patterns`,
      facts.bytes !== undefined && bytesText(facts.bytes),
      facts.kernel,
      session.question?.base && session.run === "edited" && `base ${session.question.base}`,
      preview(),
    ]
      .filter(Boolean)
      .join(" · ");
  }
  /** How the effect beside it was computed. */
  function preview(): string {
    const { what, effect } = session.intervention;
    const facts = what && effect.answer?.provenance;
    if (!facts || typeof facts.forward_ms !== "number") return "";
    return ["effect", `${facts.forward_ms.toFixed(1)} ms`, facts.recomputed].filter(Boolean).join(" ");
  }
  /** What the model lacks is told on the "?" card; here only that there is something. */
  function lacking(): string {
    const missing = Object.keys(session.question?.model?.missing ?? {});
    const sites = new Set(missing.flatMap((what) => what.split(" in layer")[0]?.split(", ") ?? []));
    return sites.size > 0 ? `${sites.size} ${sites.size > 1 ? "sites" : "site"} not offered: see ?` : "";
  }
  function update(): void {
    setText(left, [provenance(), lacking()].filter(Boolean).join(" · "));
    const names = session.locked.map(headName);
    const what =
      names.length === 0
        ? "click locks a head"
        : `${names.length > 3 ? `${names.length} heads` : names.join(" ")} selected`;
    setText(right, session.shown ? `${what} · shift-click adds · A ablates · C compares · ? lists keys` : "");
  }
  return { element, update };
}
