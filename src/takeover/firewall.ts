/**
 * Where a firewall drops by its policy what an iptables mode accepts: Docker and ufw set that of FORWARD. In nftables
 * mode Sluice has no rules that accept, as kube-proxy's; so what an iptables mode left to do it stays for as long as it
 * is needed, and the operator is told which rules to add. In iptables mode they are ours to make, and only the tables of
 * the other variant can have such remains. Pure, but for what it is given to read by.
 */

import type { XtChain, XtRule } from "../iptables/syntax/iptables-save.ts";
import { FIREWALL } from "../iptables/syntax/known-chains.ts";
import type { Family } from "../net/address.ts";
import { ACCEPTORS, type Acceptor, type Besides, firewallIn } from "./kube-proxy-chains.ts";
import { NOTHING, type Removal } from "./removal.ts";
import type { Maker } from "./rule-origin.ts";

/** Set for node ports on loopback addresses, and left as it is, as upstream does. */
export const ROUTE_LOCALNET = "net.ipv4.conf.all.route_localnet";

/** A filter table, read by name. */
export interface FilterTable {
  chain(name: string): XtChain | undefined | Promise<XtChain | undefined>;
  /** Of a chain that is there. */
  rules(chain: string): readonly XtRule<unknown>[] | Promise<readonly XtRule<unknown>[]>;
}

export interface AcceptorState extends Acceptor {
  /** The policy of the built-in chain is to drop. */
  readonly drops: boolean;
  /** The acceptor is there. */
  readonly there: boolean;
  /** Packets come to it, and it has rules. */
  readonly works: boolean;
  /** The mark that it accepts. */
  readonly mark: number | undefined;
}

/** Rejects as `table` does. */
export async function acceptorsOf(table: FilterTable): Promise<readonly AcceptorState[]> {
  const states: AcceptorState[] = [];
  for (const acceptor of ACCEPTORS) {
    const { from, chain } = acceptor;
    const drops = (await table.chain(from))?.drops === true;
    const there = (await table.chain(chain)) !== undefined;
    const led = there && drops && (await table.rules(from)).some(({ target }) => target === chain);
    const rules = led ? await table.rules(chain) : [];
    const mark = rules.find((rule) => rule.mark !== undefined)?.mark;
    states.push({ ...acceptor, drops, there, works: rules.length > 0, mark });
  }
  return states;
}

/** Without it the policy would drop what it accepts. */
export function isNeeded({ drops, works }: AcceptorState): boolean {
  return drops && works;
}

/** How chains of one family and variant are removed. */
export interface ChainsOptions {
  readonly maker: Maker;
  /** Chains that accept what a policy would drop stay for as long as it would. */
  readonly keepNeeded: boolean;
  /**
   * What is to become of KUBE-FIREWALL, where it is nobody's but a proxy's: it stays; it goes; it goes unless it guards
   * anything. Upstream lets it stay.
   */
  readonly firewall: "stays" | "goes" | "goes unless it guards";
}

/** What there is to know of a filter table of which all chains are known. Rejects as `rulesOf` does. */
export async function filterOf(
  where: string,
  chains: readonly XtChain[],
  rulesOf: (chain: string) => Promise<readonly XtRule<unknown>[]>,
  { keepNeeded, firewall: fate }: ChainsOptions,
): Promise<Besides & { readonly stays: Removal }> {
  const chain = (name: string) => chains.find((each) => each.name === name);
  const needed = (await acceptorsOf({ chain, rules: rulesOf })).filter(isNeeded);
  const state = fate === "stays" ? undefined : await firewallIn(chains, rulesOf);
  const guards = state === "guards" && fate === "goes unless it guards";
  const note = `${FIREWALL} in ${where} stays: ${ROUTE_LOCALNET} is 1, and without the chain others on the network reach what listens on 127.0.0.1; set it to 0, and clean up again`;
  return {
    needed,
    keepNeeded,
    firewall: state === undefined || guards ? undefined : FIREWALL,
    stays: guards ? { ...NOTHING, notes: [note] } : NOTHING,
  };
}

/** A policy that drops, and what accepts in spite of it. */
export interface Dropping extends AcceptorState {
  readonly family: Family;
  readonly legacy: boolean;
  /** `table ip filter` */
  readonly where: string;
}

/** What to tell of it; undefined if nothing. `masqueradeBit` is ours. */
export function textOfDropping(dropping: Dropping, masqueradeBit: number): string | undefined {
  const { drops, from, chain, accepts, where } = dropping;
  if (!drops) return undefined;
  const policy = `the policy of ${from} in ${where} is DROP`;
  const rules = missingRules(dropping, masqueradeBit).join("; ");
  if (isNeeded(dropping)) {
    const stays = `${chain}, left by an iptables mode, stays to accept ${accepts}, but nobody makes it after a reboot`;
    return `${policy}: ${stays}; add rules that do: ${rules}${otherMark(dropping, masqueradeBit)}`;
  }
  // Whether there are such ports is not known here.
  if (from === "INPUT") return undefined;
  return `${policy}: ${accepts} are accepted only if another rule does, as these do: ${rules}`;
}

function missingRules({ from, family, legacy }: Dropping, masqueradeBit: number): string[] {
  const tool = `${family === 4 ? "iptables" : "ip6tables"}${legacy ? "-legacy" : ""}`;
  const add = (match: string) => `${tool} -A ${from} ${match} -j ACCEPT`;
  if (from === "INPUT") return [add("-p tcp --dport PORT")];
  const mark = hex(markOf(masqueradeBit));
  return [add("-m conntrack --ctstate RELATED,ESTABLISHED"), add(`-m mark --mark ${mark}/${mark}`)];
}

function otherMark({ from, chain, mark }: Dropping, masqueradeBit: number): string {
  const ours = markOf(masqueradeBit);
  if (from !== "FORWARD" || mark === ours) return "";
  const bears = mark === undefined ? "no mark" : `mark ${hex(mark)}`;
  return `; until then only packets of established connections are accepted, for ${chain} knows ${bears}, and what Sluice masquerades bears ${hex(ours)}`;
}

function markOf(bit: number): number {
  return 2 ** bit;
}

function hex(mark: number): string {
  return `0x${mark.toString(16)}`;
}
