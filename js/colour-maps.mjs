// Makes js/lib/colour-tables.ts: the named colour maps at evenly spaced knots, a stop among them. Stops are joined by
// straight lines in OKLab, a space in which equal distances look about equally different, so that each ramp is perceptually even.
// Run `npm run colours` after changing a stop; a test compares the written tables with this file.
import { readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

// Diverging maps go from negative over the theme's background to positive; blue against vermilion stays apart
// for readers with any common colour blindness.
export const MAPS = {
  sequentialLight: ["#ffffff", "#dbe4fb", "#8ea8f0", "#1d4ed8"],
  sequentialDark: ["#111418", "#232c40", "#41598f", "#7aa6ff"],
  divergingLight: ["#b3380a", "#ee9a71", "#ffffff", "#8ea8f0", "#1d4ed8"],
  divergingDark: ["#ff8a5c", "#8a4a33", "#111418", "#41598f", "#7aa6ff"],
  viridis: [
    "#440154",
    "#482878",
    "#3e4989",
    "#31688e",
    "#26828e",
    "#1f9e89",
    "#35b779",
    "#6ece58",
    "#b5de2b",
    "#fde725",
  ],
};

const channel = (hex, at) => Number.parseInt(hex.slice(at, at + 2), 16) / 255;
const toLinear = (c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
const toGamma = (c) => (c <= 0.0031308 ? 12.92 * c : 1.055 * c ** (1 / 2.4) - 0.055);

/** sRGB hex to OKLab (Ottosson 2020). */
function toLab(hex) {
  const [r, g, b] = [1, 3, 5].map((at) => toLinear(channel(hex, at)));
  const l = Math.cbrt(0.4122214708 * r + 0.5363325363 * g + 0.0514459929 * b);
  const m = Math.cbrt(0.2119034982 * r + 0.6806995451 * g + 0.1073969566 * b);
  const s = Math.cbrt(0.0883024619 * r + 0.2817188376 * g + 0.6299787005 * b);
  return [
    0.2104542553 * l + 0.793617785 * m - 0.0040720468 * s,
    1.9779984951 * l - 2.428592205 * m + 0.4505937099 * s,
    0.0259040371 * l + 0.7827717662 * m - 0.808675766 * s,
  ];
}

function toRgb([L, a, b]) {
  const l = (L + 0.3963377774 * a + 0.2158037573 * b) ** 3;
  const m = (L - 0.1055613458 * a - 0.0638541728 * b) ** 3;
  const s = (L - 0.0894841775 * a - 1.291485548 * b) ** 3;
  return [
    4.0767416621 * l - 3.3077115913 * m + 0.2309699292 * s,
    -1.2684380046 * l + 2.6097574011 * m - 0.3413193965 * s,
    -0.0041960863 * l - 0.7034186147 * m + 1.707614701 * s,
  ].map((c) => Math.round(Math.min(1, Math.max(0, toGamma(Math.max(0, c)))) * 255));
}

/** RGB bytes of a map at `count` places, evenly spaced from its first stop to its last. */
export function table(stops, count = 256) {
  const labs = stops.map(toLab);
  const bytes = new Uint8Array(count * 3);
  for (let i = 0; i < count; i++) {
    const place = (i / (count - 1)) * (labs.length - 1);
    const from = Math.min(Math.floor(place), labs.length - 2);
    const lab = labs[from].map((value, axis) => value + (labs[from + 1][axis] - value) * (place - from));
    bytes.set(toRgb(lab), i * 3);
  }
  return bytes;
}

/** As many pieces between two stops as make about 18 in all: each is then straight to within four steps of 255. */
const knots = (stops) => 1 + (stops.length - 1) * Math.ceil(18 / (stops.length - 1));

export function source() {
  const lines = Object.entries(MAPS).map(
    ([name, stops]) => `  ${name}:\n    "${Buffer.from(table(stops, knots(stops))).toString("base64")}",`,
  );
  return `// Made by js/colour-maps.mjs: RGB bytes of each map at evenly spaced knots, base64. Do not edit.\nexport const COLOUR_TABLES = {\n${lines.join("\n")}\n} as const;\n`;
}

const here = fileURLToPath(import.meta.url);
export const TARGET = join(dirname(here), "lib", "colour-tables.ts");
export const written = () => readFileSync(TARGET, "utf8");
if (process.argv[1] === here) writeFileSync(TARGET, source());
