/**
 * Handles firewalls with a policy that drops packets which an iptables mode accepts: Docker and ufw
 * set the policy of FORWARD.
 *
 * In nftables mode neither Sluice nor kube-proxy has rules that accept packets. Accept chains that
 * an iptables mode left therefore stay while a policy makes them necessary, and the operator learns
 * which rules to add. In iptables mode Sluice writes such chains itself, so only tables of the
 * other iptables variant can have leftovers. Pure, except for the readers that are passed in.
 */

import type { IptablesChain, IptablesRule } from "../iptables/syntax/iptables-save.ts";
import { FIREWALL } from "../iptables/syntax/known-chains.ts";
import type { Family } from "../net/address.ts";
import {
  ACCEPT_CHAINS,
  type AcceptChain,
  type LeftoverOptions,
  readFirewall,
} from "./removable-chains.ts";
import { NOTHING_REMOVED, type Removal } from "./removal.ts";
import type { RuleOwner } from "./rule-origin.ts";

/** Set for node ports on loopback addresses. Like upstream, Sluice never resets it. */
export const ROUTE_LOCALNET_SYSCTL = "net.ipv4.conf.all.route_localnet";

/** A filter table that is read by name. */
export interface FilterTable {
  chain(name: string): IptablesChain | undefined | Promise<IptablesChain | undefined>;
  /** The rules of an existing chain. */
  rules(
    chain: string,
  ): readonly IptablesRule<unknown>[] | Promise<readonly IptablesRule<unknown>[]>;
}

export interface AcceptChainState extends AcceptChain {
  /** The policy of the built-in chain is DROP. */
  readonly policyDrops: boolean;
  /** The accept chain exists. */
  readonly exists: boolean;
  /** The accept chain is reachable and has rules. */
  readonly hasEffect: boolean;
  /** The packet mark that the accept chain accepts. */
  readonly mark: number | undefined;
}

/** Reads the state of the accept chains. Rejects like `table`. */
export async function readAcceptChains(table: FilterTable): Promise<readonly AcceptChainState[]> {
  const states: AcceptChainState[] = [];
  for (const acceptChain of ACCEPT_CHAINS) {
    const { from, chain } = acceptChain;
    const policyDrops = (await table.chain(from))?.drops === true;
    const exists = (await table.chain(chain)) !== undefined;
    const reachable =
      exists && policyDrops && (await table.rules(from)).some(({ target }) => target === chain);
    const rules = reachable ? await table.rules(chain) : [];
    const mark = rules.find((rule) => rule.mark !== undefined)?.mark;
    states.push({ ...acceptChain, policyDrops, exists, hasEffect: rules.length > 0, mark });
  }
  return states;
}

/** Reports whether the policy would drop what the chain accepts. */
export function isAcceptChainRequired({ policyDrops, hasEffect }: AcceptChainState): boolean {
  return policyDrops && hasEffect;
}

/** Options for removing the chains of one family and variant. */
export interface RemovalConditions {
  readonly owner: RuleOwner;
  /** Keep accept chains while a policy makes them necessary. */
  readonly keepRequired: boolean;
  /** Handling of KUBE-FIREWALL if only a proxy uses it. Upstream keeps it. */
  readonly firewall: "keep" | "remove" | "remove-unless-guarding";
}

/**
 * Decides what may be removed from a filter table, given all its chains. `stays` notes what must
 * stay. Rejects like `rulesOf`.
 */
export async function chooseLeftoverOptions(
  where: string,
  chains: readonly IptablesChain[],
  rulesOf: (chain: string) => Promise<readonly IptablesRule<unknown>[]>,
  { keepRequired, firewall: disposition }: RemovalConditions,
): Promise<LeftoverOptions & { readonly keptNotes: Removal }> {
  const chain = (name: string) => chains.find((each) => each.name === name);
  const required = (await readAcceptChains({ chain, rules: rulesOf })).filter(
    isAcceptChainRequired,
  );
  const state = disposition === "keep" ? undefined : await readFirewall(chains, rulesOf);
  const guards = state === "guards" && disposition === "remove-unless-guarding";
  const note = `Kept ${FIREWALL} in ${where}: ${ROUTE_LOCALNET_SYSCTL} is 1, so without this chain other hosts can reach programs on 127.0.0.1 (set it to 0, then repeat --cleanup)`;
  return {
    required,
    keepRequired: keepRequired,
    firewall: state === undefined || guards ? undefined : FIREWALL,
    keptNotes: guards ? { ...NOTHING_REMOVED, messages: [note] } : NOTHING_REMOVED,
  };
}

/** A policy that drops packets, and the chain that accepts them nevertheless. */
export interface DropPolicy extends AcceptChainState {
  readonly family: Family;
  readonly legacy: boolean;
  /** `table ip filter` */
  readonly where: string;
}

/**
 * The text that reports the policy; undefined if there is nothing to report. `masqueradeBit` is
 * Sluice's.
 */
export function describeDropPolicy(
  dropPolicy: DropPolicy,
  masqueradeBit: number,
): string | undefined {
  const { policyDrops, from, chain, accepts, where } = dropPolicy;
  if (!policyDrops) return undefined;
  const policy = `policy DROP of chain ${from} in ${where}`;
  const rules = missingRules(dropPolicy, masqueradeBit).join("; ");
  if (isAcceptChainRequired(dropPolicy)) {
    const stays = `${chain}, left by an iptables mode, still accepts ${accepts}, but a reboot removes it`;
    return `${policy}: ${stays}; add rules that accept them: ${rules}${otherMark(dropPolicy, masqueradeBit)}`;
  }
  // It is unknown here whether there are such ports.
  if (from === "INPUT") return undefined;
  return `${policy}: ${accepts} pass only if other rules accept them, for example: ${rules}`;
}

function missingRules({ from, family, legacy }: DropPolicy, masqueradeBit: number): string[] {
  const tool = `${family === 4 ? "iptables" : "ip6tables"}${legacy ? "-legacy" : ""}`;
  const add = (match: string) => `${tool} -A ${from} ${match} -j ACCEPT`;
  if (from === "INPUT") return [add("-p tcp --dport PORT")];
  const mark = hex(markOf(masqueradeBit));
  return [add("-m conntrack --ctstate RELATED,ESTABLISHED"), add(`-m mark --mark ${mark}/${mark}`)];
}

function otherMark({ from, chain, mark }: DropPolicy, masqueradeBit: number): string {
  const ours = markOf(masqueradeBit);
  if (from !== "FORWARD" || mark === ours) return "";
  const accepted = mark === undefined ? "no mark" : `mark ${hex(mark)}`;
  return `; until then only packets of established connections pass, because ${chain} accepts ${accepted} and Sluice masquerades with mark ${hex(ours)}`;
}

function markOf(bit: number): number {
  return 2 ** bit;
}

function hex(mark: number): string {
  return `0x${mark.toString(16)}`;
}
