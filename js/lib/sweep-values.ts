// What the numbers of a sweep mean and look like: shares, changes or the metric itself, their scale, ticks and words.
import type { Rgb } from "./colour";
import {
  ESTIMATE,
  EXACT,
  NONE,
  PENDING,
  SAME,
  type SweepCell,
  type SweepMap,
  type SweepTable,
} from "./sweep-table";
import type { Theme } from "./theme";

/** The share of the way back, the metric itself, or by how much it is another one than in the base run. */
export type SweepView = "recovered" | "raw" | "change";
export const VIEWS: readonly SweepView[] = ["recovered", "raw", "change"];

/** The metric of the run that the cells begin at; NaN where it is not known. */
export const baseline = ({ baselines, base }: SweepMap) => baselines?.[base] ?? Number.NaN;

/** Why cells have no share, or null when they have. */
export function viewReason({ map }: SweepTable, view: SweepView): string | null {
  if (view !== "recovered") return null;
  const { clean = null, corrupted = null } = map.baselines ?? {};
  if (corrupted === null || clean === null)
    return "There is no corrupted prompt, and so no way from it to the clean one.";
  if (map.metric === "rank") return "A rank has no share: choose another metric.";
  const near = Math.abs(clean - corrupted) <= 10 * (map.noise_floor ?? 0);
  return near ? "The clean and the corrupted run give the same, and so there is no way between them." : null;
}

/** The view that can be drawn: without shares it is the change. */
export const shownView = (table: SweepTable, wanted: SweepView): SweepView =>
  viewReason(table, wanted) ? "change" : wanted;

/** What a view is called; edits of the clean run destroy what edits of the corrupted one recover. */
export function viewLabel(map: SweepMap, view: SweepView): string {
  return view === "recovered" && map.base === "clean" ? "destroyed" : view;
}

/** The number of a cell; NaN where it has none. */
export function numberOf(map: SweepMap, cell: SweepCell, view: SweepView): number {
  if (view === "recovered") return map.base === "clean" ? 1 - cell.recovered : cell.recovered;
  return view === "raw" ? cell.metric : cell.metric - baseline(map);
}

/** Does the cell have a number that is drawn? */
export const hasNumber = ({ state }: SweepCell) => state === ESTIMATE || state === EXACT;

export interface SweepScale {
  view: SweepView;
  /** The number that has no colour. */
  centre: number;
  /** How far from there the strongest colour is. */
  reach: number;
}

const STEPS = [1, 1.2, 1.5, 2, 3, 4, 5, 6, 8, 10];

/** The first of a few round numbers, times a power of ten, that is at least so large, or a hair smaller. */
export function roundUp(value: number): number {
  if (!(value > 0) || !Number.isFinite(value)) return 1;
  const power = 10 ** Math.floor(Math.log10(value) + 1e-9);
  const step = STEPS.find((it) => it * power >= value * 0.96) ?? 10;
  return step * power;
}

/** The scale of a map: its exact cells reach its ends; an estimate that is far off does not push them out of sight. */
export function scaleOf(table: SweepTable, wanted: SweepView): SweepScale {
  const { map } = table;
  const view = shownView(table, wanted);
  const centre = view === "raw" ? baseline(map) || 0 : 0;
  const { clean, corrupted } = map.baselines ?? {};
  const usual =
    view === "recovered" ? 1 : Math.abs((clean ?? Number.NaN) - (corrupted ?? Number.NaN)) || Infinity;
  let [exact, guessed] = [0, 0];
  for (let row = 0; row < map.layers.length; row++)
    for (let column = 0; column < map.columns.length; column++) {
      const cell = table.cell(row, column);
      const far = Math.abs(numberOf(map, cell, view) - centre);
      if (!Number.isFinite(far)) continue;
      if (cell.state === EXACT) exact = Math.max(exact, far);
      if (cell.state === ESTIMATE) guessed = Math.max(guessed, far);
    }
  // A run that differs from its like by rounding alone is no effect to be painted.
  const least = view === "recovered" ? 1e-3 : Math.max(1e-6, 10 * (map.noise_floor ?? 0));
  return { view, centre, reach: roundUp(Math.max(exact, Math.min(guessed, usual), least)) };
}

