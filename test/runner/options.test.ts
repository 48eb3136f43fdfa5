/** --help and wrong arguments of the scripts that npm starts, in a folder without set-up. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { cpSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ROOT, textOf } from "../../harness/repository.ts";
import { STAGES } from "./stages.ts";

const SCRIPTS = ["test/run.sh", "test/fuzz.sh", "bench/run.sh"];

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "sluice-options-"));
  for (const path of [...SCRIPTS, "scripts/options.sh"])
    cpSync(join(ROOT, path), join(folder, path));
  writeFileSync(join(folder, "scripts/setup.sh"), "#!/bin/sh\necho set-up\nexit 1\n", {
    mode: 0o755,
  });
});
afterAll(() => rmSync(folder, { recursive: true }));

function run(command: readonly string[], cwd = folder) {
  const { exitCode, stdout, stderr } = Bun.spawnSync([...command], { cwd });
  return { exitCode, stdout: stdout.toString(), stderr: stderr.toString() };
}

describe.each(SCRIPTS)("%s", (script) => {
  test.each(["--help", "-h"])("prints its usage for %s", (option) => {
    const { exitCode, stdout, stderr } = run(["bash", script, option]);
    expect(stdout).toMatch(/^usage: npm (run |test)/);
    expect(stdout).toMatch(/^ {2}--help +print this$/m);
    expect(stdout).not.toContain("set-up\n");
    expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: "" });
  });

  test("refuses an unknown option in one line", () => {
    const { exitCode, stdout, stderr } = run(["bash", script, "--helf=1"]);
    expect(stderr).toMatch(/^[a-z ]+: unknown option "--helf=1" \(see --help\)\n$/);
    expect({ exitCode, stdout }).toEqual({ exitCode: 2, stdout: "" });
  });
});

test.each([
  ["test/run.sh", ["--stage", "unit", "--stage=kernel", "plan"]],
  ["test/fuzz.sh", ["--seconds=5", "--list", "--path", "3:0"]],
  ["bench/run.sh", ["--only-upstream", "--sizes", "100", "--runs=2"]],
])("%s accepts %j", (script, args) => {
  expect(run(["bash", script, ...args]).stdout).toContain("set-up\n");
});

test.each([[["--stage", "unti"]], [["--stage=unti"]]])("a stage is refused by %j", (args) => {
  expect(run(["bash", "test/run.sh", ...args])).toEqual({
    exitCode: 2,
    stdout: "",
    stderr: 'npm test: unknown stage "unti" (see --help)\n',
  });
});

test("the usage of npm test lists every stage with its needs", () => {
  const [, list = ""] = run(["bash", "test/run.sh", "--help"]).stdout.split("in their order:\n\n");
  const listed = list.split("\n\n")[0]?.split("\n") ?? [];
  expect(listed.map((line) => line.trim().split(" ")[0])).toEqual(STAGES.map(({ name }) => name));
  for (const [index, { needs }] of STAGES.entries()) {
    const [, needed] = /; needs (.+)$/.exec(listed[index] ?? "") ?? [];
    expect(needed?.split(", ") ?? []).toEqual([...needs]);
  }
});

test("the usage of the benchmark lists every option", () => {
  const [, options = ""] = /const OPTIONS = \{(.*?)\n\}/s.exec(textOf("bench/main.ts")) ?? [];
  const names = [...options.matchAll(/^ {2}"?([a-z-]+)"?:/gm)].map(([, name]) => name);
  expect(names.length).toBeGreaterThan(10);
  const usage = run(["bash", "bench/run.sh", "--help"]).stdout;
  for (const name of names) expect(usage).toMatch(new RegExp(`^  --${name} `, "m"));
});

test.each([
  ["test/runner/run.ts", ["nosuchthing"], "npm test: no test file contains nosuchthing"],
  ["test/runner/fuzz.ts", ["nosuchthing"], "fuzz: no property contains nosuchthing"],
  [
    "bench/main.ts",
    ["--sizes=10,many"],
    'bench: --sizes: invalid value "10,many": must be numbers above 0, separated by commas',
  ],
  ["bench/main.ts", ["--runs=0"], 'bench: --runs: invalid value "0": must be a number above 0'],
])("%s prints a wrong argument in one line", (script, args, expected) => {
  const { exitCode, stdout, stderr } = run([process.execPath, script, ...args], ROOT);
  expect(stderr).toBe(`${expected} (see --help)\n`);
  expect({ exitCode, stdout }).toEqual({ exitCode: 2, stdout: "" });
});
