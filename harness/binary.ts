/** Locates the compiled program that tests and the demo run. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { ROOT } from "./repository.ts";

/** What `bun build.ts` made, or another build that the environment names. */
export const BINARY = process.env["SLUICE_BINARY"] ?? join(ROOT, "dist/sluice");

/** Why tests that run the program are skipped; undefined if it is built. */
export function whyNoBinary(): string | undefined {
  return existsSync(BINARY) ? undefined : "dist/sluice is not built: npm run build";
}

/** The same for tests that need root as well. `what` is what root is needed for. */
export function whyNoBinaryAsRoot(what = "its network namespace"): string | undefined {
  if (whyNoBinary() !== undefined) return whyNoBinary();
  return process.getuid?.() === 0 ? undefined : `it needs root, for ${what}`;
}