/** The colour of a number; null where it is none. What moves the answer on is the warm end, as in published maps. */
export function colourOf({ centre, reach }: SweepScale, value: number, theme: Theme): Rgb | null {
  return Number.isFinite(value) ? theme.diverging.colour((centre - value) / reach) : null;
}

/** Digits behind the point that tell numbers of a scale apart. */
const digitsOf = ({ reach }: SweepScale) => (reach >= 100 ? 0 : reach >= 20 ? 1 : reach >= 0.2 ? 2 : 3);

/** A number of the scale: −0.35, 1.04; tiny ones as powers of ten. */
export function textOf(scale: SweepScale, value: number, digits = digitsOf(scale)): string {
  if (!Number.isFinite(value)) return "–";
  const size = Math.abs(value);
  // What is next to nothing on its scale is nothing.
  const power = size >= 1e5 || (scale.reach < 0.01 && size > scale.reach / 1e3);
  const text = power ? size.toExponential(1).replace("e+", "e") : size.toFixed(digits);
  return value < 0 && Number(text) !== 0 ? `−${text}` : text;
}

/** Letters that a number of the scale takes with its mark and its sign. */
const lettersOf = (scale: SweepScale) => textOf(scale, scale.centre - scale.reach).length;

/** The number in the room of so many letters; "" on maps whose cells have none, so that a map has all of them or none. */
export function fitNumber(scale: SweepScale, cell: SweepCell, value: number, letters: number): string {
  if (letters < lettersOf(scale)) return "";
  const text = (cell.state === ESTIMATE ? "~" : "") + textOf(scale, value);
  if (text.length <= letters) return text;
  const shorter =
    (cell.state === ESTIMATE ? "~" : "") + textOf(scale, value, Math.max(0, digitsOf(scale) - 1));
  return shorter.length <= letters ? shorter : "";
}

/** Where the legend has ticks: the ends, the middle, and where their numbers are short half of the way. */
export function ticksOf(scale: SweepScale): { share: number; text: string }[] {
  const shares = lettersOf(scale) > 6 ? [0, 0.5, 1] : [0, 0.25, 0.5, 0.75, 1];
  return shares.map((share) => ({
    share,
    text: textOf(scale, scale.centre + (2 * share - 1) * scale.reach),
  }));
}

/** The colours of a prompt's own tokens, as the style sheet has them. */
export function sideColour(theme: Theme, side: "clean" | "corrupted"): Rgb {
  const [clean, corrupted] = theme.dark
    ? ([
        [60, 195, 208],
        [240, 120, 184],
      ] as const)
    : ([
        [15, 127, 134],
        [176, 42, 124],
      ] as const);
  return side === "clean" ? clean : corrupted;
}

/** The tokens of both prompts in a column where they differ; null where they do not. */
export function bothTokens(map: SweepMap, column: number): { clean: string; corrupted: string } | null {
  const { label, other } = map.columns[column] ?? { label: "", other: "" };
  if (!other || other === label) return null;
  return map.base === "clean" ? { clean: label, corrupted: other } : { clean: other, corrupted: label };
}

/** The number itself in words, with its error over prompts. */
export function spokenValue(map: SweepMap, cell: SweepCell, scale: SweepScale): string {
  const { state, stderr } = cell;
  if (state === PENDING) return "not run yet";
  if (state === SAME) return "cannot differ: the tokens are the same up to here";
  if (state === NONE) return "no number";
  const value = numberOf(map, cell, scale.view);
  if (!Number.isFinite(value)) return "the run gave no number";
  const error = scale.view === "recovered" && Number.isFinite(stderr) ? ` ± ${textOf(scale, stderr)}` : "";
  const name = scale.view === "raw" ? map.label : viewLabel(map, scale.view);
  return `${name} ${textOf(scale, value)}${error}, ${state === EXACT ? "exact" : "estimate"}`;
}
