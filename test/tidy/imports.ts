/** The import graph of the repository's sources, type imports included. */
import { dirname, join } from "node:path";
import { sourcesIn, textOf } from "../../harness/repository.ts";

/**
 * `import … from "x"`, `export … from "x"` or `import "x"` at the start of a line; it may continue
 * on others.
 */
const STATEMENT = /^(?:import|export)\b(?:[^;"'`]*?\bfrom)?\s*"([^"]+)"/gm;
/** `import("x")`, of a value or of a type. */
const EXPRESSION = /\bimport\(\s*"([^"]+)"/g;

/**
 * The imports of a file: paths from the root of the repository, or names of packages and modules.
 */
export function importsOf(path: string, text = textOf(path)): readonly string[] {
  const specifiers = [STATEMENT, EXPRESSION].flatMap((pattern) =>
    [...text.matchAll(pattern)].map(([, specifier = ""]) => specifier),
  );
  return specifiers.map((specifier) => {
    if (!specifier.startsWith(".")) return specifier;
    const target = join(dirname(path), specifier);
    // AssemblyScript's imports have no file extension.
    return path.startsWith("asm/") ? `${target}.ts` : target;
  });
}

/** Edges from each node to others, for files or for folders. */
export type Graph = ReadonlyMap<string, ReadonlySet<string>>;

/** The files below these folders, and their imports of each other. */
export function fileGraph(...folders: readonly string[]): Graph {
  const files = new Set(folders.flatMap(sourcesIn));
  return new Map(
    [...files].map((file) => [file, new Set(importsOf(file).filter((to) => files.has(to)))]),
  );
}

/** The same between the folders of the files. */
export function folderGraph(files: Graph): Graph {
  const folders = new Map<string, Set<string>>();
  for (const [file, targets] of files) {
    const from = dirname(file);
    const edges = folders.get(from) ?? new Set();
    folders.set(from, edges);
    for (const to of targets) if (dirname(to) !== from) edges.add(dirname(to));
  }
  return folders;
}

/** Cycles as `a → b → a`, at least one of each group of nodes that import each other. */
export function cyclesOf(graph: Graph): readonly string[] {
  const cycles: string[] = [];
  const done = new Set<string>();
  const visit = (node: string, trail: readonly string[]): void => {
    const start = trail.indexOf(node);
    if (start >= 0) {
      cycles.push([...trail.slice(start), node].join(" → "));
      return;
    }
    if (done.has(node)) return;
    for (const to of graph.get(node) ?? []) visit(to, [...trail, node]);
    done.add(node);
  };
  for (const node of graph.keys()) visit(node, []);
  return cycles;
}
