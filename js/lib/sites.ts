// Pattern sites as text, the words of `selection`: "L1H1.pattern", "L1H1.pattern@10", "L1H1.pattern@10<4".
// "L1H1.z", as views select a head that have no patterns, names the head.

export interface PatternSite {
  layer: number;
  head: number;
  dest: number | null;
  src: number | null;
}

const PATTERN = /^L(\d+)H(\d+)\.(?:pattern|z)(?:@(\d+)(?:<(\d+))?)?$/;

/** The pattern site that a text names; null for other sites, which other widgets show. */
export function parsePatternSite(text: string): PatternSite | null {
  const match = PATTERN.exec(text);
  if (!match) return null;
  const [, layer, head, dest, src] = match;
  return {
    layer: Number(layer),
    head: Number(head),
    dest: dest === undefined ? null : Number(dest),
    src: src === undefined ? null : Number(src),
  };
}

export function patternSite({ layer, head, dest, src }: PatternSite): string {
  const cell = dest === null ? "" : src === null ? `@${dest}` : `@${dest}<${src}`;
  return `L${layer}H${head}.pattern${cell}`;
}
