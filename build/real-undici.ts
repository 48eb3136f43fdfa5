import { readFile } from "node:fs/promises";
import type { BunPlugin } from "bun";

/**
 * Makes @kubernetes/client-node use the real undici.
 *
 * Bun resolves the bare specifier `undici` to a built-in stub with an Agent that ignores TLS
 * options. The stub does not use a cluster's CA and does not send client certificates.
 * `undici/index.js` is the real package. Bun calls no resolve hook for `undici`, so this plugin
 * rewrites the importing text. It works in `Bun.build`, and as a preload for code that runs from
 * source.
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
