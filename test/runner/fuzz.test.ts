import { describe, expect, test } from "bun:test";
import { repositoryFiles, textOf } from "../../harness/repository.ts";
import { propertiesIn, testFiles } from "./fuzz.ts";

const properties = propertiesIn(testFiles());
const ids = properties.map(({ id }) => id);

describe("properties", () => {
  test("are found in their files", () => {
    expect(properties).toContainEqual({
      id: "sync-history",
      file: "test/property/history.test.ts",
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
