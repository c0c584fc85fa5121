export const LETTERS_FOR_WORDS: readonly string[];
export function withWordsSaidOnce(code: string): string;
