/**
 * Replaces the iptables tools of the system for the program under test. It mounts a folder over the
 * system's in a separate mount namespace.
 */
import {
  appendFileSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  readFileSync,
  realpathSync,
  renameSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { lockOf, type Variant } from "./backends.ts";
import type { World } from "./world.ts";

/** Where the program looks, besides its PATH. */
const FOLDERS = ["/usr/sbin", "/sbin", "/usr/local/sbin"];
const SUFFIXES = ["", "-save", "-restore"] as const;

export interface ToolboxOptions {
  /**
   * Those that are there; the first one also by the plain names. None: iptables is not installed.
   */
  readonly variants: readonly Variant[];
  /** By default those of both families. */
  readonly families?: readonly ("iptables" | "ip6tables")[];
}

/** What iptables-restore is made to refuse, and with which words. */
export interface Refusal {
  /** An extended regular expression: a text with a line like that is refused as a whole. */
  readonly pattern: string;
  /**
   * In which LINE, COMMIT and CHAIN stand for the number of that line, that of its COMMIT, and its
   * chain.
   */
  readonly words: string;
  readonly status: number;
}

/** What it says of a rule that it cannot make sense of. */
export function nonsense(pattern: string, why: string): Refusal {
  const words = `iptables-restore v1.8.9 (nf_tables): ${why}\nError occurred at line: LINE`;
  return { pattern, words, status: 2 };
}

/**
 * What it says where the kernel does not have a match: 1.8.9, and nfacct asked for what is not
 * there.
 */
export function missingMatch(name: string, variant: Variant): Refusal {
  const pattern = ` -m ${name} `;
  // To x_tables the table is at fault, which is told at the line of COMMIT.
  if (variant === "legacy")
    return { pattern, words: "iptables-restore: line COMMIT failed", status: 1 };
  return {
    pattern,
    words: `Warning: Extension ${name} revision 0 not supported, missing kernel module?
iptables-restore v1.8.9 (nf_tables):
line LINE: RULE_APPEND failed (No such file or directory): rule in chain CHAIN`,
    status: 4,
  };
}

export class Toolbox {
  readonly #folder: string;
  readonly #world: World;
  readonly #diary: string;
  readonly #variants: readonly Variant[];
  readonly #families: readonly string[];

  constructor(world: World, options: ToolboxOptions) {
    this.#world = world;
    this.#variants = options.variants;
    this.#families = options.families ?? ["iptables", "ip6tables"];
    this.#folder = join(world.directory, "tools");
    this.#diary = join(world.directory, "restored");
    mkdirSync(join(this.#folder, "real"), { recursive: true });
    appendFileSync(lockOf(world), "");
    for (const variant of options.variants) this.#install(variant);
  }

  /** Words of a command line that runs another one with these tools. */
  get wrapper(): readonly string[] {
    const there = new Set(
      FOLDERS.filter((folder) => existsSync(folder)).map((each) => realpathSync(each)),
    );
    const steps = [
      ...[...there].map((folder) => `mount --bind "$0" ${folder}`),
      "touch /run/xtables.lock",
      `mount --bind ${lockOf(this.#world)} /run/xtables.lock`,
      'exec "$@"',
    ];
    return ["unshare", "-m", "sh", "-ec", steps.join("; "), this.#folder];
  }

  /** From now on every text that iptables-restore gets is kept. */
  keepDiary(): void {
    this.#wrapRestore(`printf '%s\\n===\\n' "$text" >>${this.#diary}`);
  }

  /** What was handed to iptables-restore of both families, one text each. */
  diary(): string[] {
    if (!existsSync(this.#diary)) return [];
    return readFileSync(this.#diary, "utf8").split("\n===\n").slice(0, -1);
  }

  /** From now on iptables-restore refuses what is named, until `relent`. */
  refuse(refusals: readonly Refusal[]): void {
    const cases = refusals.map(({ pattern, words, status }, index) => {
      const told = join(this.#world.directory, `refusal-${index}`);
      writeFileSync(told, `${words}\n`);
      return `refused '${pattern}' ${told} ${status}`;
    });
    this.#wrapRestore(`${REFUSED}\n${cases.join("\n")}`);
  }

  /** From now on the tools are the real ones. */
  relent(): void {
    this.#wrapRestore("");
  }

  #install(variant: Variant): void {
    const found = Bun.which(`iptables-${variant}`, { PATH: `${process.env["PATH"]}:/usr/sbin` });
    if (found === null) throw new Error(`iptables-${variant} is not installed`);
    const binary = `xtables-${variant}-multi`;
    copyFileSync(realpathSync(found), join(this.#folder, binary));
    for (const name of SUFFIXES.flatMap((suffix) => this.#names(variant, suffix))) {
      symlinkSync(binary, join(this.#folder, name));
      symlinkSync(`../${binary}`, join(this.#folder, "real", name));
    }
  }

  /** What a tool of a variant is called. */
  #names(variant: Variant, suffix: string): string[] {
    const plain = this.#variants[0] === variant ? [""] : [];
    return this.#families.flatMap((family) =>
      [`-${variant}`, ...plain].map((each) => `${family}${each}${suffix}`),
    );
  }

  /** Puts a script in front of iptables-restore that has the input in $text. */
  #wrapRestore(script: string): void {
    const lines = [
      "#!/bin/sh",
      "text=$(cat)",
      script,
      `printf '%s\\n' "$text" | exec "$(dirname "$0")/real/$(basename "$0")" "$@"`,
    ];
    for (const name of this.#variants.flatMap((each) => this.#names(each, "-restore"))) {
      const draft = join(this.#folder, "draft");
      writeFileSync(draft, `${lines.join("\n")}\n`, { mode: 0o755 });
      renameSync(draft, join(this.#folder, name));
    }
  }
}

const REFUSED = `refused() { # PATTERN FILE STATUS
  line=$(printf '%s\\n' "$text" | grep -nE -m1 -e "$1" | cut -d: -f1)
  [ -n "$line" ] || return 0
  chain=$(printf '%s\\n' "$text" | sed -n "\${line}p" | cut -d' ' -f2)
  commit=$(printf '%s\\n' "$text" | grep -n '^COMMIT' | cut -d: -f1 | awk -v line="$line" '$1 > line { print; exit }')
  sed "s/LINE/$line/; s/COMMIT/$commit/; s/CHAIN/$chain/" "$2" >&2
  exit "$3"
}`;
