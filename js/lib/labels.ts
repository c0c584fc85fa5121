// Token labels as they are shown: whole when short, shortened in the middle when long, invisible characters named.

const NAMES: Record<string, string> = { "\n": "↵", "\r": "␍", "\t": "⇥", " ": "␣", "": "∅" };
// Zero-width and direction-changing characters would leave a label empty, or turn it over.
const INVISIBLE = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{DI}]/gu;

/** The label with nothing invisible left in it: newline as a glyph, other unseen characters by code point. */
export function visible(label: string): string {
  if (label in NAMES) return NAMES[label] as string;
  return label.replace(
    INVISIBLE,
    (char) => NAMES[char] ?? `⟨${(char.codePointAt(0) ?? 0).toString(16).toUpperCase().padStart(4, "0")}⟩`,
  );
}

/** At most `length` characters, the middle given up first, never half a surrogate pair. */
export function shorten(label: string, length = 14): string {
  // A label of a million characters is cut before it is walked.
  const chars =
    label.length > 4 * length + 64
      ? [...label.slice(0, 2 * length), ...label.slice(-2 * length)]
      : [...label];
  if (chars.length <= length) return label;
  const tail = Math.floor((length - 1) / 2);
  return `${chars.slice(0, length - 1 - tail).join("")}…${chars.slice(chars.length - tail).join("")}`;
}

export const shortLabel = (label: string, length = 14) =>
  shorten(visible(label.length > 400 ? shorten(label, 200) : label), length);

/** A leading space sign is noise where tokens stand apart anyway; " Mary" is drawn as "Mary", a lone space stays. */
export const bare = (label: string) => (label.length > 1 && label.startsWith("␣") ? label.slice(1) : label);

/** Facts beside each other; what is missing or false is left out. */
export const dotted = (facts: readonly unknown[]) => facts.filter(Boolean).join(" · ");

/** A number with its sign: +3.8, −4.62. */
export function signed(value: number, digits = 2): string {
  const text = Math.abs(value).toFixed(digits);
  return Number(text) === 0 ? text : `${value < 0 ? "−" : "+"}${text}`;
}
