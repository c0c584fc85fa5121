// The colours of the runs, as css has them in --mi-clean, --mi-corrupted and --mi-edited, for what is drawn.
import type { GridName } from "./board-cells";
import type { Rgb } from "./colour";
import type { Theme } from "./theme";

export function runColour({ dark, accent }: Theme, name: GridName): Rgb {
  if (name === "clean") return dark ? [60, 195, 208] : [15, 127, 134];
  if (name === "corrupted") return dark ? [240, 120, 184] : [176, 42, 124];
  return accent;
}
