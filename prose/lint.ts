/**
 * Checks that our prose is plain English.
 *
 * usage: bun prose/lint.ts [PATH ...]
 *
 *   PATH   a file, or a folder with all that is below it; without one, the whole repository
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
import { repositoryFiles, textOf } from "../harness/repository.ts";
import { checkProse } from "./check.ts";
import { EXEMPTIONS, type Exemption } from "./exemptions.ts";

const args = process.argv.slice(2).map((path) => path.replace(/^\.\/|\/$/g, ""));
const isChosen = (path: string): boolean =>
  args.length === 0 || args.some((chosen) => path === chosen || path.startsWith(`${chosen}/`));

const used = new Set<Exemption>();
let findings = 0;
for (const path of repositoryFiles().filter(isChosen)) {
  const report = await checkProse(path, textOf(path));
  for (const exemption of report?.used ?? []) used.add(exemption);
  for (const { line, rule, message, sentence } of report?.findings ?? []) {
    findings++;
    console.log(`${path}:${line}: ${rule}: ${message}\n    ${sentence}`);
  }
}
for (const exemption of EXEMPTIONS) {
  if (!isChosen(exemption.path) || used.has(exemption)) continue;
  findings++;
  console.log(`${exemption.path}: exemption that nothing needs: ${exemption.text}`);
}
if (findings > 0) console.log(`${findings} findings`);
process.exitCode = findings === 0 ? 0 : 1;
