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

/** The layer that a file or a folder belongs to: the first whose path holds it. */
function layerOf(path: string): Layer | undefined {
  return LAYERS.find((layer) => isIn(path, layer.path));
}

const isWiring = (path: string): boolean => WIRING.some((place) => isIn(path, place));
const isOurs = (path: string): boolean => isIn(path, "src") || isIn(path, "asm");

/** Every import of a file that has a layer, but for those within the layer. */
const crossings = sources.flatMap((path) => {
  const layer = layerOf(path);
  if (layer === undefined || isWiring(path)) return [];
  return importsOf(path)
    .filter((to) => !isOurs(to) || layerOf(to) !== layer)
    .map((to) => ({ path, layer, to }));
});

/** The entry of its layer that allows an import; undefined: none does. */
function permission({ layer, to }: (typeof crossings)[number]): string | undefined {
  if (!isOurs(to)) return layer.outside?.find((prefix) => to.startsWith(prefix));
  const target = layerOf(to)?.path;
  return target !== undefined && layer.from.includes(target) ? target : undefined;
}

/** Access to the clock, to randomness and to the world that needs no import. */
const IMPURE =
  /(?<![.\w])(?:Date\s*\(|Date\.now|new Date\b|Math\.random|performance\.|console\.|fetch\(|process\.|Bun\.|crypto\.|set(?:Timeout|Interval|Immediate)\(|queueMicrotask\()/;

describe("the direction of imports", () => {
  test("every file has its place in layers.ts", () => {
    const lost = sources.filter((path) => !isWiring(path) && layerOf(path) === undefined);
    expect(lost).toEqual([]);
  });

  test("no layer imports from one it should not know, not even a type", () => {
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

  test("pure layers ask for no time, no randomness and no input or output", () => {
    const wrong: string[] = [];
    for (const path of sources) {
      const layer = layerOf(path);
      if (!layer?.pure || isWiring(path) || isIn(path, "asm")) continue;
      // Types and comments are gone after this; strings go too.
      const code = transpiler.transformSync(textOf(path)).replaceAll(/"(?:[^"\\]|\\.)*"/g, '""');
      const found = IMPURE.exec(code);
      if (found !== null) wrong.push(`${path} uses ${found[0]}, but ${layer.because}`);
    }
    expect(wrong).toEqual([]);
  });

  test("one file alone calls into libc", () => {
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

  test("a cycle of types, of re-exports or of import() would be found", () => {
    const graph = (imports: Readonly<Record<string, string>>) =>
      new Map(
        Object.entries(imports).map(([path, text]) => [path, new Set(importsOf(path, text))]),
      );
    const found = cyclesOf(
      graph({
        "src/a/one.ts": 'import type {\n  Two,\n} from "../b/two.ts";',
        "src/b/two.ts": 'export { three } from "./three.ts";',
        // Put together, so that it is no import of this file.
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

describe("where a file lies", () => {
  test.each(["src", "asm"])("no two files of %s have one name", (folder) => {
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

  test("what tests, demo and benchmark share lies in harness/", () => {
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
