import { beforeEach, expect, test } from "bun:test";
import type { Problem, ProblemEvent } from "../../src/problems/problem.ts";
import { ProblemRegistry } from "../../src/problems/problem-registry.ts";

const WEB = "Service default/web";
const output: string[] = [];
const over: string[] = [];
let problems: ProblemRegistry;

beforeEach(() => {
  output.length = 0;
  over.length = 0;
  problems = new ProblemRegistry(
    ({ field, message }) => output.push(`${field} ${message}`),
    ({ field, message }) => over.push(`${field} ${message}`),
  );
});

function taken(field: string, message: string, subject = WEB): Problem {
  return { subject, code: "FRONTEND_TAKEN", field, message };
}

const begin = (problem: Problem): ProblemEvent => ({ begin: problem });
const end = (field?: string): ProblemEvent => ({
  end: { subject: WEB, code: "FRONTEND_TAKEN", ...(field !== undefined && { field }) },
});

test("a problem is announced when it begins and when it changes, not while it lasts", () => {
  problems.report([begin(taken("a", "one"))]);
  problems.report([begin(taken("a", "one"))]);
  problems.report([begin(taken("a", "two"))]);
  expect(output).toEqual(["a one", "a two"]);
  expect(problems.list()).toEqual([taken("a", "two")]);
  expect(problems.list()).toHaveLength(1);
});

test("an end with a field resolves only that problem, also if the field is empty", () => {
  problems.report([begin(taken("a", "one"))]);
  problems.report([begin(taken("b", "two"))]);
  problems.report([begin(taken("", "three"))]);
  problems.report([end("a")]);
  expect(problems.of(WEB)).toEqual([taken("b", "two"), taken("", "three")]);
  problems.report([end("")]);
  expect(problems.of(WEB)).toEqual([taken("b", "two")]);
});

test("an end without a field resolves all problems of the object with that code", () => {
  problems.report([begin(taken("a", "one"))]);
  problems.report([begin(taken("b", "two"))]);
  problems.report([begin({ ...taken("c", "three"), code: "OBJECT_INVALID" })]);
  problems.report([begin(taken("a", "other", "Service default/other"))]);
  problems.report([end()]);
  expect(problems.list().map(({ message }) => message)).toEqual(["three", "other"]);
  expect(problems.list()).toHaveLength(2);
});

test("a problem that ends and begins in one call is announced again only with a new message", () => {
  problems.report([begin(taken("a", "one")), begin(taken("b", "two"))]);
  output.length = 0;
  over.length = 0;
  problems.report([end(), begin(taken("a", "one")), begin(taken("b", "three"))]);
  expect(output).toEqual(["b three"]);
  expect(problems.of(WEB)).toEqual([taken("a", "one"), taken("b", "three")]);
  problems.report([end()]);
  problems.report([begin(taken("a", "one"))]);
  expect(output).toEqual(["b three", "a one"]);
  expect(problems.list()).toHaveLength(1);
});

test("a new list of one code replaces the old one and keeps other codes", () => {
  problems.report([begin(taken("a", "one"))]);
  problems.report([begin(taken("b", "two"))]);
  problems.report([begin({ ...taken("c", "three"), code: "OBJECT_INVALID" })]);
  problems.replace(WEB, "FRONTEND_TAKEN", [taken("b", "two"), taken("d", "four")]);
  expect(problems.of(WEB).map(({ field }) => field)).toEqual(["b", "c", "d"]);
  problems.replace(WEB, "FRONTEND_TAKEN", []);
  problems.replace("Service default/other", "FRONTEND_TAKEN", []);
  expect(problems.list()).toHaveLength(1);
});

test("a resolved problem is announced once; one that ends and begins in one call is not resolved", () => {
  problems.report([begin(taken("a", "one")), begin(taken("b", "two"))]);
  problems.report([end("a"), begin(taken("a", "one"))]);
  expect(over).toEqual([]);
  problems.report([end("a")]);
  problems.report([end("a")]);
  expect(over).toEqual(["a one"]);
  problems.replace(WEB, "FRONTEND_TAKEN", []);
  expect(over).toEqual(["a one", "b two"]);
  expect(problems.list()).toEqual([]);
});
