/** Locates the compiled program that tests and the demo run. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { ROOT } from "./repository.ts";

/** Path of the program: the output of `bun build.ts`, or the build that the environment names. */
export const BINARY = process.env["SLUICE_BINARY"] ?? join(ROOT, "dist/sluice");

/** Path of another version's program, for tests of an upgrade. */
export const PREVIOUS_BINARY = process.env["SLUICE_PREVIOUS_BINARY"];

/** The reason to skip tests that run the program; undefined if it is built. */
export function missingBinary(): string | undefined {
  return existsSync(BINARY) ? undefined : "dist/sluice is not built: npm run build";
}

/** As `missingBinary`, but the tests also need root. `what` names the part that needs it. */
export function missingBinaryOrRoot(what = "its network namespace"): string | undefined {
  if (missingBinary() !== undefined) return missingBinary();
  return process.getuid?.() === 0 ? undefined : `it needs root, for ${what}`;
}
