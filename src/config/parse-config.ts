/** Parses the text of a configuration file, and finds duplicate keys. */
import { messageOf, SluiceError } from "../base/errors.ts";

/** A file as plain values of any type. `decodeDocument` checks them. */
export interface ParsedFile {
  readonly value: unknown;
  /** Paths of keys that occur more than once in their mapping. The last one counts. */
  readonly duplicates: readonly string[];
}

/**
 * Parses YAML or JSON. The YAML library is loaded only for YAML.
 * @throws SluiceError CONFIG_INVALID with line and column
 */
export async function parseConfigText(text: string, file: string): Promise<ParsedFile> {
  return text.trimStart().startsWith("{") ? parseJson(text, file) : await parseYaml(text, file);
}

function parseJson(text: string, file: string): ParsedFile {
  try {
    return { value: JSON.parse(text), duplicates: duplicateJsonKeys(text) };
  } catch (error) {
    throw invalid(file, "JSON", messageOf(error).replace(/^JSON Parse error: /, ""));
  }
}

/** Finds duplicate keys in text that is known to be valid JSON. */
function duplicateJsonKeys(text: string): string[] {
  const duplicates: string[] = [];
  const open: { seen: Set<string>; key: string }[] = [];
  for (const [token] of text.matchAll(/"(?:[^"\\]|\\.)*"(?:\s*:)?|[{}[\]]/gs)) {
    const scope = open.at(-1);
    if (token === "{" || token === "[") open.push({ seen: new Set(), key: "" });
    else if (token === "}" || token === "]") open.pop();
    else if (token.endsWith(":") && scope) {
      scope.key = JSON.parse(token.slice(0, -1));
      const path = open.flatMap(({ key }) => (key === "" ? [] : [key])).join(".");
      if (scope.seen.has(scope.key)) duplicates.push(path);
      scope.seen.add(scope.key);
    }
  }
  return duplicates;
}

async function parseYaml(text: string, file: string): Promise<ParsedFile> {
  const { isMap, isScalar, LineCounter, parseAllDocuments } = await import("yaml");
  const lineCounter = new LineCounter();
  // Version 1.1 as in Go's library: `yes` and `on` are booleans. Only the first document is read,
  // as upstream.
  const documents = parseAllDocuments(text, { version: "1.1", uniqueKeys: false, lineCounter });
  const first = Array.isArray(documents) ? documents[0] : undefined;
  if (!first) return { value: undefined, duplicates: [] };
  const [error] = first.errors;
  if (error) throw invalid(file, "YAML", error.message);
  const duplicates: string[] = [];
  const walk = (node: unknown, path: string): void => {
    if (!isMap(node)) return;
    const seen = new Set<string>();
    for (const { key, value } of node.items) {
      const name = String(isScalar(key) ? key.value : key);
      const inner = path === "" ? name : `${path}.${name}`;
      if (seen.has(name)) duplicates.push(inner);
      seen.add(name);
      walk(value, inner);
    }
  };
  walk(first.contents, "");
  try {
    return { value: first.toJS(), duplicates };
  } catch (error) {
    throw invalid(file, "YAML", messageOf(error));
  }
}

function invalid(file: string, language: string, what: string): SluiceError {
  return new SluiceError(
    "CONFIG_INVALID",
    `parse ${file}: invalid ${language}: ${firstLine(what)}`,
    file,
  );
}

/** Returns the first line, without the colon that introduces an excerpt of the file. */
function firstLine(text: string): string {
  return text.split("\n", 1).join("").replace(/:$/, "");
}
