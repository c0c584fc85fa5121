export const MAPS: Record<string, string[]>;
export function table(stops: string[]): Uint8Array;
export function source(): string;
export function written(): string;
