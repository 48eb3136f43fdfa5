/** Parses the command line into a command and its flags. */

import { SluiceError } from "../base/errors.ts";
import type { FieldValue } from "./field.ts";
import { type FlagValues, mergeFlagValues, printFlagValues, readFlag } from "./flag-values.ts";
import { FLAGS, type Flag, printFlagName } from "./flags.ts";

/**
 * The requested command. As in kube-proxy, if several are given, the first in `parseArguments`
 * wins.
 */
export type Command =
  | { readonly kind: "run"; readonly flags: FlagValues }
  /** --init-only: do only what needs full privileges. */
  | { readonly kind: "init"; readonly flags: FlagValues }
  /** --write-config-to: see `writeConfig`. */
  | { readonly kind: "write-config"; readonly file: string; readonly flags: FlagValues }
  /**
   * --cleanup. `keepKubeProxy` is set by --remove-kube-proxy-rules=false: a kube-proxy may already
   * serve again.
   */
  | { readonly kind: "cleanup"; readonly keepKubeProxy: boolean }
  /** --version. `raw` is set by --version=raw, for defect reports; see `versionText`. */
  | { readonly kind: "version"; readonly raw: boolean }
  | { readonly kind: "help" };

const BY_NAME: ReadonlyMap<string, Flag> = new Map(FLAGS.map((flag) => [flag.name, flag]));
const SHORT: { readonly [letter: string]: string } = { v: "v", h: "help" };

/**
 * Parses arguments like pflag: `--name=value`, `--name value`, `--name` alone for booleans, and `_`
 * for `-`. The last of a repeated flag wins, but lists and mappings accumulate.
 * @throws SluiceError CONFIG_INVALID for an unknown flag, a value of the wrong type, a positional
 * argument
 */
export function parseArguments(argv: readonly string[]): Command {
  const flags = new Map<string, FieldValue>();
  for (let at = 0; at < argv.length; at++) {
    const argument = argv[at] as string;
    const { name, value } = split(argument);
    const flag = find(name, argument);
    const needsValue = flag.type !== "boolean" && flag.name !== "version";
    let text = value;
    if (text === undefined && needsValue) text = argv[++at];
    if (text === undefined && needsValue) {
      throw invalid(`${argument}: needs a value (see --help)`);
    }
    const read = readFlag(flag, text ?? "true");
    flags.set(flag.name, mergeFlagValues(flags.get(flag.name), read));
  }
  if (flags.get("help") === true) return { kind: "help" };
  const version = flags.get("version");
  if (version !== undefined && version !== "false") {
    return { kind: "version", raw: version === "raw" };
  }
  const file = printFlagValues(flags, "write-config-to");
  if (file !== "") return { kind: "write-config", file, flags };
  if (flags.get("cleanup") === true) {
    return { kind: "cleanup", keepKubeProxy: flags.get("remove-kube-proxy-rules") === false };
  }
  return { kind: flags.get("init-only") === true ? "init" : "run", flags };
}

/**
 * Returns the output of --version. `version` names the commit unless it is a release. `raw` adds
 * the Bun version and the platform, which also affect the behavior.
 */
export function versionText(version: string, raw: boolean): string {
  const { platform, arch, versions } = process;
  return `Sluice ${version}\n${raw ? `Bun ${versions.bun}\n${platform}-${arch}\n` : ""}`;
}

function split(argument: string): { name: string; value: string | undefined } {
  if (argument === "-" || !argument.startsWith("-") || argument === "--") {
    const hint = /^(?:true|false)$/i.test(argument)
      ? `write a boolean flag as --flag=${argument}`
      : "sluice takes only flags";
    throw invalid(`unexpected argument ${JSON.stringify(argument)} (${hint})`);
  }
  if (argument.startsWith("--")) {
    const equals = argument.indexOf("=");
    const name = equals < 0 ? argument.slice(2) : argument.slice(2, equals);
    return {
      name: name.replaceAll("_", "-"),
      value: equals < 0 ? undefined : argument.slice(equals + 1),
    };
  }
  const name = Object.hasOwn(SHORT, argument.charAt(1)) ? SHORT[argument.charAt(1)] : undefined;
  const rest = argument.slice(2);
  if (name !== undefined && rest === "") return { name, value: undefined };
  // `-v=2` and `-v2`, as in pflag. A single dash before a long name is an error.
  if (name !== undefined && rest.startsWith("=")) return { name, value: rest.slice(1) };
  if (name === "v" && /^[-+\d]/.test(rest)) return { name, value: rest };
  const long = argument.slice(1).split("=")[0]?.replaceAll("_", "-") ?? "";
  throw unknownFlag(argument, BY_NAME.has(long) ? long : nearest(long));
}

function find(name: string, argument: string): Flag {
  const flag = BY_NAME.get(name);
  if (!flag) throw unknownFlag(argument, nearest(name));
  return flag;
}

function unknownFlag(argument: string, suggestion: string | undefined): SluiceError {
  const hint =
    suggestion === undefined ? "see --help" : `did you mean ${printFlagName(suggestion)}?`;
  return invalid(`unknown flag ${JSON.stringify(argument)} (${hint})`);
}

function invalid(message: string): SluiceError {
  return new SluiceError("CONFIG_INVALID", message);
}

/** Returns the known flag with the fewest typing errors, if they are few. */
function nearest(name: string): string | undefined {
  let best: string | undefined;
  let least = Math.min(name.length, Math.max(2, Math.floor(name.length / 4)) + 1);
  for (const known of BY_NAME.keys()) {
    const distance = editDistance(name, known);
    if (distance < least) {
      least = distance;
      best = known;
    }
  }
  return best;
}

/** Returns the Levenshtein distance. */
function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const replace = (row[j - 1] as number) + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(replace, (row[j] as number) + 1, (next[j - 1] as number) + 1));
    }
    row = next;
  }
  return row[b.length] as number;
}
