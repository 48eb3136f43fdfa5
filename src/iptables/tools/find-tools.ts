/** Finds the iptables tools on this node, and the kernel interface that each of them writes to. */
import { accessSync, constants } from "node:fs";
import { join } from "node:path";
import { SluiceError } from "../../base/errors.ts";
import type { Family } from "../../net/address.ts";
import type { Variant } from "../syntax/known-chains.ts";
import { exitMessage } from "./restore-errors.ts";
import { runTool, toolFailedError } from "./run-tool.ts";

/** Searched after PATH, which a supervisor may have shortened too much. */
const FOLDERS = ["/usr/sbin", "/sbin", "/usr/local/sbin"];
const PLAIN: { readonly [family in Family]: string } = { 4: "iptables", 6: "ip6tables" };
/** A tool is complete if all of these are in one folder. */
const SUFFIXES = ["", "-save", "-restore"];

export interface SearchOptions {
  /** Replaces PATH and FOLDERS. */
  readonly folders?: readonly string[];
}

export interface FoundTool {
  readonly family: Family;
  readonly variant: Variant;
  readonly path: string;
  /** `1.8.9`; "" if the tool does not print it. */
  readonly version: string;
}

/**
 * Names of a variant's tool, the most likely first. Distributions without alternatives have only
 * the plain name.
 */
export function toolNames(family: Family, variant: Variant): readonly string[] {
  return [`${PLAIN[family]}-${variant}`, PLAIN[family]];
}

/** In search order, without duplicates. */
export function searchedFolders({ folders }: SearchOptions): readonly string[] {
  const path = (process.env["PATH"] ?? "").split(":").filter((folder) => folder !== "");
  return folders ?? [...new Set([...path, ...FOLDERS])];
}

/**
 * The first complete tool of a variant; undefined if none is installed.
 * @throws SluiceError TOOL_FAILED, if the only ones are incomplete or do not run
 */
export async function findTool(
  family: Family,
  variant: Variant,
  options: SearchOptions = {},
): Promise<FoundTool | undefined> {
  return findNamed(toolNames(family, variant), family, options, (found) => found === variant);
}

/** The tool named `iptables` or `ip6tables`, of either variant. Throws like `findTool`. */
export async function findUnqualifiedTool(
  family: Family,
  options: SearchOptions = {},
): Promise<FoundTool | undefined> {
  return findNamed([PLAIN[family]], family, options, () => true);
}

async function findNamed(
  names: readonly string[],
  family: Family,
  options: SearchOptions,
  accepts: (variant: Variant) => boolean,
): Promise<FoundTool | undefined> {
  let broken: SluiceError | undefined;
  for (const name of names) {
    for (const folder of searchedFolders(options)) {
      const path = join(folder, name);
      if (!isExecutable(path)) continue;
      const missing = SUFFIXES.filter((suffix) => !isExecutable(`${path}${suffix}`));
      if (missing.length > 0) {
        broken ??= incomplete(
          path,
          missing.map((suffix) => `${name}${suffix}`),
        );
        continue;
      }
      try {
        const { status, stdout, stderr } = await runTool(path, ["--version"]);
        if (status !== 0)
          throw toolFailedError(path, ["--version"], exitMessage(status, stderr || stdout));
        const { variant, version } = readVersion(stdout);
        if (accepts(variant)) return { family, variant, path, version };
      } catch (error) {
        if (!(error instanceof SluiceError)) throw error;
        broken ??= error;
      }
    }
  }
  if (broken !== undefined) throw broken;
  return undefined;
}

function incomplete(path: string, missing: readonly string[]): SluiceError {
  const message = `${path}: no ${missing.join(" and no ")} in the same directory`;
  return new SluiceError("TOOL_FAILED", message, path);
}

/**
 * Reads `iptables v1.8.9 (nf_tables)`. Versions before 1.8 are all legacy and do not print a
 * variant.
 */
export function readVersion(printed: string): { variant: Variant; version: string } {
  const [, version = ""] = /\bv(\d+(?:\.\d+)+)/.exec(printed) ?? [];
  return { variant: printed.includes("nf_tables") ? "nft" : "legacy", version };
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
