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

/** The folders that the program searches in addition to PATH. */
const FOLDERS = ["/usr/sbin", "/sbin", "/usr/local/sbin"];
const SUFFIXES = ["", "-save", "-restore"] as const;

export interface FakeToolOptions {
  /**
   * Available variants; the first one also has the plain names. Empty: iptables is not installed.
   */
  readonly variants: readonly Variant[];
  /** Available families; both by default. */
  readonly families?: readonly ("iptables" | "ip6tables")[];
}

/** Input that iptables-restore must refuse, and its messages. */
export interface ToolRefusal {
  /** An extended regular expression. The whole text is refused if one of its lines matches. */
  readonly pattern: string;
  /**
   * The message. LINE, COMMIT and CHAIN stand for the line's number, its COMMIT's number and its
   * chain.
   */
  readonly words: string;
  readonly status: number;
}

/** The message for a rule that it cannot parse. */
export function unknownArgument(pattern: string, why: string): ToolRefusal {
  const words = `iptables-restore v1.8.9 (nf_tables): ${why}\nError occurred at line: LINE`;
  return { pattern, words, status: 2 };
}

/** The messages of version 1.8.9 for a match that the kernel does not have, such as nfacct. */
export function missingMatch(name: string, variant: Variant): ToolRefusal {
  const pattern = ` -m ${name} `;
  // x_tables blames the table, so the message names the line of COMMIT.
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

export class FakeToolFolder {
  readonly #folder: string;
  readonly #world: World;
  readonly #callLog: string;
  readonly #variants: readonly Variant[];
  readonly #families: readonly string[];

  constructor(world: World, options: FakeToolOptions) {
    this.#world = world;
    this.#variants = options.variants;
    this.#families = options.families ?? ["iptables", "ip6tables"];
    this.#folder = join(world.directory, "tools");
    this.#callLog = join(world.directory, "restored");
    mkdirSync(join(this.#folder, "real"), { recursive: true });
    appendFileSync(lockOf(world), "");
    for (const variant of options.variants) this.#install(variant);
  }

  /** The words of a command line that run another one with these tools. */
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

  /** From now on, keeps every input of iptables-restore. */
  recordCalls(): void {
    this.#wrapRestore(`printf '%s\\n===\\n' "$text" >>${this.#callLog}`);
  }

  /** The inputs of iptables-restore of both families, one text each. */
  recordedCalls(): string[] {
    if (!existsSync(this.#callLog)) return [];
    return readFileSync(this.#callLog, "utf8").split("\n===\n").slice(0, -1);
  }

  /** From now on, iptables-restore refuses this, until `acceptAll`. */
  refuse(refusals: readonly ToolRefusal[]): void {
    const cases = refusals.map(({ pattern, words, status }, index) => {
      const reported = join(this.#world.directory, `refusal-${index}`);
      writeFileSync(reported, `${words}\n`);
      return `refused '${pattern}' ${reported} ${status}`;
    });
    this.#wrapRestore(`${REFUSED}\n${cases.join("\n")}`);
  }

  /** From now on, the tools are the real ones. */
  acceptAll(): void {
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

  /** The name of a tool of a variant. */
  #names(variant: Variant, suffix: string): string[] {
    const plain = this.#variants[0] === variant ? [""] : [];
    return this.#families.flatMap((family) =>
      [`-${variant}`, ...plain].map((each) => `${family}${each}${suffix}`),
    );
  }

  /** Puts a script in front of iptables-restore, with the input in $text. */
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
