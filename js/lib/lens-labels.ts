// Labels in the cells of a table: as much of a token as its cell has room for.
import { bare, shortLabel } from "./labels";

/** Of the monospaced font, in its size. */
export const ADVANCE = 0.602;
/** Signs that take the room of two letters. */
const WIDE =
  /[\p{Script=Han}\p{Script=Hangul}\p{Script=Hiragana}\p{Script=Katakana}\p{Extended_Pictographic}\uff01-\uff60]/gu;

/** Letters that a text takes the room of. */
export const lettersOf = (text: string) => [...text].length + (text.match(WIDE)?.length ?? 0);

/** A token in the room of so many letters, its middle given up first. */
export function fitLabel(label: string, letters: number): string {
  const whole = bare(label.length > 400 ? shortLabel(label, 200) : label);
  for (let length = Math.max(1, letters); length > 1; length--) {
    const text = shortLabel(whole, length);
    if (lettersOf(text) <= letters) return text;
  }
  return shortLabel(whole, 1);
}
