/** Prose is wrapped at 100 columns, as .editorconfig says; Biome wraps code, but no comments. */
import { describe, expect, test } from "bun:test";
import { repositoryFiles, textOf } from "../../harness/repository.ts";

const COLUMNS = 100;

/** A line that cannot be cut: an address, a word to a linter, a single word, or a command. */
const WHOLE = new RegExp(
  [
    /https?:\/\/|biome-ignore|shellcheck/,
    /^\s*(?:\/\/|\/?\*+|#|[-*]|\d+\.)?\s*\S+$/,
    /^\s*(?:\/\/|\*|#)\s{3,}/,
  ]
    .map(({ source }) => source)
    .join("|"),
);

/** The lines of prose that are too long, as `path:line`. */
function longLines(path: string, text: string, isProse: (line: string) => boolean): string[] {
  return text
    .split("\n")
    .flatMap((line, index) =>
      line.length > COLUMNS && isProse(line) && !WHOLE.test(line) ? [`${path}:${index + 1}`] : [],
    );
}

/** A comment, by the ending of a file's name. */
const COMMENTS: readonly (readonly [files: RegExp, comment: RegExp])[] = [
  [/\.(?:ts|go)$/, /^\s*(?:\/\/|\/\*|\*(?:\s|\/|$))/],
  [/\.(?:sh|ya?ml|conf|service|toml|nft)$|^\.ci\/run$|^\.editorconfig$/, /^\s*#/],
];

function longComments(path: string, text: string): string[] {
  const [, comment] = COMMENTS.find(([files]) => files.test(path)) ?? [];
  return comment === undefined ? [] : longLines(path, text, (line) => comment.test(line));
}

/** Tables, titles and indented code may be longer, and a link counts as its text. */
function longParagraphs(path: string, text: string): string[] {
  // Every second piece is code between fences. Its lines stay empty, so that numbers are right.
  const prose = text
    .split(/^\s*```.*$/m)
    .map((piece, index) => (index % 2 === 0 ? piece : piece.replace(/.+/g, "")))
    .join("```")
    .replace(/\]\([^)\s]*\)/g, "]");
  return longLines(path, prose, (line) => !/^(?:\s*\||\s{4}(?!(?:[-*]|\d+\.)\s)|#|<)/.test(line));
}

const files = repositoryFiles();

test("comments", () => {
  const checked = files.filter((path) => COMMENTS.some(([name]) => name.test(path)));
  expect(checked.length).toBeGreaterThan(600);
  expect(checked.flatMap((path) => longComments(path, textOf(path)))).toEqual([]);
});

test.each(files.filter((path) => path.endsWith(".md")))("paragraphs of %s", (path) => {
  expect(longParagraphs(path, textOf(path))).toEqual([]);
});

describe("the checks themselves", () => {
  const long = "word ".repeat(21);

  test.each([
    ["a.ts", `// ${long}`],
    ["a.ts", `  /** ${long}`],
    ["a.ts", `   * ${long}`],
    ["a.go", `\t// ${long}`],
    ["a.sh", `# ${long}`],
    ["a.yaml", `  # ${long}`],
  ])("a long comment in %s: %s", (path, text) => {
    expect(longComments(path, `\n${text}\n`)).toEqual([`${path}:2`]);
  });

  test.each([
    ["a.ts", `const a = "${long}";`],
    ["a.ts", `// https://kubernetes.io/docs/ ${long}`],
    ["a.ts", `// biome-ignore lint/a/b: ${long}`],
    ["a.sh", `echo ${long}`],
    ["a.json", `# ${long}`],
    ["a.yaml", `#   kubectl ${long}`],
    ["a.ts", `*"${long}"`],
    ["a.yaml", `# ${"x".repeat(120)}`],
  ])("no long comment in %s: %s", (path, text) => {
    expect(longComments(path, text)).toEqual([]);
  });

  test.each([long, `- ${long}`, `  ${long}`, `> ${long}`, `\`\`\`\nx\n\`\`\`\n${long}`])(
    "a long paragraph: %s",
    (text) => {
      expect(longParagraphs("a.md", text)).toHaveLength(1);
    },
  );

  test.each([
    `| ${long} |`,
    `# ${long}`,
    `    ${long}`,
    `    -A ${long}`,
    `\`\`\`\n${long}\n\`\`\``,
    `[word](${"x".repeat(120)}) word`,
  ])("no long paragraph: %s", (text) => {
    expect(longParagraphs("a.md", text)).toEqual([]);
  });
});
