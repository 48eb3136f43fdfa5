import { readFileSync, writeFileSync } from "node:fs";

/**
 * Variables that make Bun's runtime run other code, or listen for a debugger. The second also
 * covers BUN_INSPECT_CONNECT_TO and BUN_INSPECT_PRELOAD.
 */
const IGNORED = ["BUN_OPTIONS", "BUN_INSPECT"];

/**
 * Makes the runtime inside a binary ignore these variables. It has no setting for that, so this
 * replaces the `_` after BUN in the names that it looks for. BUN_BE_BUN stays: install.sh uses it.
 * @throws if the runtime no longer has one of the names
 */
export function ignoreVariables(path: string): void {
  const binary = readFileSync(path);
  for (const name of IGNORED) {
    let count = 0;
    for (let at = binary.indexOf(name); at >= 0; at = binary.indexOf(name, at + 1)) {
      binary[at + "BUN".length] = 0x01;
      count++;
    }
    if (count === 0) throw new Error(`${path}: the runtime does not contain ${name}`);
  }
  writeFileSync(path, binary);
}
