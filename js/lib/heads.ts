// A head and a cell of its pattern, as the views and the session name them.

import { times } from "./geometry";

export type Head = readonly [layer: number, head: number];

export interface Cell {
  dest: number;
  src: number;
}

export const sameHead = (a: Head | null, b: Head | null) => !!a && !!b && a[0] === b[0] && a[1] === b[1];
export const headKey = ([layer, head]: Head) => `L${layer}H${head}`;
/** A head as people write it: L1.H4. */
export const headName = ([layer, head]: Head) => `L${layer}.H${head}`;
/** Every head, layer by layer. */
export const allHeads = (layers: number, heads: number) =>
  times(layers * heads, (at): Head => [Math.floor(at / heads), at % heads]);
