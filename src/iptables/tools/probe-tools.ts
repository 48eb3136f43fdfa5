/**
 * Checks that the tools and the kernel support the matches and targets in our rules. One restore
 * tries all of them, in a scratch chain that no rule leads to. If it is refused, each is tried
 * alone to name the missing ones. No restore runs for legacy tables if /proc lists all of them as
 * loaded.
 */
import { readFileSync } from "node:fs";
import { SluiceError } from "../../base/errors.ts";
import type { Family } from "../../net/address.ts";
import { RULE_TABLES, type RuleTable } from "../syntax/known-chains.ts";
import { deniedError, requireNat } from "./check-access.ts";
import { type OnLocked, restoreWhenUnlocked } from "./lock-wait.ts";
import { isDenied, lockFileOf } from "./restore-errors.ts";
import type { IptablesTools } from "./tools.ts";

/** Features that are optional for the rules. */
export interface Features {
  /** `MASQUERADE --random-fully` */
  readonly randomFully: boolean;
  /** xt_comment; without it, rules have no comments. */
  readonly comments: boolean;
  /** xt_recent; without it, session affinity is not served. */
  readonly recent: boolean;
  /** xt_sctp; without it, SCTP is not served. */
  readonly sctp: boolean;
}

const FEATURES: readonly (keyof Features)[] = ["randomFully", "comments", "recent", "sctp"];
/** Features without which some Services are not fully served. */
export const SERVICE_FEATURES: readonly (keyof Features)[] = ["recent", "sctp"];

const UNSUPPORTED: { readonly [feature in keyof Features]: string } = {
  randomFully: "masquerading works without --random-fully, which the tools or the kernel lack",
  comments: "rules have no comments, because the kernel lacks xt_comment",
  recent: "session affinity does not work, because the kernel lacks xt_recent",
  sctp: "SCTP does not work, because the kernel lacks xt_sctp",
};

/** A sentence for each missing feature in `features`. */
export function unsupportedFeatures(available: Features, features = FEATURES): string[] {
  return features.flatMap((feature) => (available[feature] ? [] : [UNSUPPORTED[feature]]));
}

/**
 * The scratch chain. If Sluice is killed before it removes the chain, `kube-proxy --cleanup` does,
 * because of the prefix.
 */
export const SCRATCH_CHAIN = "KUBE-SVC-SLUICE-PROBE";

/** One match or target, in a separate rule. */
interface Trial {
  /** The kernel module, and the kernel option that builds it. */
  readonly needs: string;
  readonly table: RuleTable;
  /** The rule without `-A CHAIN `; undefined to try only the chain. */
  readonly rule: string | undefined;
  readonly feature?: keyof Features;
}

/**
 * Probes the tools and the kernel. Needs two restores if nothing is missing, and none if the kernel
 * has everything loaded for legacy tables. Leaves nothing behind. Waits for the xtables lock for as
 * long as another program holds it.
 * @throws SluiceError KERNEL_UNSUPPORTED naming what is missing; PERMISSION_DENIED; TOOL_FAILED, if
 * the probe cannot run
 */
export async function probeTools(
  tools: IptablesTools,
  locked: OnLocked = () => {},
): Promise<Features> {
  const { family, variant, randomFully } = tools;
  if (variant === "legacy" && isAllLoaded(family)) {
    return { randomFully, comments: true, recent: true, sctp: true };
  }
  const known = trials(family).filter(({ feature }) => feature !== "randomFully" || randomFully);
  try {
    const refused = (await tryRules(tools, known, locked)) !== undefined;
    return reportMissing(tools, refused ? await refusedOneByOne(tools, known, locked) : []);
  } finally {
    // Needs a separate restore: if one restore creates and removes a chain, the tool sends neither
    // to the kernel.
    await restoreWhenUnlocked(
      tools,
      print((lines) => [...lines, `-X ${SCRATCH_CHAIN}`], []),
      locked,
    );
  }
}

const IP = { 4: "IP", 6: "IP6" } as const;
const XT_MODULES = "CONFIG_NETFILTER_XT";

