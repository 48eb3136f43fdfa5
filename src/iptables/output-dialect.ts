/**
 * Recognizes rules that a tool prints in other words than ours. Without it, Sluice would repair
 * such a chain forever. A chain is accepted if Sluice wrote it twice and the tool printed it as
 * before each time. The printed rules must also have the wanted targets, addresses and ports: a
 * process that reverts every restore at once causes the same output.
 */
import type { Logger } from "../base/log.ts";
import { parseAddress, printAddress } from "../net/address.ts";
import type { FamilyRules } from "./family-rules.ts";
import type { PrintedChain } from "./kernel-chains.ts";
import type { ChainText } from "./rules/rule-text.ts";
import { isKubeProxyChain, type RuleTable } from "./syntax/known-chains.ts";

/** Up to this many chains are listed one by one. For more, the whole table is saved. */
const LISTED_MAX = 8;

/** Chains that differ only in the dialect of the tool. */
class DialectChains {
  readonly #chains: ReadonlySet<string>;

  constructor(chains: readonly PrintedChain[]) {
    this.#chains = new Set(chains.map(({ table, chain }) => `${table} ${chain}`));
  }

  has(table: RuleTable, chain: string): boolean {
    return this.#chains.has(`${table} ${chain}`);
  }
}

/**
 * Finds the chains that differ only in the dialect of the tool, and records this for comparisons.
 * `before`: chains as printed before the write.
 * @throws SluiceError TOOL_FAILED
 */
export async function acceptDialect(
  family: FamilyRules,
  before: readonly PrintedChain[],
  log: Logger | undefined,
): Promise<DialectChains> {
  let same = await stillPrinted(
    family,
    before.filter((one) => isSameEssence(family, one)),
  );
  if (same.length === 0) return new DialectChains([]);
  const steps = same.flatMap(({ table, chain }) => {
    const text = family.textOf(table, chain);
    return text === undefined ? [] : [{ kind: "replace", table, chain, text } as const];
  });
  const { refused } = await family.write(steps);
  same = refused === undefined ? await stillPrinted(family, same) : [];
  for (const { table, chain, printed } of same) {
    const wanted = family.textOf(table, chain);
    if (wanted !== undefined) family.kernel.acceptDialect(table, chain, { printed, wanted });
  }
  const [first] = same;
  if (first !== undefined && log?.firstTime(`iptables other words ${family.family}`)) {
    const { table, chain, printed } = first;
    log.info("iptables prints rules in another form than Sluice writes; treating both as equal", {
      tool: family.tools.path,
      version: family.tools.version,
      chains: same.length,
      chain: `${table} ${chain}`,
      printed,
      written: family.textOf(table, chain) ?? "",
    });
  }
  return new DialectChains(same);
}

/**
 * A dialect changes neither the number and order of rules nor their addresses, ports and targets.
 */
function isSameEssence(family: FamilyRules, { table, chain, printed }: PrintedChain): boolean {
  const wanted = family.textOf(table, chain) ?? "";
  return wanted !== "" && printed !== "" && essence(printed) === essence(wanted);
}

const ESSENTIAL = /(! )?(-[sdjg]|--dport|--to-destination) (\S+)/g;

/** The target, addresses and ports of each rule. */
function essence(text: ChainText): string {
  const rules = text.replaceAll(/"[^"\n]*"/g, "").split("\n");
  return rules.map((rule) => (rule.match(ESSENTIAL) ?? []).map(plainAddress).sort()).join("\n");
}

function plainAddress(words: string): string {
  return words.replace(HOST, "").replaceAll(EMBEDDED, (text) => {
    const address = parseAddress(text);
    return address === undefined ? text : printAddress(address.bytes);
  });
}

/** A tool may leave out the prefix length of a single address. */
const HOST = /\/(32|128)$/;
/** C libraries differ in whether they print `::1.0.0.0` or `::100:0`. */
const EMBEDDED = /::\d+\.\d+\.\d+\.\d+/g;

/** The chains that are still printed as before. */
async function stillPrinted(
  family: FamilyRules,
  before: readonly PrintedChain[],
): Promise<PrintedChain[]> {
  const own = before.filter(({ table, chain }) => isKubeProxyChain(table, chain));
  if (own.length === 0) return [];
  if (own.length > LISTED_MAX) {
    await family.read();
    return own.filter(({ table, chain, printed }) => {
      return family.kernel.chains(table).get(chain) === printed;
    });
  }
  const same: PrintedChain[] = [];
  for (const one of own) {
    const listed = await family.tools.list(one.table, one.chain);
    if (listed !== undefined && rulesListed(listed) === one.printed) same.push(one);
  }
  return same;
}

function rulesListed(listed: string): ChainText {
  return [...listed.matchAll(/^-A \S+ (.*)$/gm)].map(([, rule]) => rule).join("\n");
}
