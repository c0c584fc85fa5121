// What a chip calls its edit: the site, the token that is taken and the one that is written, each with its position.
import type { Board } from "./board-cells";
import { partner, readBy } from "./board-specs";
import { bare, shortLabel } from "./labels";
import type { Edit, Question } from "./protocol";
import type { Side } from "./run-session";

/** 14 as ₁₄. */
const lowered = (position: number) =>
  String(position).replace(/\d/g, (digit) => String.fromCharCode(8320 + Number(digit)));
/** Of many positions only the first and the last are told. */
const ends = (at: readonly number[]) => (at.length > 2 ? [at[0] as number, at.at(-1) as number] : at);

/** What a chip says, "resid_post L1 · John₁₀ → Mary₁₀", and the same as a voice says it.
 *
 * An edit that no page could have made keeps the name that the kernel gives it. Without a board, which knows what pairs,
 * the token that is taken is told only where both prompts are of one length.
 */
export function chipWords(
  question: Question | null,
  { label, spec }: Edit,
  board: Pick<Board, "pairs"> | null = null,
): [text: string, spoken: string] {
  if (!spec || !question) return [shortLabel(label, 44), label];
  const { base, prompts } = question;
  const { site, layer, head, positions, source_positions } = spec;
  const run = readBy(spec, base);
  const even = prompts.clean.labels.length === prompts.corrupted?.labels.length;
  const partnerOf = (at: number) => (board ? partner(board, at, base, run as Side) : even ? at : -1);
  const onto = positions && ends(positions);
  const from = run && onto && (source_positions ? ends(source_positions) : onto.map(partnerOf));
  // What is written is told by its tokens.
  const name = run
    ? `${site} L${layer}${head === null ? "" : `.H${head}`}`
    : label.replace(/@(\[.*?\]|[^\s#]+)/, "");
  const words = (loud: boolean) => {
    const tokens = (side: Side, at: readonly number[]) =>
      at
        .map((it) => {
          const token = shortLabel(bare(prompts[side]?.labels[it] ?? "?"), 12);
          // It turns the writing direction of nothing but itself.
          return loud ? `${token} position ${it}` : `\u2068${token}\u2069${lowered(it)}`;
        })
        .join(positions?.[2] === undefined ? ", " : loud ? " to " : " … ");
    const taken = from?.every((at) => at >= 0) ? tokens(run as Side, from) : "";
    const arrow = loud ? ` of ${run} onto ` : " → ";
    return `${name}${loud ? "," : " ·"} ${taken && taken + arrow}${onto ? tokens(base, onto) : "all positions"}`;
  };
  return [words(false), words(true)];
}
