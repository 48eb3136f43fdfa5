/**
 * Parses and prints Go durations: `1h15m`, `1.5s`, `500ms`. In TypeScript they are milliseconds.
 */

const UNITS: { readonly [unit: string]: number } = {
  ns: 1e-6,
  us: 1e-3,
  µs: 1e-3, // micro sign
  μs: 1e-3, // Greek mu
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
};

/** Parses what time.ParseDuration accepts, to milliseconds. Returns undefined for anything else. */
export function parseDuration(text: string): number | undefined {
  const sign = text.startsWith("-") ? -1 : 1;
  const body = text.replace(/^[-+]/, "");
  if (body === "0") return 0;
  const part = /(\d+\.?\d*|\.\d+)(ns|us|µs|μs|ms|s|m|h)/gy;
  let total = 0;
  let end = 0;
  for (const match of body.matchAll(part)) {
    total += Number(match[1]) * (UNITS[match[2] as string] as number);
    end = match.index + match[0].length;
  }
  return end === body.length && end > 0 ? sign * total : undefined;
}

/** Prints like Go's Duration.String: `24h0m0s`, `1m30s`, `1.5s`, `250ms`, `0s`. */
export function printDuration(ms: number): string {
  if (ms < 0) return `-${printDuration(-ms)}`;
  if (ms === 0) return "0s";
  if (ms < 1e-3) return `${round(ms * 1e6)}ns`;
  if (ms < 1) return `${round(ms * 1e3)}µs`;
  if (ms < 1000) return `${round(ms)}ms`;
  const hours = Math.floor(ms / 3_600_000);
  const minutes = Math.floor((ms % 3_600_000) / 60_000);
  const seconds = `${round((ms % 60_000) / 1000)}s`;
  if (hours > 0) return `${hours}h${minutes}m${seconds}`;
  return minutes > 0 ? `${minutes}m${seconds}` : seconds;
}

function round(value: number): number {
  return Number(value.toPrecision(12));
}
