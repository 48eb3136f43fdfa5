import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { FILE, withTables } from "../../scripts/configuration-docs.ts";
import { decodeDocument } from "../../src/config/decode-config.ts";
import { parseConfigText } from "../../src/config/parse-config.ts";

const text = readFileSync(FILE, "utf8");

test("the tables match the program (npx bun scripts/configuration-docs.ts writes them)", () => {
  expect(text).toBe(withTables(text));
});

test("a text without the marks of a table is an error", () => {
  expect(() => withTables("# Configuration\n")).toThrow("no marks of fields");
});

describe("an example in the text", () => {
  const examples = [...text.matchAll(/```yaml\n(.*?)```/gs)].map(([, body]) => body ?? "");
  test.each(examples)("is valid: %s", async (body) => {
    const { faults, unknown } = decodeDocument((await parseConfigText(body, "example")).value);
    expect([faults, unknown]).toEqual([[], []]);
  });
});
