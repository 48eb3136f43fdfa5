import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { causeOf } from "../../src/base/errors.ts";

test("the cause of a failed file operation omits operation and path", async () => {
  const absent = "no such file or directory (ENOENT)";
  expect(causeOf(await readFile("/nowhere/a, b").catch((error) => error))).toBe(absent);
  expect(causeOf(failure(() => readFileSync("/nowhere/it's")))).toBe(absent);
  expect(causeOf(await readFile("/").catch((error) => error))).toMatch(/^[a-z ]+ \(EISDIR\)$/);
});

test("any other cause is its message", () => {
  expect(causeOf(new Error("ENOENT: nothing"))).toBe("ENOENT: nothing");
  expect(causeOf("a text")).toBe("a text");
});

function failure(run: () => unknown): unknown {
  try {
    return run();
  } catch (error) {
    return error;
  }
}
