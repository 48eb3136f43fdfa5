import { expect, test } from "bun:test";
import { repositoryFiles } from "../../harness/repository.ts";
import { EXCLUSIVE_FOLDERS, INDEPENDENT_FILES, INDEPENDENT_FOLDERS } from "./independent.ts";

const tests = repositoryFiles().filter((path) => /^test\/.*\.test\.ts$/.test(path));

test("every folder of tests is either independent or exclusive", () => {
  const folders = new Set(tests.map((path) => path.split("/")[1] ?? ""));
  expect([...INDEPENDENT_FOLDERS, ...EXCLUSIVE_FOLDERS].sort()).toEqual([...folders].sort());
});

test("every independent file exists, in an exclusive folder", () => {
  const wrong = INDEPENDENT_FILES.filter((path) => {
    const [, folder = ""] = path.split("/");
    return !tests.includes(path) || !EXCLUSIVE_FOLDERS.includes(folder);
  });
  expect(wrong).toEqual([]);
});
