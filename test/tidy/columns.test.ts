/** Prose is wrapped at 100 columns, as .editorconfig says; Biome wraps code, but no comments. */
import { expect, test } from "bun:test";
import { repositoryFiles, textOf } from "../../harness/repository.ts";

const COLUMNS = 100;
const COMMENT = /^\s*(?:\/\/|\/?\*)/;
/** A line that cannot be cut: an address, or a word to the linter. */
const WHOLE = /https?:\/\/|biome-ignore/;

/** Lines of prose that are too long. */
function longLines(path: string, isProse: (line: string) => boolean): string[] {
  return textOf(path)
    .split("\n")
    .flatMap((line, index) =>
      line.length > COLUMNS && isProse(line) && !WHOLE.test(line) ? [`${path}:${index + 1}`] : [],
    );
}

const sources = repositoryFiles().filter((path) =>
  /^(?:src|asm|harness|bench|demo|build|scripts)\/.*\.ts$/.test(path),
);

test("comments", () => {
  expect(sources.length).toBeGreaterThan(300);
  expect(sources.flatMap((path) => longLines(path, (line) => COMMENT.test(line)))).toEqual([]);
});

const documents = ["ARCHITECTURE.md", "CONTRIBUTING.md", "SECURITY.md", "test/README.md"];

test.each(documents)("paragraphs of %s", (path) => {
  const fences = textOf(path).split(/^```.*$/m);
  // Every second piece is between fences, and no prose.
  const prose = fences
    .filter((_, index) => index % 2 === 0)
    .join("\n")
    .split("\n");
  const long = prose.filter((line) => line.length > COLUMNS && !/^(?:\||\s{4}|#)/.test(line));
  expect(long).toEqual([]);
});
