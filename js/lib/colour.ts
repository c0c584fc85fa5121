// Colours of values: 256-entry tables made at build time, joined to the background the theme really has.
import { COLOUR_TABLES } from "./colour-tables";
import { clamp, times } from "./geometry";

export type Rgb = readonly [r: number, g: number, b: number];
export type Scale = "sequential" | "diverging";

const tables = new Map<string, Uint8Array>();

/** The 256 x RGB entries of a map, joined from its knots by straight lines. */
function named(name: keyof typeof COLOUR_TABLES): Uint8Array {
  const known = tables.get(name);
  if (known) return known;
  const knots = Uint8Array.from(atob(COLOUR_TABLES[name]), (char) => char.charCodeAt(0));
  const made = Uint8Array.from({ length: 768 }, (_, at) => {
    const place = (Math.floor(at / 3) / 255) * (knots.length / 3 - 1);
    const from = Math.floor(place) * 3 + (at % 3);
    const start = knots[from] as number;
    return Math.round(start + ((knots[from + 3] ?? start) - start) * (place % 1));
  });
  tables.set(name, made);
  return made;
}

export const css = ([r, g, b]: Rgb) => `rgb(${Math.round(r)},${Math.round(g)},${Math.round(b)})`;

export const mix = (a: Rgb, b: Rgb, share: number) =>
  a.map((from, axis) => from + ((b[axis] as number) - from) * share) as unknown as Rgb;

/** Reads "rgb(…)", "rgba(…)" and "#rrggbb"; null for anything else, transparent colours included. */
export function parseColour(text: string): Rgb | null {
  const hex = /^#([0-9a-f]{6})$/i.exec(text.trim())?.[1];
  const list = /^rgba?\(([^)]+)\)$/.exec(text.trim())?.[1];
  const parts = hex
    ? [0, 2, 4].map((at) => Number.parseInt(hex.slice(at, at + 2), 16))
    : (list?.match(/[^\s,/]+/g) ?? []).map(Number.parseFloat);
  return parts.length < 3 || (parts[3] ?? 1) < 0.5 ? null : (parts.slice(0, 3) as unknown as Rgb);
}

/** Relative luminance (WCAG 2), 0..1. */
export function luminance(colour: Rgb): number {
  const [r, g, b] = colour.map((value) => {
    const c = value / 255;
    return c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
  }) as [number, number, number];
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}

/** Dark or white text, whichever contrasts more with the cell: at least 4.4 to 1 on any. */
export const textOn = (cell: Rgb): string => (luminance(cell) > 0.184 ? "#05070a" : "#ffffff");

/** Opaque pixels as `ImageData` holds them, 32 bits each. */
export const packed = (colours: readonly Rgb[]) =>
  new Uint32Array(Uint8ClampedArray.from(colours.flatMap(([r, g, b]) => [r, g, b, 255])).buffer);

const entryOf = (share: number) => clamp(Math.round(share * 255), 0, 255);
const rgbAt = (bytes: Uint8Array, entry: number) =>
  [...bytes.subarray(entry * 3, entry * 3 + 3)] as unknown as Rgb;

export class ColourTable {
  readonly rgb: Uint8Array;

  constructor(
    readonly scale: Scale,
    dark: boolean,
    background: Rgb,
  ) {
    const source = named(`${scale}${dark ? "Dark" : "Light"}`);
    const neutral = scale === "sequential" ? 0 : 127.5;
    // What the background differs from the map's own ground is given up evenly towards the ends.
    const ground = rgbAt(source, Math.round(neutral));
    this.rgb = source.map((value, at) => {
      const from = Math.abs(Math.floor(at / 3) - neutral);
      const share = from ? 1 - Math.max(0, from - 0.5) / (254.5 - neutral) : 1;
      const shift = (background[at % 3] as number) - (ground[at % 3] as number);
      return Math.round(clamp(value + shift * Math.max(0, share), 0, 255));
    });
  }

  #packed: Uint32Array | null = null;

  /** The entries as opaque pixels, for writing many at once. */
  get packed(): Uint32Array {
    this.#packed ??= packed(times(256, (entry) => rgbAt(this.rgb, entry)));
    return this.#packed;
  }

  /** Entry of a value: sequential 0..1, diverging -1..1; values beyond the ends take the end's colour. */
  entry(value: number): number {
    return entryOf(this.scale === "sequential" ? value : (value + 1) / 2);
  }

  colour(value: number): Rgb {
    return rgbAt(this.rgb, this.entry(value));
  }
}

/** Colour of a score's bar, 0..1 (viridis). */
export const barColour = (value: number): Rgb => rgbAt(named("viridis"), entryOf(value));
