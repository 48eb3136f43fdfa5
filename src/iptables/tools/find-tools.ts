/** Which tools of iptables are on this machine, and which kernel interface each writes to. */
import { accessSync, constants } from "node:fs";
import { join } from "node:path";
import { SluiceError } from "../../base/errors.ts";
import type { Family } from "../../net/address.ts";
import type { Variant } from "../syntax/types.ts";
import { toolWords } from "./restore-errors.ts";
import { failed, run } from "./run-tool.ts";

/** Where the tools are, also for a supervisor that hands down a short PATH. */
const FOLDERS = ["/usr/sbin", "/sbin", "/usr/local/sbin"];
const PLAIN: { readonly [family in Family]: string } = { 4: "iptables", 6: "ip6tables" };
/** What must be beside it, behind its name. */
const SUFFIXES = ["", "-save", "-restore"];

export interface SearchOptions {
  /** In place of the environment's PATH and FOLDERS. */
  readonly folders?: readonly string[];
}

export interface FoundTool {
  readonly family: Family;
  readonly variant: Variant;
  readonly path: string;
  /** `1.8.9`; "" if it does not tell. */
  readonly version: string;
}

/** Names of a variant's tool, the likeliest first: distributions without alternatives have the plain one alone. */
export function toolNames(family: Family, variant: Variant): readonly string[] {
  return [`${PLAIN[family]}-${variant}`, PLAIN[family]];
}

/** Each once, in the order in which they are looked into. */
export function searchedFolders({ folders }: SearchOptions): readonly string[] {
  const path = (process.env["PATH"] ?? "").split(":").filter((folder) => folder !== "");
  return folders ?? [...new Set([...path, ...FOLDERS])];
}

/**
 * The first tool of a variant that has all it takes beside it.
 * @throws SluiceError TOOL_FAILED, if there is none but one that does not run, or is not whole
 */
export async function findTool(
  family: Family,
  variant: Variant,
  options: SearchOptions = {},
): Promise<FoundTool | undefined> {
  return findNamed(toolNames(family, variant), family, options, (found) => found === variant);
}

/** What is called `iptables` or `ip6tables`, whichever it is. Throws as `findTool`. */
export async function findPlain(
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
        const { status, output, complaint } = await run(path, ["--version"]);
        if (status !== 0) throw failed(path, ["--version"], toolWords(complaint || output));
        const { variant, version } = readVersion(output);
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
  const rule = `${missing.join(" and ")} must be beside it`;
  return new SluiceError("TOOL_FAILED", `Cannot use ${path}: ${rule}`, path);
}

/** `iptables v1.8.9 (nf_tables)`; before 1.8 there was no other one than legacy, and no word about it. */
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
