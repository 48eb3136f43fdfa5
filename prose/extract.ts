/** Finds the prose of a file by its kind. */
import { parseDocument, visit } from "yaml";
import { extractTypeScript } from "./extract-typescript.ts";
import { commentFragment, type Fragment } from "./fragment.ts";

/** Returns undefined for a file without prose that we check. */
export function extractProse(path: string, text: string): Fragment[] | undefined {
  if (path.endsWith(".md")) return [{ line: 1, text, wraps: true }];
  if (path.endsWith(".ts")) {
    return extractTypeScript(text, path.startsWith("test/") ? "test names" : "all");
  }
  if (/\.ya?ml$/.test(path)) return [...hashComments(text), ...yamlTexts(text)];
  if (path.endsWith(".go")) return lineComments(text, /^\s*(\/\/ .*)$/);
  if (path === "deploy/grafana/sluice.json") return dashboardTexts(text);
  if (/\.(?:sh|conf|service|toml|nft)$|^\.ci\/run$/.test(path)) {
    return [...hashComments(text), ...(path.endsWith(".sh") ? shellTexts(text) : [])];
  }
  return undefined;
}

const hashComments = (text: string): Fragment[] => lineComments(text, /^\s*(#(?: .*)?)$/);

/** Comments on lines of their own; lines that follow each other are one fragment. */
function lineComments(text: string, pattern: RegExp): Fragment[] {
  const found: { line: number; last: number; text: string }[] = [];
  text.split("\n").forEach((content, index) => {
    const comment = pattern.exec(content)?.[1];
    if (comment === undefined) return;
    const before = found.at(-1);
    if (before?.last === index) {
      before.text += `\n${comment}`;
      before.last = index + 1;
    } else found.push({ line: index + 1, last: index + 1, text: comment });
  });
  return found.map(({ line, text: comment }) => commentFragment(line, comment));
}

/** Texts that a script prints. */
function shellTexts(text: string): Fragment[] {
  return text.split("\n").flatMap((content, index) => {
    if (!/\b(?:echo|printf|die|fail|skip|warn)\b/.test(content)) return [];
    return [...content.matchAll(/"((?:[^"\\]|\\.)*)"|'([^']*)'/g)].map((match) => ({
      line: index + 1,
      text: (match[1] ?? match[2] ?? "")
        .replace(/\$\{[^}]*\}|\$\([^)]*\)|\$\w+/g, "`substitution`")
        .replace(/\\n/g, "\n\n")
        .replace(/\\(.)/g, "$1"),
      wraps: false,
    }));
  });
}

/** Annotations of alerts, and other texts for people. */
function yamlTexts(text: string): Fragment[] {
  const found: Fragment[] = [];
  const document = parseDocument(text.replace(/^---$/m, ""), { logLevel: "silent" });
  visit(document, {
    Pair: (_, { key, value }) => {
      const name = (key as { value?: unknown } | null)?.value;
      if (!/^(?:summary|description|runbook|message)$/.test(String(name))) return;
      const scalar = value as { value?: unknown; range?: readonly number[] } | null;
      if (typeof scalar?.value !== "string") return;
      const line = text.slice(0, scalar.range?.[0] ?? 0).split("\n").length;
      found.push({ line, text: templatesAsCode(scalar.value), wraps: false });
    },
  });
  return found;
}

function dashboardTexts(text: string): Fragment[] {
  return text.split("\n").flatMap((content, index) => {
    const match = /^\s*"(?:title|description|content|label)": ("(?:[^"\\]|\\.)*")/.exec(content);
    if (match === null) return [];
    return [{ line: index + 1, text: templatesAsCode(JSON.parse(match[1] ?? '""')), wraps: false }];
  });
}

const templatesAsCode = (text: string): string => text.replace(/\{\{[^}]*\}\}/g, "`template`");
