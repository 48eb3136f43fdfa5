/** What came of one check or one `bun test`. */
export interface Tally {
  readonly passed: number;
  /** Names of what failed. */
  readonly failed: readonly string[];
  readonly skipped: number;
  /** `skip: what: why`, as the tests printed it. */
  readonly reasons: readonly string[];
}

const CASE = /<testcase\b([^>]*?)(?:\/>|>([\s\S]*?)<\/testcase>)/g;

/**
 * Adds up a JUnit report of `bun test`. A file that could not be loaded is missing from it, a crash
 * shows in the exit status only: each is a failure.
 */
export function addUp(
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
    // A group that is skipped lists its beforeAll and afterAll among its tests.
    else if (/<skipped\b/.test(inner)) skipped += attributes.includes(`name="(unnamed)"`) ? 0 : 1;
    else passed++;
  }
  for (const file of files) {
    if (!report.includes(` file="${file}"`)) failed.push(`${file}: not one test was run`);
  }
  if (status !== 0 && failed.length === 0) failed.push(`bun test: ended with status ${status}`);
  const reasons = output.split("\n").filter((line) => line.startsWith("skip: "));
  return { passed, failed, skipped, reasons };
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
