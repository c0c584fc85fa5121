// The footer: how what is shown came to be, and what is selected and can be done next.
import { h, setText } from "../lib/dom";
import { dotted } from "../lib/labels";
import type { View, ViewContext } from "./context";
import type { Composition } from "./widget";

export function bytesText(bytes: number): string {
  if (bytes < 1000) return `${bytes} B`;
  return bytes < 1e6 ? `${(bytes / 1000).toFixed(1)} kB` : `${(bytes / 1e6).toFixed(1)} MB`;
}

const msText = (ms: number) => `${ms < 100 ? ms.toFixed(1) : Math.round(ms)} ms`;

export function createFooter(context: ViewContext, widget: Composition): View {
  const { session } = context;
  const left = h("span#provenance");
  const right = h("span.hint");
  const element = h("footer.footer#footer", left, right);

  function provenance() {
    const { picture, question, run } = session;
    if (!picture) return [];
    const { forward_ms, lens_ms, kernel, notes = [] } = picture.provenance;
    return [
      forward_ms != null && `forward ${msText(forward_ms)}`,
      lens_ms != null && `lens ${msText(lens_ms)}`,
      kernel,
      question?.base && session.ofEdits(run) && `base ${question.base}`,
      ...notes,
      ...(widget.provenance?.() ?? []),
    ];
  }
  /** What the model lacks is told on the "?" card; here only that there is something. */
  function lacking(): string {
    const missing = Object.keys(session.question?.model?.missing ?? {});
    const sites = new Set(missing.flatMap((what) => what.split(" in layer")[0]?.split(", ") ?? []));
    return sites.size > 0 ? `${sites.size} ${sites.size > 1 ? "sites" : "site"} not offered: see ?` : "";
  }
  function update(): void {
    setText(left, dotted([...provenance(), lacking()]));
    setText(right, session.shown ? widget.hint() : "");
  }
  return { element, update };
}
