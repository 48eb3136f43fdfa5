import { expect, test } from "bun:test";
import type { Problem, ProblemEvent } from "../../src/problems/problem.ts";
import { Reports } from "../../src/problems/problem-set.ts";

const FILE = "/etc/sluice/web.yaml:1";

function manifest(field: string, message: string): Problem {
  return { subject: FILE, code: "MANIFEST_INVALID", field, message };
}

function reports() {
  const told: ProblemEvent[][] = [];
  return { told, reports: new Reports((events) => told.push([...events])) };
}

test("news is told, and what stays as it was is not", () => {
  const { told, reports: all } = reports();
  all.set([manifest("a", "one"), manifest("b", "two")]);
  all.set([manifest("a", "one"), manifest("b", "three")]);
  all.set([manifest("a", "one"), manifest("b", "three")]);
  expect(told).toEqual([
    [{ begin: manifest("a", "one") }, { begin: manifest("b", "two") }],
    [{ begin: manifest("b", "three") }],
  ]);
});

test("what is over is told before what begins, and names its field even when that is empty", () => {
  const { told, reports: all } = reports();
  all.set([manifest("", "not YAML")]);
  all.set([manifest("kind", "must be known")]);
  expect(told[1]).toEqual([
    { end: { subject: FILE, code: "MANIFEST_INVALID", field: "" } },
    { begin: manifest("kind", "must be known") },
  ]);
  expect(all.all()).toEqual([manifest("kind", "must be known")]);
});
