/** --vmodule names files, so each log line must come from the file that it names. */
import { expect, test } from "bun:test";
import { basename } from "node:path";
import { sourcesIn, textOf } from "../../harness/repository.ts";

const CALL = /\blog\s*\??\.from\("([^"]*)"\)|\broot\.from\("([^"]*)"\)/g;

const named = sourcesIn("src").flatMap((path) =>
  [...textOf(path).matchAll(CALL)].map((call) => ({ path, source: call[1] ?? call[2] ?? "" })),
);

test("a part logs under the name of its own file", () => {
  expect(named.length).toBeGreaterThan(8);
  expect(named.filter(({ path, source }) => source !== basename(path))).toEqual([]);
});

test("no two files log under the same name", () => {
  const paths = new Map<string, Set<string>>();
  for (const { path, source } of named) {
    paths.set(source, (paths.get(source) ?? new Set()).add(path));
  }
  expect([...paths].filter(([, set]) => set.size > 1)).toEqual([]);
});

test("code that gets a log does not write under its caller's name", () => {
  // Neither through an option nor through a field with it: `this.#options.log.warn(...)`, `const {
  // log } = options`.
  const borrowed =
    /options\.log\.(?:info|warn|error|debug)\(|const \{[^}]*\blog\b[^}]*\} = (?:this\.#)?options;/;
  const forwards = ["src/admin/listeners.ts", "src/daemon/background.ts"];
  expect(
    sourcesIn("src").filter((path) => borrowed.test(textOf(path)) && !forwards.includes(path)),
  ).toEqual([]);
});
