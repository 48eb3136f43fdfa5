/**
 * Runs every check and test and prints one total.
 *
 * usage: npm test [-- PATTERN ...]
 *
 *   PATTERN   only the tests whose path contains it, after the checks: `npm test -- test/plan demo`
 *             runs those below test/plan and test/demo/demo.test.ts
 *
 * All tests take minutes, those of one folder seconds. Run them as root: many make network
 * namespaces. Tests with a real control plane need Go as well, and build etcd and kube-apiserver
 * the first time, which takes minutes. Tests that cannot run are skipped, and print the reason.
 *
 * The last line is `N passed, N failed, N skipped`. The reasons of skipped tests and the names of
 * failed tests stand before it.
 */
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { isIndependent } from "./independent.ts";
import { addUp, type Tally } from "./tally.ts";

const root = join(import.meta.dir, "../..");
const patterns = process.argv.slice(2);

/**
 * A test that hangs must not hang the run; most take milliseconds, a control plane some seconds.
 */
const TIMEOUT_MS = 120_000;

interface Command {
  readonly name: string;
  readonly command: readonly string[];
}

const bun = process.execPath;
const CHECKS: readonly Command[] = [
  { name: "type check", command: ["node_modules/.bin/tsc", "-p", "tsconfig.json"] },
  {
    name: "format and lint",
    command: ["node_modules/.bin/biome", "check", "--diagnostic-level=warn", "."],
  },
  { name: "build", command: [bun, "build.ts", "--if-stale"] },
];

async function check({ name, command }: Command): Promise<Tally> {
  console.log(`── ${name}`);
  const child = Bun.spawn([...command], { cwd: root, stdio: ["ignore", "inherit", "inherit"] });
  const passed = (await child.exited) === 0;
  return { passed: passed ? 1 : 0, failed: passed ? [] : [name], skipped: 0, reasons: [] };
}

/** One `bun test` over some files; its output passes through. */
async function suite(name: string, files: readonly string[], flags: string[]): Promise<Tally> {
  if (files.length === 0) return { passed: 0, failed: [], skipped: 0, reasons: [] };
  console.log(`── ${name}: ${files.length} files`);
  mkdirSync(join(root, ".cache"), { recursive: true });
  const folder = mkdtempSync(join(root, ".cache/junit-"));
  const report = join(folder, "report.xml");
  const child = Bun.spawn(
    [
      ...[bun, "test", "--only-failures", `--timeout=${TIMEOUT_MS}`, ...flags],
      ...["--reporter=junit", `--reporter-outfile=${report}`],
      ...files.map((file) => `./${file}`),
    ],
    { cwd: root, stdio: ["ignore", "pipe", "pipe"] },
  );
  const [printed, reported, status] = await Promise.all([
    passThrough(child.stdout, process.stdout),
    passThrough(child.stderr, process.stderr),
    child.exited,
  ]);
  let xml = "";
  try {
    xml = readFileSync(report, "utf8");
  } catch {
    // It died before it could write one; addUp counts that as a failure.
  }
  rmSync(folder, { recursive: true });
  return addUp(files, xml, printed + reported, status);
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

const files = [...new Bun.Glob("test/**/*.test.ts").scanSync({ cwd: root })]
  .filter((file) => patterns.length === 0 || patterns.some((pattern) => file.includes(pattern)))
  .sort();
const independent = files.filter(isIndependent);
const rest = files.filter((file) => !independent.includes(file));

const tallies: Tally[] = [];
for (const item of CHECKS) tallies.push(await check(item));
tallies.push(await suite("independent tests", independent, ["--parallel"]));
tallies.push(await suite("kernel, control plane and binary", rest, ["--isolate"]));

const failed = tallies.flatMap((tally) => tally.failed);
for (const reason of new Set(tallies.flatMap((tally) => tally.reasons))) console.log(reason);
for (const name of failed) console.log(`failed: ${name}`);
const passed = tallies.reduce((sum, tally) => sum + tally.passed, 0);
const skipped = tallies.reduce((sum, tally) => sum + tally.skipped, 0);
console.log(`${passed} passed, ${failed.length} failed, ${skipped} skipped`);
process.exitCode = failed.length === 0 ? 0 : 1;
