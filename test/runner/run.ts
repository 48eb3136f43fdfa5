/**
 * Runs the stages of stages.ts and prints one total. test/run.sh starts it and has the usage. Run
 * it as root: many tests make network namespaces. A test that cannot run is skipped and prints the
 * reason.
 *
 * A stage that fails does not stop the others, except those that need it. After the last stage
 * come a table of all stages, the reasons of skipped tests and the names of failed tests. The last
 * line is `N passed, N failed, N skipped`.
 */
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { runCommand } from "./run-command.ts";
import { type Command, type Stage, selectStages, TestStages } from "./stages.ts";
import {
  addUp,
  countsOf,
  durationOf,
  readReport,
  type StageResult,
  summaryOf,
  type Tally,
} from "./tally.ts";

/** Stops a test that hangs. Most take milliseconds, a control plane some seconds. */
const TIMEOUT_MS = 120_000;

const root = join(import.meta.dir, "../..");

async function tallyOf(command: Command): Promise<Tally> {
  const passed = await runCommand(command);
  return { passed: passed ? 1 : 0, failed: passed ? [] : [command.name], skipped: 0, reasons: [] };
}

/** One `bun test` over these files. Its output passes through. */
async function runFiles(files: readonly string[], flags: readonly string[]): Promise<Tally> {
  mkdirSync(join(root, ".cache"), { recursive: true });
  const folder = mkdtempSync(join(root, ".cache/junit-"));
  const report = join(folder, "report.xml");
  const child = Bun.spawn(
    [
      ...[process.execPath, "test", "--only-failures", `--timeout=${TIMEOUT_MS}`, ...flags],
      ...["--reporter=junit", `--reporter-outfile=${report}`],
      ...files.map((file) => `./${file}`),
    ],
    { cwd: root, stdio: ["ignore", "pipe", "pipe"] },
  );
  const [stdout, stderr, status] = await Promise.all([
    passThrough(child.stdout, process.stdout),
    passThrough(child.stderr, process.stderr),
    child.exited,
  ]);
  let xml = "";
  try {
    xml = readFileSync(report, "utf8");
  } catch {
    // It crashed before it could write one; readReport counts that as a failure.
  }
  rmSync(folder, { recursive: true });
  return readReport(files, xml, stdout + stderr, status);
}

async function passThrough(
  stream: ReadableStream<Uint8Array>,
  to: NodeJS.WriteStream,
): Promise<string> {
  const decoder = new TextDecoder();
  let text = "";
  for await (const chunk of stream) {
    to.write(chunk);
    text += decoder.decode(chunk, { stream: true });
  }
  return text;
}

async function runStage(
  stage: Stage,
  files: readonly string[],
  results: readonly StageResult[],
): Promise<StageResult> {
  const { name, needs, commands, flags = [] } = stage;
  const broken = needs.find((needed) =>
    results.some(
      (result) =>
        result.name === needed &&
        (typeof result.outcome === "string" || result.outcome.failed.length > 0),
    ),
  );
  console.log(`\n── ${name}${commands ? "" : `: ${files.length} files`}`);
  if (broken !== undefined) {
    const outcome = `not run: ${broken} failed`;
    console.log(outcome);
    return { name, ms: 0, outcome };
  }
  const begun = performance.now();
  const tallies: Tally[] = [];
  for (const command of commands ?? []) tallies.push(await tallyOf(command));
  if (!commands) tallies.push(await runFiles(files, flags));
  return printed({ name, ms: performance.now() - begun, outcome: addUp(tallies) });
}

function printed(result: StageResult): StageResult {
  const { name, ms, outcome } = result;
  if (typeof outcome !== "string")
    console.log(`── ${name}: ${countsOf(outcome)} in ${durationOf(ms)}`);
  return result;
}

/** test/run.sh has run this stage, since it installs the runtime of this program. */
function setupResult(): StageResult {
  const ms = Number(process.env["SLUICE_SETUP_MS"] ?? 0);
  return printed({
    name: "setup",
    ms,
    outcome: { passed: 1, failed: [], skipped: 0, reasons: [] },
  });
}

/** @returns whether nothing failed. */
async function run(stages: readonly Stage[], patterns: readonly string[]): Promise<boolean> {
  const stageOf = new TestStages(root);
  const files = [...new Bun.Glob("test/**/*.test.ts").scanSync({ cwd: root })]
    .filter((file) => patterns.length === 0 || patterns.some((pattern) => file.includes(pattern)))
    .sort();
  if (files.length === 0) throw new Error(`no test file contains ${patterns.join(" or ")}`);
  const results: StageResult[] = [];
  for (const stage of stages) {
    if (stage.name === "setup") {
      results.push(setupResult());
      continue;
    }
    const mine = files.filter((file) => stageOf.stageOf(file) === stage.name);
    if (stage.commands || mine.length > 0) results.push(await runStage(stage, mine, results));
  }
  const total = addUp(
    results.flatMap(({ outcome }) => (typeof outcome === "string" ? [] : outcome)),
  );
  console.log(`\n${summaryOf(results)}\n`);
  for (const reason of total.reasons) console.log(reason);
  for (const name of total.failed) console.log(`failed: ${name}`);
  console.log(countsOf(total));
  return total.failed.length === 0;
}

async function main(): Promise<number> {
  const { values, positionals } = parseArgs({
    options: {
      stage: { type: "string", multiple: true, default: [] },
    },
    allowPositionals: true,
  });
  return (await run(selectStages(values.stage), positionals)) ? 0 : 1;
}

try {
  process.exitCode = await main();
} catch (error) {
  process.stderr.write(
    `npm test: ${error instanceof Error ? error.message : error} (see --help)\n`,
  );
  process.exitCode = 2;
}
