/** Prints headings, sentences, checks and bars. Uses color only on a terminal. */

const { NO_COLOR } = process.env;
const colored = process.stdout.isTTY === true && NO_COLOR === undefined;
const paint = (code: string) => (text: string) =>
  colored ? `\u001b[${code}m${text}\u001b[0m` : text;

export const bold = paint("1");
export const dim = paint("2");
const green = paint("32");
const red = paint("1;31");
const blue = paint("34");
const cyan = paint("36");

/** Together with names and counts, at most 100 columns. */
const BAR_WIDTH = 22;
const LABEL_WIDTH = 44;
let failures = 0;
let chapter = 0;
let muted = false;

export function heading(text: string): void {
  chapter += 1;
  print(`\n${bold(`${chapter}. ${text}`)}`);
}

export function say(text: string): void {
  print(`   ${text}`);
}

/** Prints something quoted: a command, a file, output of the program. */
export function quote(text: string): void {
  for (const line of text.trimEnd().split("\n")) print(`     ${cyan(line)}`);
}

/** Prints a checked sentence and its result. The demo fails at its end if any check failed. */
export function check(isSo: boolean, text: string, otherwise = ""): void {
  if (!isSo) failures += 1;
  print(`   ${isSo ? green("ok") : red("FAILED")}  ${text}${isSo ? "" : red(` ${otherwise}`)}`);
}

/** Number of failed checks. */
export function failed(): number {
  return failures;
}

/** Prints shares in one line: `a1 ████████ 52   a2 ███████ 48`. */
export function bars(label: string, counts: ReadonlyMap<string, number>): void {
  const all = [...counts.values()].reduce((sum, each) => sum + each, 0);
  const shares = [...counts].map(([name, count]) => {
    const width = Math.max(1, Math.round((count / all) * BAR_WIDTH));
    return `${name} ${blue("█".repeat(width))} ${count}`;
  });
  print(`     ${label.padEnd(LABEL_WIDTH)} ${shares.join("  ")}`);
}

export function print(text: string): void {
  if (!muted) write(text);
}

/** Stops all output, except by the function that it returns. */
export function muteOutput(): (text: string) => void {
  muted = true;
  return write;
}

function write(text: string): void {
  process.stdout.write(`${text}\n`);
}

/** `0.42 ms`, `12 ms`, `1.3 s`. */
export function duration(milliseconds: number): string {
  if (milliseconds >= 1000) return `${(milliseconds / 1000).toFixed(1)} s`;
  return `${milliseconds >= 10 ? milliseconds.toFixed(0) : milliseconds.toFixed(2)} ms`;
}
