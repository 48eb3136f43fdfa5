import { describe, expect, test } from "bun:test";
import { extractProse } from "../../prose/extract.ts";

/** Lines and texts of the fragments. */
const fragments = (path: string, text: string): string[] =>
  (extractProse(path, text) ?? []).map(({ line, text }) => `${line} ${text.trim()}`);

describe("TypeScript", () => {
  test("comments", () => {
    const text = [
      "/**",
      " * Returns a port.",
      " * @param port the number",
      " */",
      "const a = 1; // after code",
      "// first line",
      "// second line",
      "  // of another block",
      "// biome-ignore lint/x: why",
    ].join("\n");
    expect(fragments("src/a.ts", text)).toEqual([
      "1 Returns a port.\n- the number",
      "5 after code",
      "6 first line\nsecond line",
      "8 of another block",
      "9 ",
    ]);
  });

  test("strings of three words and more", () => {
    const text = [
      'log.info("Rules are written");',
      'const a = "one two";',
      `throw new Error(\`cannot read \${path("a b c d")} again: \${\`in \${x} here\`} it failed\`);`,
      'const b = "a first part " +',
      '  "and a second";',
      "const c = /not a comment/ // but this",
      'const d = e / 2; // and "this" // one',
      'const f = "one line here\\nand another \\"line\\"";',
    ].join("\n");
    expect(fragments("src/a.ts", text)).toEqual([
      "1 Rules are written",
      "3 cannot read `substitution` again: `substitution` it failed",
      "4 a first part and a second",
      "6 but this",
      '7 and "this" // one',
      '8 one line here\n\nand another "line"',
    ]);
  });

  test("tables without frame, and usages", () => {
    const text = [
      "/*",
      " * Reads a file.",
      " *",
      " * usage: bun lint.ts FILE",
      " *                    [--more OPTIONS]",
      " *",
      " *   FILE   the path",
      " */",
    ].join("\n");
    expect(fragments("src/a.ts", text)).toEqual(["1 Reads a file.\n\n\n\n\n- FILE   the path"]);
  });

  test("of the strings in tests, only names and the first of each row", () => {
    const text = [
      'describe("name of a group", () => {',
      '  test.each([["name of a row", "not this string here"], [{ name: "a row as object" }]])("a table of %s", () => {',
      '    expect(render()).toBe("not this one either");',
      "  });",
      "});",
    ].join("\n");
    expect(fragments("test/a.test.ts", text)).toEqual([
      "1 name of a group",
      "2 name of a row",
      "2 a row as object",
      "2 a table of %s",
    ]);
  });
});

test("comments and texts of a shell script", () => {
  const text = `#!/bin/sh\n# First line\n# second line\nset -e\n  echo "read $file: \${x} failed"\n`;
  expect(fragments("deploy/a.sh", text)).toEqual([
    "2 First line\nsecond line",
    "5 read `substitution`: `substitution` failed",
  ]);
});

test("comments and annotations of alerts", () => {
  const text =
    "# A comment\nrules:\n  - alert: X\n    annotations:\n      summary: Pod {{ $labels.pod }} waits\n      runbook: >-\n        Two\n        lines\n";
  expect(fragments("deploy/alerts.yaml", text)).toEqual([
    "1 A comment",
    "5 Pod `template` waits",
    "6 Two lines",
  ]);
});

test("titles and texts of the dashboard", () => {
  const text = '{\n  "title": "A \\"title\\"",\n  "expr": "not this"\n}\n';
  expect(fragments("deploy/grafana/sluice.json", text)).toEqual(['2 A "title"']);
});

test("comments of Go, services and settings", () => {
  expect(fragments("a.go", "// One\n// two\nx := 1\n")).toEqual(["1 One\ntwo"]);
  expect(fragments("a.service", "# One\n[Unit]\n")).toEqual(["1 One"]);
});

test("other files have no prose", () => {
  expect(extractProse("go.sum", "x")).toBeUndefined();
  expect(extractProse("package.json", "{}")).toBeUndefined();
});
