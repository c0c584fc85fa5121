// Colours of values: 256-entry tables made at build time, joined to the background the theme really has.
import { COLOUR_TABLES } from "./colour-tables";

export type Rgb = readonly [r: number, g: number, b: number];
export type Scale = "sequential" | "diverging";

/** The 256 entries of a table that holds every fifth. */
function decodeTable(text: string): Uint8Array {
  const known = Uint8Array.from(atob(text), (char) => char.charCodeAt(0));
  return Uint8Array.from({ length: 768 }, (_, at) => {
    const place = Math.floor(at / 3) / 5;
    const [from, axis] = [Math.floor(place), at % 3];
    const start = known[from * 3 + axis] as number;
    return Math.round(start + ((known[from * 3 + 3 + axis] ?? start) - start) * (place - from));
  });
}
const tables = new Map<string, Uint8Array>();

function named(name: keyof typeof COLOUR_TABLES): Uint8Array {
  let found = tables.get(name);
  if (!found) {
    found = decodeTable(COLOUR_TABLES[name]);
    tables.set(name, found);
  }
  return found;
}

export const css = ([r, g, b]: Rgb) => `rgb(${Math.round(r)},${Math.round(g)},${Math.round(b)})`;

export const mix = (a: Rgb, b: Rgb, share: number): Rgb => [
  a[0] + (b[0] - a[0]) * share,
  a[1] + (b[1] - a[1]) * share,
  a[2] + (b[2] - a[2]) * share,
];

/** Reads "rgb(…)", "rgba(…)" and "#rrggbb"; null for anything else, transparent colours included. */
export function parseColour(text: string): Rgb | null {
  const hex = /^#([0-9a-f]{6})$/i.exec(text.trim());
  if (hex) {
    const value = Number.parseInt(hex[1] as string, 16);
    return [value >> 16, (value >> 8) & 255, value & 255];
  }
  const parts = /^rgba?\(([^)]+)\)$/
    .exec(text.trim())?.[1]
    ?.split(/[\s,/]+/)
    .filter(Boolean)
    .map(Number.parseFloat);
  if (!parts || parts.length < 3 || (parts[3] ?? 1) < 0.5) return null;
  return [parts[0] as number, parts[1] as number, parts[2] as number];
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

/** An opaque pixel as `ImageData` holds it. */
export const packed = ([r, g, b]: Rgb): number =>
  new Uint32Array(Uint8Array.of(Math.round(r), Math.round(g), Math.round(b), 255).buffer)[0] as number;

export class ColourTable {
  readonly rgb: Uint8Array;

  constructor(
    readonly scale: Scale,
    dark: boolean,
    background: Rgb,
  ) {
    const source = named(`${scale}${dark ? "Dark" : "Light"}`);
    this.rgb = source.slice();
    const neutral = scale === "sequential" ? 0 : 127.5;
    const at = Math.round(neutral) * 3;
    // What the background differs from the map's own ground is given up evenly towards the ends.
    const shift = background.map((value, axis) => value - (source[at + axis] as number));
    for (let i = 0; i < 256; i++) {
      const share = Math.max(0, 1 - Math.max(0, Math.abs(i - neutral) - 0.5) / (254.5 - neutral));
      for (const axis of [0, 1, 2]) {
        const value =
          (source[i * 3 + axis] as number) + (shift[axis] as number) * (i === neutral ? 1 : share);
        this.rgb[i * 3 + axis] = Math.round(Math.min(255, Math.max(0, value)));
      }
    }
  }

  #packed: Uint32Array | null = null;

  /** The entries as opaque pixels, for writing many at once. */
  get packed(): Uint32Array {
    if (!this.#packed) {
      this.#packed = new Uint32Array(256);
      for (let i = 0; i < 256; i++) {
        const [r, g, b] = this.rgb.subarray(i * 3, i * 3 + 3);
        this.#packed[i] = packed([r as number, g as number, b as number]);
      }
    }
    return this.#packed;
  }

  /** Entry of a value: sequential 0..1, diverging -1..1; values beyond the ends take the end's colour. */
  entry(value: number): number {
    const share = this.scale === "sequential" ? value : (value + 1) / 2;
    return Math.min(255, Math.max(0, Math.round(share * 255)));
  }

  colour(value: number): Rgb {
    const at = this.entry(value) * 3;
    return [this.rgb[at] as number, this.rgb[at + 1] as number, this.rgb[at + 2] as number];
  }
}

/** Colour of a score's bar, 0..1 (viridis). */
export function barColour(value: number): Rgb {
  const at = Math.min(255, Math.max(0, Math.round(value * 255))) * 3;
  const map = named("viridis");
  return [map[at] as number, map[at + 1] as number, map[at + 2] as number];
}
