/**
 * A tool may print a rule in other words than we know. A chain that was just written, twice, and is printed both times
 * as it was before is what it should be; otherwise it would be written again at every look. But only if it can be the
 * same: somebody who undoes each restore at once prints the same text every time, too.
 */
import type { Logger } from "../base/log.ts";
import type { FamilyRules } from "./family.ts";
import type { PrintedChain } from "./kernel-chains.ts";
import type { ChainText } from "./rules/rule-text.ts";
import { isKubeProxyChain, type RuleTable } from "./syntax/known-chains.ts";

/** More are read by saving the table. */
const LISTED_MAX = 8;

/** Chains of which that is so. */
export class Confirmed {
  readonly #chains: ReadonlySet<string>;

  constructor(chains: readonly PrintedChain[]) {
    this.#chains = new Set(chains.map(({ table, chain }) => `${table} ${chain}`));
  }

  has(table: RuleTable, chain: string): boolean {
    return this.#chains.has(`${table} ${chain}`);
  }
}

/** `before`: chains that were printed like this, and written since. @throws SluiceError TOOL_FAILED */
export async function readOtherWords(
  family: FamilyRules,
  before: readonly PrintedChain[],
  log: Logger | undefined,
): Promise<Confirmed> {
  let same = await unchanged(
    family,
    before.filter((one) => canBeSame(family, one)),
  );
  if (same.length === 0) return new Confirmed([]);
  const steps = same.flatMap(({ table, chain }) => {
    const text = family.textOf(table, chain);
    return text === undefined ? [] : [{ kind: "replace", table, chain, text } as const];
  });
  const { refused } = await family.write(steps);
  same = refused === undefined ? await unchanged(family, same) : [];
  for (const { table, chain, printed } of same) {
    const wanted = family.textOf(table, chain);
    if (wanted !== undefined) family.kernel.accept(table, chain, { printed, wanted });
  }
  const [first] = same;
  if (first !== undefined && log?.once(`iptables other words ${family.family}`)) {
    const { table, chain, printed } = first;
    log.info(
      "The tools print rules in other words than they were written in; they are taken for the same",
      {
        tool: family.tools.path,
        version: family.tools.version,
        chains: same.length,
        chain: `${table} ${chain}`,
        printed,
        written: family.textOf(table, chain) ?? "",
      },
    );
  }
  return new Confirmed(same);
}

/** Words differ from tool to tool; how many rules there are, in which order, for what and where to does not. */
function canBeSame(family: FamilyRules, { table, chain, printed }: PrintedChain): boolean {
  const wanted = family.textOf(table, chain) ?? "";
  return wanted !== "" && printed !== "" && essence(printed) === essence(wanted);
}

const ESSENTIAL = /(! )?(-[sdjg]|--dport|--to-destination) (\S+)/g;

/** Of each rule the target, and addresses and ports. */
function essence(text: ChainText): string {
  const rules = text.replaceAll(/"[^"\n]*"/g, "").split("\n");
  return rules
    .map((rule) => (rule.match(ESSENTIAL) ?? []).map((words) => words.replace(HOST, "")).sort())
    .join("\n");
}

/** Tools may print a single address without. */
const HOST = /\/(32|128)$/;

/** Those that are printed as before. */
async function unchanged(
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
