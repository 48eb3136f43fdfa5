import { describe, expect, test } from "bun:test";
import { basename, dirname } from "node:path";
import { sourcesIn, textOf } from "../../harness/repository.ts";
import { cyclesOf, fileGraph, folderGraph, importsOf } from "./imports.ts";
import { LAYERS, type Layer, WIRING } from "./layers.ts";

const transpiler = new Bun.Transpiler({ loader: "ts" });
const sources = [...sourcesIn("src"), ...sourcesIn("asm")].filter(
  (path) => !path.endsWith(".d.ts"),
);

function isIn(path: string, place: string): boolean {
  return path === place || path.startsWith(`${place}/`);
}

/** The layer of a file or a folder: the first one with a path that contains it. */
function layerOf(path: string): Layer | undefined {
  return LAYERS.find((layer) => isIn(path, layer.path));
}

const isWiring = (path: string): boolean => WIRING.some((place) => isIn(path, place));
const isOurs = (path: string): boolean => isIn(path, "src") || isIn(path, "asm");

/** Every import of a file with a layer, except imports within the layer. */
const crossings = sources.flatMap((path) => {
  const layer = layerOf(path);
  if (layer === undefined || isWiring(path)) return [];
  return importsOf(path)
    .filter((to) => !isOurs(to) || layerOf(to) !== layer)
    .map((to) => ({ path, layer, to }));
});

/** The entry of its layer that allows an import; undefined if none does. */
function permission({ layer, to }: (typeof crossings)[number]): string | undefined {
  if (!isOurs(to)) return layer.outside?.find((prefix) => to.startsWith(prefix));
  const target = layerOf(to)?.path;
  return target !== undefined && layer.from.includes(target) ? target : undefined;
}

/** Access to the clock, to randomness and to the outside that needs no import. */
const IMPURE =
  /(?<![.\w])(?:Date\s*\(|Date\.now|new Date\b|Math\.random|performance\.|console\.|fetch\(|process\.|Bun\.|crypto\.|set(?:Timeout|Interval|Immediate)\(|queueMicrotask\()/;

describe("the direction of imports", () => {
  test("every file has a layer in layers.ts", () => {
    const lost = sources.filter((path) => !isWiring(path) && layerOf(path) === undefined);
    expect(lost).toEqual([]);
  });

  test("no layer imports from a layer that it must not know, not even a type", () => {
    expect(crossings.length).toBeGreaterThan(500);
    const wrong = crossings
      .filter((crossing) => permission(crossing) === undefined)
      .map(({ path, layer, to }) => `${path} imports ${to}, but ${layer.because}`);
    expect(wrong).toEqual([]);
  });

  test("every entry of layers.ts is needed", () => {
    const used = new Set(crossings.map((each) => `${each.layer.path} ← ${permission(each)}`));
    const entries = LAYERS.flatMap(({ path, from, outside = [] }) =>
      [...from, ...outside].map((entry) => `${path} ← ${entry}`),
    );
    expect(entries.filter((entry) => !used.has(entry))).toEqual([]);
    const empty = [...LAYERS.map(({ path }) => path), ...WIRING].filter(
      (place) => !sources.some((path) => isIn(path, place)),
    );
    expect(empty).toEqual([]);
  });

  test("pure layers use no time, no randomness and no input or output", () => {
    const wrong: string[] = [];
    for (const path of sources) {
      const layer = layerOf(path);
      if (!layer?.pure || isWiring(path) || isIn(path, "asm")) continue;
      // This removes types and comments; strings are removed too.
      const code = transpiler.transformSync(textOf(path)).replaceAll(/"(?:[^"\\]|\\.)*"/g, '""');
      const found = IMPURE.exec(code);
      if (found !== null) wrong.push(`${path} uses ${found[0]}, but ${layer.because}`);
    }
    expect(wrong).toEqual([]);
  });

  test("only one file calls into libc", () => {
    const callers = sources.filter((path) => importsOf(path).includes("bun:ffi"));
    expect(callers).toEqual(["src/os/libc.ts"]);
  });
});

describe("import cycles", () => {
  const files = fileGraph("src", "asm");

  test("no file imports itself through others", () => {
    expect(cyclesOf(files)).toEqual([]);
  });

  test("no folder imports itself through others", () => {
    expect(cyclesOf(folderGraph(files))).toEqual([]);
  });

  test("a cycle of types, of re-exports or of import() is found", () => {
    const graph = (imports: Readonly<Record<string, string>>) =>
      new Map(
        Object.entries(imports).map(([path, text]) => [path, new Set(importsOf(path, text))]),
      );
    const found = cyclesOf(
      graph({
        "src/a/one.ts": 'import type {\n  Two,\n} from "../b/two.ts";',
        "src/b/two.ts": 'export { three } from "./three.ts";',
        // Put together from pieces, so that it is not an import of this file.
        "src/b/three.ts": `type One = ${"import"}("../a/one.ts").One;`,
        "src/b/four.ts": '// from "./four.ts"\nimport "./three.ts";',
      }),
    );
    expect(found).toEqual(["src/a/one.ts → src/b/two.ts → src/b/three.ts → src/a/one.ts"]);
    const folders = folderGraph(
      graph({
        "asm/a/one.ts": 'import { two } from "../b/two";',
        "asm/b/two.ts": "",
        "asm/b/three.ts": 'export { one } from "../a/one";',
      }),
    );
    expect(cyclesOf(folders)).toEqual(["asm/a → asm/b → asm/a"]);
  });
});

describe("the location of a file", () => {
  test.each(["src", "asm"])("file names in %s are unique", (folder) => {
    const paths = new Map<string, string[]>();
    for (const path of sourcesIn(folder)) {
      const name = basename(path);
      paths.set(name, [...(paths.get(name) ?? []), path]);
    }
    expect([...paths.values()].filter((same) => same.length > 1)).toEqual([]);
  });

  test("src/ shows main.ts and folders", () => {
    expect(sourcesIn("src").filter((path) => dirname(path) === "src")).toEqual(["src/main.ts"]);
  });

  test("code that tests, demo and benchmark share is in harness/", () => {
    const places = ["test", "demo", "bench", "harness"];
    const wrong = places.flatMap(sourcesIn).flatMap((path) => {
      const [place = "", folder = ""] = path.split("/");
      const mine = place === "test" ? `test/${folder}` : place;
      return importsOf(path)
        .filter((to) => places.some((each) => isIn(to, each)))
        .filter((to) => !isIn(to, "harness") && !isIn(to, mine))
        .map((to) => `${path} imports ${to}`);
    });
    expect(wrong).toEqual([]);
  });
});
