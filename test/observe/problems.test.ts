import { beforeEach, expect, test } from "bun:test";
import { Problems } from "../../src/observe/problems.ts";
import type { Problem } from "../../src/types.ts";

const WEB = "Service default/web";
const said: string[] = [];
let problems: Problems;

beforeEach(() => {
  said.length = 0;
  problems = new Problems(({ field, message }) => said.push(`${field} ${message}`));
});

function taken(field: string, message: string, subject = WEB): Problem {
  return { subject, code: "FRONTEND_TAKEN", field, message };
}

test("a problem is said when it begins and when it changes, not when it lasts", () => {
  problems.report(taken("a", "one"));
  problems.report(taken("a", "one"));
  problems.report(taken("a", "two"));
  expect(said).toEqual(["a one", "a two"]);
  expect(problems.list()).toEqual([taken("a", "two")]);
  expect(problems.count).toBe(1);
});

test("an empty message ends the problem of its field", () => {
  problems.report(taken("a", "one"));
  problems.report(taken("b", "two"));
  problems.report(taken("a", ""));
  expect(problems.of(WEB)).toEqual([taken("b", "two")]);
});

test("without a field it ends all problems of the object with that code", () => {
  problems.report(taken("a", "one"));
  problems.report(taken("b", "two"));
  problems.report({ ...taken("c", "three"), code: "OBJECT_INVALID" });
  problems.report(taken("a", "other", "Service default/other"));
  problems.report(taken("", ""));
  expect(problems.list().map(({ message }) => message)).toEqual(["three", "other"]);
  expect(problems.count).toBe(2);
});

test("a new list of one code replaces the old one, and leaves other codes", () => {
  problems.report(taken("a", "one"));
  problems.report(taken("b", "two"));
  problems.report({ ...taken("c", "three"), code: "OBJECT_INVALID" });
  problems.replace(WEB, "FRONTEND_TAKEN", [taken("b", "two"), taken("d", "four")]);
  expect(problems.of(WEB).map(({ field }) => field)).toEqual(["b", "c", "d"]);
  problems.replace(WEB, "FRONTEND_TAKEN", []);
  problems.replace("Service default/other", "FRONTEND_TAKEN", []);
  expect(problems.count).toBe(1);
});