function trials(family: Family): readonly Trial[] {
  const address = family === 4 ? "192.0.2.1" : "[2001:db8::1]";
  const module = family === 4 ? "ip" : "ip6";
  const xt = (name: string, kind: "MATCH" | "TARGET", table: RuleTable, rule: string): Trial => {
    return { needs: `xt_${name} (${XT_MODULES}_${kind}_${name.toUpperCase()})`, table, rule };
  };
  const ports = (protocol: string, needs: string): Trial => {
    return { needs, table: "nat", rule: `-p ${protocol} -m ${protocol} --dport 80` };
  };
  return [
    { needs: `the table nat (CONFIG_${IP[family]}_NF_NAT)`, table: "nat", rule: undefined },
    {
      needs: `the table filter (CONFIG_${IP[family]}_NF_FILTER)`,
      table: "filter",
      rule: undefined,
    },
    { ...xt("comment", "MATCH", "nat", "-m comment --comment probe"), feature: "comments" },
    xt("conntrack", "MATCH", "nat", "-m conntrack --ctstate DNAT"),
    xt("conntrack", "MATCH", "filter", "-m conntrack --ctstate NEW"),
    xt("mark", "MATCH", "nat", "-m mark ! --mark 0x4000/0x4000"),
    xt("mark", "TARGET", "nat", "-j MARK --set-xmark 0x4000/0x0"),
    xt("statistic", "MATCH", "nat", "-m statistic --mode random --probability 0.5"),
    xt("addrtype", "MATCH", "nat", "-m addrtype --src-type LOCAL"),
    {
      ...xt(
        "recent",
        "MATCH",
        "nat",
        `-m recent --rcheck --seconds 10 --reap --name ${SCRATCH_CHAIN}`,
      ),
      feature: "recent",
    },
    ports("tcp", "xt_tcpudp (CONFIG_NETFILTER_XTABLES)"),
    ports("udp", "xt_tcpudp (CONFIG_NETFILTER_XTABLES)"),
    { ...ports("sctp", `xt_sctp (${XT_MODULES}_MATCH_SCTP)`), feature: "sctp" },
    {
      needs: `xt_nat (${XT_MODULES}_NAT)`,
      table: "nat",
      rule: `-p tcp -j DNAT --to-destination ${address}:80`,
    },
    xt("MASQUERADE", "TARGET", "nat", "-j MASQUERADE"),
    {
      ...xt("MASQUERADE", "TARGET", "nat", "-j MASQUERADE --random-fully"),
      feature: "randomFully",
    },
    {
      needs: `${module}t_REJECT (CONFIG_${IP[family]}_NF_TARGET_REJECT)`,
      table: "filter",
      rule: "-j REJECT",
    },
  ];
}

const PROC_PREFIXES = { 4: "/proc/net/ip", 6: "/proc/net/ip6" } as const;
/** The tables, matches and targets in `trials`. */
const NEEDED = {
  names: ["nat", "filter"],
  matches: [
    ...["comment", "conntrack", "mark", "statistic", "addrtype", "recent"],
    ...["tcp", "udp", "sctp"],
  ],
  targets: ["MARK", "DNAT", "MASQUERADE", "REJECT"],
} as const;

/**
 * Reports whether /proc lists everything as loaded for legacy tables. If so, no trial is needed,
 * which would rewrite the tables as a whole. False if /proc cannot be read.
 */
function isAllLoaded(family: Family): boolean {
  try {
    return Object.entries(NEEDED).every(([list, needed]) => {
      const path = `${PROC_PREFIXES[family]}_tables_${list}`;
      const loaded = readFileSync(path, "utf8").split("\n");
      return needed.every((name) => loaded.includes(name));
    });
  } catch {
    return false;
  }
}

interface Missing {
  readonly trial: Trial;
  /** The tool's error message. */
  readonly words: string;
}

function reportMissing(
  { variant, family, randomFully }: IptablesTools,
  missing: readonly Missing[],
): Features {
  const needed = missing.filter(({ trial }) => trial.feature === undefined);
  if (needed.length === 0) {
    const has = (feature: keyof Features) =>
      missing.every(({ trial }) => trial.feature !== feature);
    return {
      randomFully: randomFully && has("randomFully"),
      comments: has("comments"),
      recent: has("recent"),
      sctp: has("sctp"),
    };
  }
  const named = [...new Map(needed.map(({ trial, words }) => [trial.needs, words]))];
  throw new SluiceError(
    "KERNEL_UNSUPPORTED",
    `probe iptables (${variant}, IPv${family}): the tools or the kernel lack ` +
      named.map(([needs, words]) => `${needs}: ${words}`).join("; "),
    named[0]?.[0],
  );
}

async function refusedOneByOne(
  tools: IptablesTools,
  known: readonly Trial[],
  locked: OnLocked,
): Promise<Missing[]> {
  await requireNat(tools);
  const missing: Missing[] = [];
  for (const trial of known) {
    const words = await tryRules(tools, [trial], locked);
    if (words !== undefined) missing.push({ trial, words });
  }
  return missing;
}

/**
 * Returns the tool's error message if it refuses, otherwise undefined.
 * @throws SluiceError PERMISSION_DENIED, TOOL_FAILED
 */
async function tryRules(
  tools: IptablesTools,
  tried: readonly Trial[],
  locked: OnLocked,
): Promise<string | undefined> {
  const result = await restoreWhenUnlocked(
    tools,
    print((lines) => lines, tried),
    locked,
  );
  if (result.ok) return undefined;
  const { message } = result;
  if (isDenied(message)) throw deniedError(tools, message);
  const file = lockFileOf(message);
  if (file !== undefined) {
    const text = `open xtables lock ${file}: ${message} (its directory must exist and be writable)`;
    throw new SluiceError("TOOL_FAILED", text, file);
  }
  return message;
}

/**
 * Prints a restore that fills the scratch chain in each table in `tried`, or in all tables if it is
 * empty.
 */
function print(
  complete: (lines: readonly string[]) => readonly string[],
  tried: readonly Trial[],
): string {
  let text = "";
  for (const table of RULE_TABLES) {
    const ofTable = tried.filter((trial) => trial.table === table);
    if (ofTable.length === 0 && tried.length > 0) continue;
    const rules = ofTable.flatMap(({ rule }) =>
      rule === undefined ? [] : `-A ${SCRATCH_CHAIN} ${rule}`,
    );
    const lines = complete([`:${SCRATCH_CHAIN} - [0:0]`, ...rules]);
    text += `*${table}\n${lines.join("\n")}\nCOMMIT\n`;
  }
  return text;
}
