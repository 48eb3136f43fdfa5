/**
 * Checks that names in documents and comments exist, because files move and identifiers change.
 * Also checks that each source file describes its contents.
 */
import { expect, test } from "bun:test";
import { basename } from "node:path";
import { repositoryFiles, textOf } from "../../harness/repository.ts";

/** It describes the past, with the names of that time. */
const HISTORY = "CHANGELOG.md";

const files = repositoryFiles();
const names = new Set(files.map((path) => basename(path)));

/** A TypeScript file by its name or its path, in prose: `pacer.ts`, `src/sync/pacer.ts`. */
const MENTION = /(?<![\w./*-])(?:[\w-]+\/)*[\w-]+(?:\.[\w-]+)*\.ts\b(?!\w)/g;
const COMMENT = /\/\*[\s\S]*?\*\/|(?<![:"'`\w])\/\/.*$/gm;

/** The prose of a file. */
function proseOf(path: string): string {
  const text = textOf(path);
  if (path.endsWith(".md")) return text;
  return [...text.matchAll(COMMENT)].map(([comment]) => comment).join("\n");
}

/** Whether such a file exists. A path may omit its beginning. */
function exists(mention: string): boolean {
  if (!mention.includes("/")) return names.has(mention);
  return files.some((path) => path === mention || path.endsWith(`/${mention}`));
}

test("every file that documents and comments name exists", () => {
  const prose = files.filter((path) => /\.(?:ts|md)$/.test(path) && path !== HISTORY);
  const mentions = prose.flatMap((path) =>
    [...proseOf(path).matchAll(MENTION)].map(([mention]) => ({ path, mention })),
  );
  expect(mentions.length).toBeGreaterThan(100);
  const lost = mentions.filter(({ mention }) => !exists(mention));
  expect(lost.map(({ path, mention }) => `${path} names ${mention}`)).toEqual([]);
});

/** Code spans with a name that is not in our code. */
const FOREIGN_NAMES = [
  "FIELD", // stands for any field of a kubeconfig
  "SPAN", // in the grammar of the drawings of records
  "shouldEmit", // of Bun's path watcher
  "sockaddr_in6", // of the C library
];

test("identifiers that comments name exist", () => {
  const sources = files.filter((path) => path.endsWith(".ts"));
  const code = sources.map((path) => textOf(path).replaceAll(COMMENT, "")).join("\n");
  const identifiers = new Set([...code.matchAll(/[A-Za-z_$][\w$]*/g)].map(([word]) => word));
  const spans = sources.flatMap((path) =>
    [...proseOf(path).matchAll(/`#?([A-Za-z]\w*(?:\.#?[A-Za-z]\w*)?)(?:\(\))?`/g)].map(
      ([, span = ""]) => ({ path, span }),
    ),
  );
  expect(spans.length).toBeGreaterThan(500);
  const lost = spans
    .filter(({ span }) => !FOREIGN_NAMES.includes(span))
    .filter(({ span }) => span.split(/\.#?/).some((word) => !identifiers.has(word)));
  expect(lost.map(({ path, span }) => `${path} names ${span}`)).toEqual([]);
});

test("every source file begins with a comment that describes it", () => {
  const sources = files.filter((path) => /^(?:src|asm)\/.*(?<!\.d)\.ts$/.test(path));
  expect(sources.length).toBeGreaterThan(200);
  expect(sources.filter((path) => !/^\/[/*]/.test(textOf(path)))).toEqual([]);
});

test("ARCHITECTURE.md describes every folder of src/ and asm/", () => {
  const [, described = ""] =
    /^### The folders of src\/(.*?)^### Where/ms.exec(textOf("ARCHITECTURE.md")) ?? [];
  const folders = new Set(
    files.flatMap((path) => {
      const [root = "", folder = "", file] = path.split("/");
      return /^(?:src|asm)$/.test(root) && file !== undefined ? [folder] : [];
    }),
  );
  expect(folders.size).toBeGreaterThan(20);
  expect([...folders].filter((folder) => !described.includes(`\`${folder}/\``))).toEqual([]);
});
