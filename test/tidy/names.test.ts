/** A name that files export has one meaning: no other file defines something of the same name. */
import { expect, test } from "bun:test";
import { sourcesIn, textOf } from "../../harness/repository.ts";

/**
 * Definitions at the top level of a file. Private constants of two files may have the same name.
 */
const DEFINITION =
  /^(export )?(?:declare )?(?:async )?(?:class|interface|type|function\*?|const|let) (\w+)/gm;

interface Definition {
  readonly path: string;
  readonly name: string;
  readonly exported: boolean;
}

const definitions: readonly Definition[] = sourcesIn("src")
  // Types of packages and of WebAssembly modules are declared, not defined.
  .filter((path) => !path.endsWith(".d.ts"))
  .flatMap((path) =>
    [...textOf(path).matchAll(DEFINITION)].map(([, exported, name = ""]) => ({
      path,
      name,
      exported: exported !== undefined,
    })),
  );

test("an exported name is defined in one file", () => {
  const paths = new Map<string, Set<string>>();
  for (const { path, name } of definitions) {
    paths.set(name, (paths.get(name) ?? new Set()).add(path));
  }
  const exported = new Set(definitions.flatMap((each) => (each.exported ? [each.name] : [])));
  expect(exported.size).toBeGreaterThan(900);
  const shared = [...paths].filter(([name, { size }]) => size > 1 && exported.has(name));
  expect(shared.map(([name, files]) => `${name}: ${[...files].join(", ")}`)).toEqual([]);
});

test("a type, class or function is not exported by another name", () => {
  const renamed = sourcesIn("src").filter((path) => /^export \{[^}]* as /m.test(textOf(path)));
  expect(renamed).toEqual([]);
});
