import { readFile } from "node:fs/promises";
import type { BunPlugin } from "bun";

/**
 * Makes @kubernetes/client-node use the real undici.
 *
 * Bun answers the bare specifier `undici` with a stub of its own, whose Agent ignores TLS options: a
 * cluster's CA is not used and client certificates are not sent. `undici/index.js` is the real package.
 * Bun asks no resolve hook about `undici`, so the importing text is rewritten instead. Works in
 * `Bun.build` and, as a preload, for what runs from source.
 */
export const realUndici: BunPlugin = {
  name: "real-undici",
  setup(build) {
    build.onLoad({ filter: /@kubernetes\/client-node\/dist\/.*\.js$/ }, async ({ path }) => {
      const text = await readFile(path, "utf8");
      return { contents: text.replaceAll(BARE_UNDICI, '$1"undici/index.js"'), loader: "js" };
    });
  },
};

const BARE_UNDICI = /(\bfrom\s*|\bimport\s*\(\s*|\brequire\s*\(\s*)(?:"undici"|'undici')/g;
