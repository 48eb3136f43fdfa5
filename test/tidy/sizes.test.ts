import { expect, test } from "bun:test";
import { sourcesIn, textOf } from "./files.ts";

/** Lines. Longer files hold two ideas. */
const LIMIT = 400;

/** Files that may be longer, each with its reason. */
const EXCEPTIONS: Readonly<Record<string, string>> = {};

const lengths = [...sourcesIn("src"), ...sourcesIn("asm")].map(
  (path) => [path, textOf(path).split("\n").length - 1] as const,
);

test(`no source file is longer than ${LIMIT} lines without a reason`, () => {
  const long = lengths.filter(([path, lines]) => lines > LIMIT && EXCEPTIONS[path] === undefined);
  expect(long).toEqual([]);
});

test("every exception is still needed", () => {
  const needed = new Map(lengths.filter(([, lines]) => lines > LIMIT));
  expect(Object.keys(EXCEPTIONS).filter((path) => !needed.has(path))).toEqual([]);
});
