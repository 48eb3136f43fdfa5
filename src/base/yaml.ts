/**
 * Reads YAML and JSON as Kubernetes does (sigs.k8s.io/yaml): `yes` and `on` are booleans. Times and
 * numbers with colons are strings. The last of several equal keys counts.
 */
import type { Document } from "yaml";
import { messageOf } from "./errors.ts";
import { duplicateJsonKeys } from "./json.ts";

/** One document of a text. */
export interface YamlDocument {
  /** Plain values of any type. Undefined if there is a fault. */
  readonly value: unknown;
  readonly fault?: YamlFault;
  /** Paths of keys that occur more than once in their mapping, without positions in lists. */
  readonly duplicates: readonly string[];
  /** Returns the line, from 1, of the value at this path. */
  lineOf(path: readonly (string | number)[]): number;
}

export interface YamlFault {
  /** True if the text is not YAML; false if a value has no JSON form. */
  readonly syntax: boolean;
  /** One line of text, without the position. */
  readonly message: string;
  readonly line: number;
  readonly column: number;
}

type Documents = readonly [YamlDocument, ...YamlDocument[]];

/** The document of an empty text. */
const EMPTY: YamlDocument = { value: null, duplicates: [], lineOf: () => 1 };

/**
 * Parses any number of documents, at least one: an empty text is null. The YAML library is loaded
 * only if the text is not JSON.
 */
export async function readYaml(text: string): Promise<Documents> {
  return readJson(text) ?? (await parseYaml(text));
}

/** Prints a fault with its position. */
export function printYamlFault({ message, line, column }: YamlFault): string {
  return `${message} at line ${line}, column ${column}`;
}

/** Undefined if the text is not JSON. */
function readJson(text: string): Documents | undefined {
  if (!/^\s*[{[]/.test(text)) return undefined;
  try {
    const value: unknown = JSON.parse(text);
    return [{ ...EMPTY, value, duplicates: duplicateJsonKeys(text) }];
  } catch {
    return undefined;
  }
}

async function parseYaml(text: string): Promise<Documents> {
  const { LineCounter, parseAllDocuments } = await import("yaml");
  const { goTags, NodeReader, NodeFault } = await import("./yaml-nodes.ts");
  const lines = new LineCounter();
  const position = (offset: number) => {
    const { line, col } = lines.linePos(offset);
    return { line: Math.max(line, 1), column: Math.max(col, 1) };
  };
  const read = (document: Document): YamlDocument => {
    const lineOf = (path: readonly (string | number)[]) => {
      const node = path.length === 0 ? document.contents : document.getIn(path, true);
      const range = typeof node === "object" && node !== null && "range" in node && node.range;
      return Array.isArray(range) ? position(range[0]).line : 1;
    };
    const failed = (message: string, offset: number, syntax = true): YamlDocument => {
      const fault = { syntax, message: firstLine(message), ...position(offset) };
      return { value: undefined, fault, duplicates: [], lineOf };
    };
    const control = text.search(CONTROL_CHARACTER);
    if (control >= 0) return failed("the text has a control character", control);
    const [error] = document.errors;
    if (error !== undefined) return failed(error.message, error.pos[0]);
    const { yaml } = document.directives ?? {};
    if (yaml?.explicit && yaml.version !== "1.1") return failed("only YAML 1.1 is supported", 0);
    const reader = new NodeReader(document);
    try {
      return { value: reader.read(), duplicates: reader.duplicates, lineOf };
    } catch (thrown) {
      const offset = thrown instanceof NodeFault ? thrown.offset : 0;
      return failed(messageOf(thrown), offset, false);
    }
  };
  const [first, ...rest] = [
    ...parseAllDocuments(text, {
      version: "1.1",
      customTags: goTags,
      uniqueKeys: false,
      lineCounter: lines,
      prettyErrors: false,
      logLevel: "silent",
    }),
  ].map((document) => read(document));
  return [first ?? EMPTY, ...rest];
}

// biome-ignore lint/suspicious/noControlCharactersInRegex: Go's library refuses them.
const CONTROL_CHARACTER = /[\0-\x08\x0b\x0c\x0e-\x1f\x7f]/;

/** Returns the first line, without the colon that introduces an excerpt of the text. */
function firstLine(text: string): string {
  return text.split("\n", 1).join("").replace(/:$/, "");
}
