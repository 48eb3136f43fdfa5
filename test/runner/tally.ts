/** Results of checks and tests, and how they are printed. */

/** The result of one check, of one `bun test`, or of several of them. */
export interface Tally {
  readonly passed: number;
  /** Names of what failed. */
  readonly failed: readonly string[];
  readonly skipped: number;
  /** `skip: what: why`, as the tests printed it. */
  readonly reasons: readonly string[];
}

/** The result of a stage, and the time that it took. */
export interface StageResult {
  readonly name: string;
  readonly ms: number;
  /** Or why the stage was not run. */
  readonly outcome: Tally | string;
}

const CASE = /<testcase\b([^>]*?)(?:\/>|>([\s\S]*?)<\/testcase>)/g;

/**
 * Reads a JUnit report of `bun test`. Two failures do not appear in it: a file that could not be
 * loaded is missing, and a crash shows only in the exit status.
 */
export function readReport(
  files: readonly string[],
  report: string,
  output: string,
  status: number,
): Tally {
  let passed = 0;
  let skipped = 0;
  const failed: string[] = [];
  for (const [, attributes = "", inner = ""] of report.matchAll(CASE)) {
    if (/<(failure|error)\b/.test(inner)) failed.push(nameOf(attributes));
    // A skipped group lists its beforeAll and afterAll among its tests.
    else if (/<skipped\b/.test(inner)) skipped += attributes.includes(`name="(unnamed)"`) ? 0 : 1;
    else passed++;
  }
  for (const file of files) {
    if (!report.includes(` file="${file}"`)) failed.push(`${file}: no test was run`);
  }
  if (status !== 0 && failed.length === 0) failed.push(`bun test: exit status ${status}`);
  const reasons = output.split("\n").filter((line) => line.startsWith("skip: "));
  return { passed, failed, skipped, reasons };
}

/** The sum of several results. */
export function addUp(tallies: readonly Tally[]): Tally {
  return {
    passed: tallies.reduce((sum, { passed }) => sum + passed, 0),
    failed: tallies.flatMap(({ failed }) => failed),
    skipped: tallies.reduce((sum, { skipped }) => sum + skipped, 0),
    reasons: [...new Set(tallies.flatMap(({ reasons }) => reasons))],
  };
}

/** `N passed, N failed, N skipped` */
export function countsOf({ passed, failed, skipped }: Tally): string {
  return `${passed} passed, ${failed.length} failed, ${skipped} skipped`;
}

/** `0.4 s`, `12 s`, `3 min 5 s` */
export function durationOf(ms: number): string {
  if (ms < 10_000) return `${(ms / 1000).toFixed(1)} s`;
  const seconds = Math.round(ms / 1000);
  return seconds < 60 ? `${seconds} s` : `${Math.floor(seconds / 60)} min ${seconds % 60} s`;
}

/** A line for each stage. */
export function summaryOf(results: readonly StageResult[]): string {
  const rows = results.map(({ name, ms, outcome }) =>
    typeof outcome === "string"
      ? [name, "", "", "", "", outcome]
      : [
          name,
          `${outcome.passed}`,
          `${outcome.failed.length}`,
          `${outcome.skipped}`,
          durationOf(ms),
          "",
        ],
  );
  const lines = [["stage", "passed", "failed", "skipped", "time", ""], ...rows];
  const widths = lines[0]?.map((_, column) =>
    Math.max(...lines.map((line) => line[column]?.length ?? 0)),
  );
  return lines
    .map((line) =>
      line
        .map((cell, column) => {
          const width = widths?.[column] ?? 0;
          const isText = column === 0 || column === 5;
          return isText ? cell.padEnd(width) : cell.padStart(width);
        })
        .join("  ")
        .trimEnd(),
    )
    .join("\n");
}

function nameOf(attributes: string): string {
  const value = (name: string): string =>
    unescapeXml(new RegExp(`\\b${name}="([^"]*)"`).exec(attributes)?.[1] ?? "");
  // The report has the innermost group first.
  const groups = value("classname").split(" > ").reverse();
  return [value("file"), ...groups, value("name")].filter((part) => part !== "").join(" > ");
}

function unescapeXml(text: string): string {
  const entities: Record<string, string> = { lt: "<", gt: ">", quot: '"', apos: "'", amp: "&" };
  return text.replaceAll(/&(lt|gt|quot|apos|amp);/g, (_, name: string) => entities[name] ?? "");
}
