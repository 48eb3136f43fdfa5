/**
 * Checks that our prose is plain English.
 *
 * It reads Markdown documents, comments, names of tests, annotations of alerts, and texts of the
 * dashboard. In TypeScript outside test/, it also reads string literals of three words and more.
 *
 * - A sentence has at most 25 words. A code span counts as one word, a number with its unit as
 *   well. A list item and a table cell are sentences of their own.
 * - A sentence has none of the phrases in prose/words.ts. The message says what to write instead.
 *
 * Code spans and text in double quotes are exempt from the word list: put exact words of another
 * program there. For anything else, add the sentence with a reason to prose/exemptions.ts. An
 * exemption that nothing needs is an error.
 */
import { relative, resolve } from "node:path";
import { parseArgs } from "node:util";
import { ROOT, repositoryFiles, textOf } from "../harness/repository.ts";
import { messageOf } from "../src/base/errors.ts";
import { checkProse } from "./check.ts";
import { EXEMPTIONS, type Exemption } from "./exemptions.ts";

const USAGE = `usage: bun prose/lint.ts [PATH ...]

  PATH     a file, or a folder with all that is below it; without one, the whole repository
  --help   print this

Exit status 1 if there are findings, and 2 for an argument that matches no file.`;

type IsChosen = (path: string) => boolean;

/**
 * Returns a test for paths relative to the root.
 * @throws if an argument matches none of the files
 */
function chosenBy(args: readonly string[], files: readonly string[]): IsChosen {
  const tests = args.map((arg): IsChosen => {
    const chosen = relative(ROOT, resolve(arg));
    const matches: IsChosen = (path) =>
      chosen === "" || path === chosen || path.startsWith(`${chosen}/`);
    if (!files.some(matches)) throw new Error(`no file matches ${arg}`);
    return matches;
  });
  return (path) => tests.length === 0 || tests.some((matches) => matches(path));
}

async function main(): Promise<number> {
  const { values, positionals } = parseArgs({
    options: { help: { type: "boolean", short: "h", default: false } },
    allowPositionals: true,
  });
  if (values.help) {
    console.log(USAGE);
    return 0;
  }
  const files = repositoryFiles();
  const isChosen = chosenBy(positionals, files);
  const used = new Set<Exemption>();
  let count = 0;
  let findings = 0;
  for (const path of files.filter(isChosen)) {
    const report = await checkProse(path, textOf(path));
    if (report === undefined) continue;
    count++;
    for (const exemption of report.used) used.add(exemption);
    for (const { line, rule, message, sentence } of report.findings) {
      findings++;
      console.log(`${path}:${line}: ${rule}: ${message}\n    ${sentence}`);
    }
  }
  for (const exemption of EXEMPTIONS) {
    if (!isChosen(exemption.path) || used.has(exemption)) continue;
    findings++;
    console.log(`${exemption.path}: exemption that nothing needs: ${exemption.text}`);
  }
  console.log(`prose: files: ${count}, findings: ${findings}`);
  return findings === 0 ? 0 : 1;
}

try {
  process.exitCode = await main();
} catch (error) {
  process.stderr.write(`prose: ${messageOf(error)} (see --help)\n`);
  process.exitCode = 2;
}
