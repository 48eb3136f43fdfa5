import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { describeCause, SluiceError, withCode, withHint } from "../../src/base/errors.ts";

test("the cause of a failed file operation omits operation and path", async () => {
  const absent = "no such file or directory (ENOENT)";
  expect(describeCause(await readFile("/nowhere/a, b").catch((error) => error))).toBe(absent);
  expect(describeCause(failure(() => readFileSync("/nowhere/it's")))).toBe(absent);
  expect(describeCause(await readFile("/").catch((error) => error))).toMatch(
    /^[a-z ]+ \(EISDIR\)$/,
  );
});

test("any other cause is its message", () => {
  expect(describeCause(new Error("ENOENT: nothing"))).toBe("ENOENT: nothing");
  expect(describeCause("a text")).toBe("a text");
});

test("an error for a terminal ends with its code, if it has one", () => {
  const error = new SluiceError("TABLE_FOREIGN", "adopt table x: another program owns it");
  expect(withCode(error)).toBe("adopt table x: another program owns it (code TABLE_FOREIGN)");
  expect(withCode(new Error("a defect"))).toBe("a defect");
});

test("a hint joins the parentheses at the end of a message", () => {
  expect(withHint("listen a: b", "retrying")).toBe("listen a: b (retrying)");
  expect(withHint("list a: b (c)", "do d")).toBe("list a: b (c; do d)");
});

function failure(run: () => unknown): unknown {
  try {
    return run();
  } catch (error) {
    return error;
  }
}
