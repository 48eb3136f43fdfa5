import { expect, test } from "bun:test";
import type { Problem, ProblemEvent } from "../../src/problems/problem.ts";
import { ProblemSet } from "../../src/problems/problem-set.ts";

const FILE = "/etc/sluice/web.yaml:1";

function manifest(field: string, message: string): Problem {
  return { subject: FILE, code: "MANIFEST_INVALID", field, message };
}

function problemSet() {
  const reported: ProblemEvent[][] = [];
  return { reported, problems: new ProblemSet((events) => reported.push([...events])) };
}

test("only changes are reported", () => {
  const { reported, problems } = problemSet();
  problems.set([manifest("a", "one"), manifest("b", "two")]);
  problems.set([manifest("a", "one"), manifest("b", "three")]);
  problems.set([manifest("a", "one"), manifest("b", "three")]);
  expect(reported).toEqual([
    [{ begin: manifest("a", "one") }, { begin: manifest("b", "two") }],
    [{ begin: manifest("b", "three") }],
  ]);
});

test("ends are reported before begins, with their field even if it is empty", () => {
  const { reported, problems } = problemSet();
  problems.set([manifest("", "not YAML")]);
  problems.set([manifest("kind", "must be known")]);
  expect(reported[1]).toEqual([
    { end: { subject: FILE, code: "MANIFEST_INVALID", field: "" } },
    { begin: manifest("kind", "must be known") },
  ]);
  expect(problems.all()).toEqual([manifest("kind", "must be known")]);
});

test("a single problem begins at each report, changes, and ends once, without effect on others", () => {
  const { reported, problems } = problemSet();
  problems.set([manifest("a", "one")]);
  problems.begin(manifest("b", "two"));
  problems.begin(manifest("b", "two"));
  problems.begin(manifest("b", "three"));
  expect(problems.all()).toEqual([manifest("a", "one"), manifest("b", "three")]);
  problems.end({ subject: FILE, code: "MANIFEST_INVALID", field: "b" });
  problems.end(manifest("b", "three"));
  expect(problems.size).toBe(1);
  expect(reported.slice(1)).toEqual([
    [{ begin: manifest("b", "two") }],
    [{ begin: manifest("b", "two") }],
    [{ begin: manifest("b", "three") }],
    [{ end: { subject: FILE, code: "MANIFEST_INVALID", field: "b" } }],
  ]);
});
