/**
 * Sets up the iptables tools of one variant, separate from the other variant, and reads rules and
 * timings with them.
 */
import { mkdirSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { runAsync } from "../harness/commands.ts";
import { inNamespace } from "../harness/daemon.ts";
import { quantile } from "./measures.ts";

export type Variant = "legacy" | "nft";

const PROGRAMS = { legacy: "xtables-legacy-multi", nft: "xtables-nft-multi" } as const;
const TABLES = ["nat", "filter", "mangle"] as const;
const ROUNDS = 5;
const CHAIN = "BENCH-NOTHING";

export class Xtables {
  readonly variant: Variant;
  /**
   * The words of a command line that run a command with only these tools, and with a private lock.
   */
  readonly environment: readonly string[];
  readonly #netns: string;

  /** Creates the folder of the tools in `folder`. */
  constructor(variant: Variant, netns: string, folder: string) {
    this.variant = variant;
    this.#netns = netns;
    const tools = join(folder, `tools-${variant}`);
    mkdirSync(tools, { recursive: true });
    const program = Bun.which(PROGRAMS[variant]);
    if (program === null) throw new Error(`measure ${variant}: ${PROGRAMS[variant]}: not found`);
    for (const prefix of ["ip", "ip6"]) {
      for (const tool of ["", "-save", "-restore"]) {
        symlinkSync(program, join(tools, `${prefix}tables${tool}`));
      }
    }
    const lock = join(folder, `lock-${variant}`);
    this.environment = ["env", `PATH=${tools}`, `XTABLES_LOCKFILE=${lock}`];
  }

  /** `iptables v1.8.9 (legacy)` */
  async version(): Promise<string> {
    return (await this.#run(["iptables", "--version"])).trim();
  }

  /** Number of IPv4 rules, by table. */
  async rules(): Promise<{ readonly [table: string]: number }> {
    const counts: Record<string, number> = {};
    for (const table of TABLES) {
      const saved = await this.#run(["iptables-save", "-t", table]);
      counts[table] = saved.match(/^-A /gm)?.length ?? 0;
    }
    return counts;
  }

  /** Milliseconds: the median of a few restores that change one unused chain in nat. */
  async restoreTime(): Promise<number> {
    const elapsed: number[] = [];
    for (let round = 0; round < ROUNDS; round++) {
      const begun = performance.now();
      await this.#restore(`:${CHAIN} - [0:0]\n-A ${CHAIN} -j RETURN\n`);
      elapsed.push(performance.now() - begun);
    }
    await this.#restore(`:${CHAIN} - [0:0]\n-X ${CHAIN}\n`);
    return quantile(elapsed, 0.5);
  }

  /** Empties every table. */
  async wipe(): Promise<void> {
    for (const prefix of ["ip", "ip6"]) {
      const text = TABLES.map((table) => `*${table}\nCOMMIT\n`).join("");
      await this.#run([`${prefix}tables-restore`], text);
    }
  }

  #restore(lines: string): Promise<string> {
    return this.#run(["iptables-restore", "-w", "5", "--noflush"], `*nat\n${lines}COMMIT\n`);
  }

  #run(command: readonly string[], input?: string): Promise<string> {
    return runAsync([...inNamespace(this.#netns), ...this.environment, ...command], input);
  }
}
