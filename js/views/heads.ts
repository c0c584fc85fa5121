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
import type { Composition, Kind, Term } from "./widget";

const COMPARED = [
  ["other", "The clean prompt in the experiment that this one is compared with."],
  ["against", "Clean minus the same run of the other experiment: blue is more here, red is more there."],
] as const;

const KEYS: Term[] = [
  ["arrows", "move over heads, cells or tokens; Home, End and page keys go to the end"],
  ["Space", "lock the head, pick the cell, focus the token"],
  ["Shift + Space", "add the head to the selection, or take it out; so does Shift + click"],
  ["Enter", "pick the head up to carry it to a patch board; on a cell or token: pick it"],
  ["Escape", "put back what is carried; clear the selection; in a text: restore it"],
  ["[ ]", "the layer above, the layer below"],
  ["C E", "compare with the other prompt or model; edited or unedited"],
  ["+ − 0", "look closer at the pattern, further, at all of it; the wheel after a click, drag to pan"],
  ["A K R", "ablate the head; knock out the picked cell; rank heads by it"],
];
const READING =
  "Row = the token that looks (dest), column = the token it looks at (src). All thumbnails share one scale, 0 to 1; a difference runs from −1 to 1. The part that the causal mask forbids has its own ground; hatched cells are not finite.";

export const heads: Kind<HeadsSession> = {
  name: "attention-heads",
  title: "Attention heads",
  compose(context: ViewContext<HeadsSession>): Composition {
    const { session } = context;
    const { intervention } = session;
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
      runs: () => (session.question?.compare ? [...RUNS, ...COMPARED] : RUNS),
      parts: [atlas.element, focus.element, h("div.side", strip.element, intervene.element)],
      observed: [atlas.element, focus.element],
      views: [atlas, focus, strip, intervene],
      figures: () => [atlas.figure(), focus.figure()],
      compared: ["against", "difference"],
      step(layers) {
        const [layer, head] = session.focus[0] ?? [0, 0];
        const next = layer + layers;
        if (next >= 0 && next < (session.shown?.layers ?? 0)) session.lock([next, head]);
      },
      keys: { a: () => intervention.off ?? intervention.choose("zero") },
      leave: () => session.hoverHead(null),
      marks: () => ({
        "data-atlas-rev": session.atlas?.rev ?? 0,
        "data-focus": session.focus.map(headKey).join(" "),
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
        keys: KEYS,
        reading: READING,
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
