import { describe, expect, test } from "bun:test";
import { repositoryFiles, textOf } from "../../harness/repository.ts";

interface Ban {
  readonly name: string;
  readonly pattern: RegExp;
  readonly because: string;
}

/** Put together from pieces, so that this file does not contain what it looks for. */
const word = (...pieces: string[]): string => pieces.join("");

const BANNED: readonly Ban[] = [
  {
    name: "host of a package registry",
    pattern: new RegExp(
      [
        word("registry\\.npm", "js\\.org"),
        word("npm", "js\\.com"),
        word("proxy\\.go", "lang\\.org"),
        word("registry\\.k8s", "\\.io"),
        word("docker", "\\.io"),
        word("\\bg", "cr\\.io"),
        word("\\bgh", "cr\\.io"),
        word("quay", "\\.io"),
        word("deb\\.deb", "ian\\.org"),
      ].join("|"),
    ),
    because: "which registry is used is the machine's business",
  },
  {
    name: "open task without an issue",
    pattern: new RegExp(`\\b(?:${word("TO", "DO")}|${word("FIX", "ME")}|X{3})\\b(?!\\(#\\d+\\))`),
    because: "what is to be done belongs where it can be closed",
  },
  {
    name: "spread of an object literal",
    pattern: /\.{3}\{/,
    because: "the compiler does not report a misspelt property in it",
  },
  {
    name: "path of one machine",
    pattern: new RegExp(
      `(?<![\\w.\\-/])/(?:${word("ho", "me")}|${word("ro", "ot")}|${word("Us", "ers")}|${word("wo", "rk")}|var/${word("t", "mp")})/`,
    ),
    because: "it does not exist elsewhere",
  },
];

/** Checksums, where any word can occur by chance. */
const CHECKSUMS = /(^|\/)(go\.sum|package-lock\.json)$/;

describe("words that do not belong here", () => {
  const texts = repositoryFiles().map((path) => [path, textOf(path)] as const);

  test.each(BANNED)("$name", ({ pattern, because, name }) => {
    const found: string[] = [];
    for (const [path, text] of texts) {
      if (CHECKSUMS.test(path) && name !== BANNED[0]?.name) continue;
      text.split("\n").forEach((line, index) => {
        const match = pattern.exec(line);
        if (match !== null) found.push(`${path}:${index + 1}: ${match[0]}: ${because}`);
      });
    }
    expect(found).toEqual([]);
  });
});
