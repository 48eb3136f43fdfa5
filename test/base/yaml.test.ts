import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { printYamlFault, readYaml } from "../../src/base/yaml.ts";

interface Reading {
  readonly yaml: string;
  readonly json?: unknown;
  readonly duplicate?: boolean;
}

/** Made by Go's own code: test/fixtures/yaml/generate.go. */
const file = join(import.meta.dir, "../fixtures/yaml/readings.json");
const readings = JSON.parse(readFileSync(file, "utf8")) as Reading[];

/** Where the parser or a JSON file differs from Go's library. */
const DIFFERENCES = new Set([
  '{"a": "\\/"}', // valid JSON
  "a: 'b'#c\n", // refused here
  "a: \u0085b\n", // refused here
  "a: !!null x\n", // strings here
  "a: !!int x\n",
  "a: !!bool\n",
]);

/** The document as JSON would have it; undefined if it is refused. */
async function read(text: string) {
  const [{ value, fault, duplicates }] = await readYaml(text);
  return { json: fault === undefined ? (value ?? null) : undefined, duplicates };
}

const compared = readings
  .filter(({ yaml }) => !DIFFERENCES.has(yaml))
  .map((reading) => [reading.yaml, reading] as const);

test.each(compared)("%j is read as by Kubernetes", async (yaml, { json, duplicate = false }) => {
  const ours = await read(yaml);
  expect(ours.json).toEqual(json);
  expect(ours.duplicates.length > 0).toBe(duplicate);
});

test.each([
  ["a: 1\na: 2", ["a"]],
  ["a: {b: 1, b: 2}", ["a.b"]],
  ["a: [{b: 1, b: 2}]", ["a.b"]],
  ['{"a": [{"b": 1, "b": 2}]}', ["a.b"]],
  ["yes: 1\ntrue: 2", ["true"]],
])("names the duplicate keys of %j", async (text, paths) => {
  expect((await read(text)).duplicates).toEqual(paths);
});

test.each([
  ["a: 1\nb: [", "Flow sequence in block collection must be sufficiently indented", 2, 5],
  ["a: 1\nb: {null: 1}", "a key must be a string, a number or a boolean", 2, 5],
  ["a: &x [*x]", "a value contains itself", 1, 8],
  ["a:\n  <<: 1", "a merge needs a mapping", 2, 7],
  ["a: 1\nb: \u0007", "the text has a control character", 2, 4],
])("names the position of a fault in %j", async (text, message, line, column) => {
  const [{ fault }] = await readYaml(text);
  expect(fault && printYamlFault(fault)).toStartWith(message);
  expect(fault).toMatchObject({ line, column });
});

test("texts that grow by aliases are refused", async () => {
  const lists = Array.from({ length: 12 }, (_, i) => {
    const names = Array.from({ length: 10 }, () => `*x${i}`);
    return `x${i + 1}: &x${i + 1} [${names}]`;
  });
  const [{ fault }] = await readYaml(["x0: &x0 1", ...lists].join("\n"));
  expect(fault?.message).toBe("aliases repeat too much");
});

test("each document has its own values, lines and fault", async () => {
  const documents = await readYaml("a: 1\n---\nb:\n  - c\n---\nd: [\n");
  expect(documents.map(({ value }) => value)).toEqual([{ a: 1 }, { b: ["c"] }, undefined]);
  expect(documents[1]?.lineOf([])).toBe(3);
  expect(documents[1]?.lineOf(["b", 0])).toBe(4);
  expect(documents[2]?.fault?.syntax).toBe(true);
});
