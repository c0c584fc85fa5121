export function withWordsSaidOnce(code: string): string;
