import { describe, expect, test } from "bun:test";
import { repositoryFiles, textOf } from "../../harness/repository.ts";
import { describeFuzz, type Property, propertiesIn, selectProperties, testFiles } from "./fuzz.ts";

const properties = propertiesIn(testFiles());
const ids = properties.map(({ id }) => id);

describe("properties", () => {
  test("are found in their files", () => {
    expect(properties).toContainEqual({
      id: "sync-history",
      file: "test/property/history.test.ts",
      variants: 1,
    });
    expect(properties).toContainEqual({
      id: "heap-blocks",
      file: "test/asm/heap.test.ts",
      variants: 2,
    });
    expect(ids.length).toBeGreaterThan(30);
  });

  test("have an id of their own, which is the name of a file", () => {
    expect(ids.filter((id, index) => ids.indexOf(id) !== index)).toEqual([]);
    for (const id of ids) expect(id).toMatch(/^[a-z0-9]+(-[a-z0-9]+)*$/);
  });

  test("are all checked by assertProperty, so that a fuzz finds them", () => {
    const others = testFiles().filter((path) => /\bfc\s*\.\s*(assert|check)\(/.test(textOf(path)));
    expect(others.filter((path) => !path.startsWith("test/runner/"))).toEqual([]);
  });

  test("exist for every file of the corpus", () => {
    const names = repositoryFiles().flatMap((path) => {
      const [, name] = /^test\/property\/corpus\/(.+)\.json$/.exec(path) ?? [];
      return name === undefined ? [] : [name];
    });
    for (const name of names) expect(ids).toContain(name);
  });
});

describe("a pattern", () => {
  const idsOf = (patterns: readonly string[]): string[] =>
    selectProperties(properties, patterns).map(({ id }) => id);

  test("that is an id selects only this property, so that a printed replay works", () => {
    for (const id of ids) expect(idsOf([id])).toEqual([id]);
  });

  test.each([
    ["a part of ids", "address-tex", ["core-address-text", "address-text"]],
    ["a part of a file", "net/cidr", ["cidr-prefix", "cidr-disjoint"]],
    ["nothing that exists", "nosuchthing", []],
  ])("that is %s selects by substring", (_, pattern, expected) => {
    expect(idsOf([pattern])).toEqual(expected);
  });

  test("joins others", () => {
    expect(idsOf(["net/cidr", "address-text"]).sort()).toEqual([
      "address-text",
      "cidr-disjoint",
      "cidr-prefix",
    ]);
    expect(idsOf([])).toEqual(ids);
  });
});

test.each([
  [5, "fuzz: properties: 2, runs: 3 of 5 s, about 15 s, seed 7"],
  [30, "fuzz: properties: 2, runs: 3 of 30 s, about 2 min, seed 7"],
])("with %i s each, the first line tells the time of all variants", (seconds, expected) => {
  const two: Property[] = [
    { id: "one", file: "x", variants: 1 },
    { id: "two", file: "x", variants: 2 },
  ];
  expect(describeFuzz(two, { seconds, seed: 7 })).toBe(expected);
});
