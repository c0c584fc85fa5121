// The attention-heads widget: its parts, in the frame that all widgets share.

import { h } from "../lib/dom";
import { headKey, headName } from "../lib/heads";
import type { HeadsSession } from "../lib/heads-session";
import type { ViewContext } from "./context";
import { bytesText } from "./footer";
import { createHeadAtlas } from "./head-atlas";
import { RUNS, sizeText } from "./header";
import { createIntervene } from "./intervene";
import { createPattern } from "./pattern";
import { createScores } from "./scores";
import { createTokenStrip } from "./token-strip";
import type { Composition, Kind } from "./widget";

export const heads: Kind<HeadsSession> = {
  name: "attention-heads",
  title: "Attention heads",
  compose(context: ViewContext<HeadsSession>): Composition {
    const { session } = context;
    const { intervention, words } = session;
    const { keys, reading } = words;
    const atlas = createHeadAtlas(context);
    const focus = createPattern(context);
    const strip = createTokenStrip(context);
    const intervene = createIntervene(context);
    return {
      main: createScores(context),
      unmodelled() {
        const { layers, heads } = session.atlas ?? {};
        return session.question?.arrays && layers && heads ? ["from arrays", sizeText(layers, heads)] : [];
      },
      runs: () => (session.question?.compare ? [...RUNS, "other", "against"] : RUNS),
      parts: [atlas.element, focus.element, h("div.side", strip.element, intervene.element)],
      views: [atlas, focus, strip, intervene],
      figures: () => [atlas.figure(), focus.figure()],
      compared: ["against", "difference"],
      step(layers) {
        const [layer, head] = session.inFocus[0] ?? [0, 0];
        const next = layer + layers;
        if (next >= 0 && next < (session.shown?.layers ?? 0)) session.lock([next, head]);
      },
      keys: { a: () => intervention.off ?? intervention.choose("zero") },
      leave: () => session.hoverHead(null),
      marks: () => ({
        "data-atlas-rev": session.atlas?.rev ?? 0,
        "data-focus": session.inFocus.map(headKey).join(" "),
      }),
      provenance() {
        const { patterns, bytes } = session.atlas?.provenance ?? {};
        // How the effect beside it was computed.
        const { what, effect } = intervention;
        const { forward_ms: ms, recomputed } = (what && effect.answer?.provenance) || {};
        return [
          patterns !== undefined && `${patterns} patterns`,
          bytes !== undefined && bytesText(bytes),
          typeof ms === "number" && ["effect", `${ms.toFixed(1)} ms`, recomputed].filter(Boolean).join(" "),
        ];
      },
      hint() {
        const names = session.locked.map(headName);
        const selected = names.length > 3 ? `${names.length} heads` : names.join(" ");
        const what = selected ? `${selected} selected` : "click locks a head";
        return `${what} · shift-click adds · A ablates · C compares · ? lists keys`;
      },
      help: {
        title: "Keys, colours, scores",
        keys: (keys ?? "").split("\n").map((line) => line.split("\t") as [string, string]),
        reading: reading ?? "",
        terms: () =>
          Object.values(session.atlas?.scores ?? {}).map(({ label, card, source }) => [
            label,
            source ? `${card} (${source})` : card,
          ]),
      },
      example: 'mi.AttentionHeads(model, "When Mary and John went")',
    };
  },
};
