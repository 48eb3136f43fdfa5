import { describe, expect, test } from "bun:test";
import { dirname, join } from "node:path";
import { sourcesIn, textOf } from "./files.ts";
import { LAYERS, type Layer, WIRING } from "./layers.ts";

const transpiler = new Bun.Transpiler({ loader: "ts" });
const sources = sourcesIn("src").filter((path) => !path.endsWith(".d.ts"));

/** What a file imports as values: paths from the root, or names of packages. */
function importsOf(path: string): string[] {
  return transpiler
    .scanImports(textOf(path))
    .map(({ path: to }) => (to.startsWith(".") ? join(dirname(path), to) : to));
}

function layerOf(path: string): Layer | undefined {
  return LAYERS.find((layer) => layer.path === path || path.startsWith(`${layer.path}/`));
}

function isIn(path: string, layers: readonly string[]): boolean {
  return layers.some((layer) => layer === path || path.startsWith(`${layer}/`));
}

/** Ways to the clock, to chance and to the world that need no import. */
const IMPURE =
  /(?<![.\w])(?:Date\s*\(|Date\.now|new Date\b|Math\.random|performance\.|console\.|fetch\(|process\.|Bun\.|crypto\.|set(?:Timeout|Interval|Immediate)\(|queueMicrotask\()/;

describe("the direction of imports", () => {
  test("every file has its place in layers.ts", () => {
    const lost = sources.filter((path) => !WIRING.includes(path) && layerOf(path) === undefined);
    expect(lost).toEqual([]);
  });

  test("no layer imports from one it should not know", () => {
    const wrong: string[] = [];
    for (const path of sources) {
      const layer = layerOf(path);
      if (layer === undefined) continue;
      for (const to of importsOf(path)) {
        const allowed =
          to.startsWith("src/") || to.startsWith("asm/")
            ? isIn(to, [layer.path, ...layer.from])
            : layer.outside.some((prefix) => to.startsWith(prefix));
        if (!allowed) wrong.push(`${path} imports ${to}, but ${layer.because}`);
      }
    }
    expect(wrong).toEqual([]);
  });

  test("pure layers ask for no time, no chance and no world", () => {
    const wrong: string[] = [];
    for (const path of sources) {
      const layer = layerOf(path);
      if (!layer?.pure) continue;
      // Types and comments are gone after this; strings go too.
      const code = transpiler.transformSync(textOf(path)).replaceAll(/"(?:[^"\\]|\\.)*"/g, '""');
      const found = IMPURE.exec(code);
      if (found !== null) wrong.push(`${path} uses ${found[0]}, but ${layer.because}`);
    }
    expect(wrong).toEqual([]);
  });

  test("one file alone calls into libc", () => {
    const callers = sources.filter((path) => importsOf(path).includes("bun:ffi"));
    expect(callers.filter((path) => path !== "src/os/libc.ts")).toEqual([]);
  });

  test("no file imports itself by a detour", () => {
    const cycles: string[] = [];
    const done = new Set<string>();
    const visit = (path: string, trail: readonly string[]): void => {
      const again = trail.indexOf(path);
      if (again >= 0) {
        cycles.push([...trail.slice(again), path].join(" → "));
        return;
      }
      if (done.has(path) || !sources.includes(path)) return;
      for (const to of importsOf(path)) visit(to, [...trail, path]);
      done.add(path);
    };
    for (const path of sources) visit(path, []);
    expect(cycles).toEqual([]);
  });
});
