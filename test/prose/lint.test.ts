/** prose/lint.ts as a program, with each kind of argument. */
import { describe, expect, test } from "bun:test";
import { join } from "node:path";
import { ROOT } from "../../harness/repository.ts";

function lint(args: readonly string[], cwd = ROOT) {
  const { exitCode, stdout, stderr } = Bun.spawnSync(
    [process.execPath, join(ROOT, "prose/lint.ts"), ...args],
    { cwd },
  );
  return { exitCode, stdout: stdout.toString(), stderr: stderr.toString() };
}

const CLEAN = { exitCode: 0, stdout: "prose: files: 1, findings: 0\n", stderr: "" };

describe("the prose linter", () => {
  test.each([["README.md"], ["./README.md"], [join(ROOT, "README.md")]])("checks %s", (path) => {
    expect(lint([path])).toEqual(CLEAN);
  });

  test("resolves paths against the working directory", () => {
    expect(lint(["words.ts"], join(ROOT, "prose"))).toEqual(CLEAN);
  });

  test("checks all files of a folder", () => {
    const { exitCode, stdout } = lint([`${join(ROOT, "docs")}/`]);
    expect(stdout).toMatch(/^prose: files: ([2-9]|\d\d+), findings: 0\n$/);
    expect(exitCode).toBe(0);
  });

  test.each(["nosuch.md", "/nowhere/nosuch.md", "docs/nosuch/"])("refuses %s", (path) => {
    expect(lint(["README.md", path])).toEqual({
      exitCode: 2,
      stdout: "",
      stderr: `prose: no file matches ${path} (see --help)\n`,
    });
  });

  test("refuses an unknown option in one line", () => {
    const { exitCode, stderr } = lint(["--helf"]);
    expect(stderr).toMatch(/^prose: [^\n]*--helf[^\n]* \(see --help\)\n$/);
    expect(exitCode).toBe(2);
  });

  test("prints its usage", () => {
    const { exitCode, stdout } = lint(["--help"]);
    expect(stdout).toStartWith("usage: bun prose/lint.ts [PATH ...]\n");
    expect(exitCode).toBe(0);
  });
});
