/** Builds the chains that do not depend on Services, and the jumps from built-in chains. Pure. */

import type { SkeletonOptions } from "../../backend/skeleton-options.ts";
import type { Family } from "../../net/address.ts";
import { JUMPS, type Jump, LOOPBACK_MATCH, printGuard, printJump } from "../syntax/jumps.ts";
import {
  FIREWALL,
  FORWARD,
  HAIRPIN,
  MARK_MASQ,
  POSTROUTING,
  type RuleTable,
} from "../syntax/known-chains.ts";
import { hairpinRules } from "./hairpin-rules.ts";
import { commentWords, joinRules, markMatches, words } from "./rule-text.ts";

/** Options of the rules. The rules also depend on Services and the node. */
export interface RulesetOptions extends SkeletonOptions {
  /** The MASQUERADE target supports --random-fully. */
  readonly randomFully: boolean;
  /** The kernel has xt_comment. */
  readonly comments: boolean;
  /** The kernel has xt_recent. Without it, session affinity is not served. */
  readonly recent: boolean;
  /**
   * The kernel has xt_sctp. Without it, there are no rules for SCTP. Does not change after the
   * start.
   */
  readonly sctp: boolean;
}

/** `-j MASQUERADE`. */
function masqueradeTarget({ randomFully }: RulesetOptions): string {
  return `-j MASQUERADE${randomFully ? " --random-fully" : ""}`;
}

/** Only IPv4 has `route_localnet`, which permits translating loopback addresses. */
function servesLocalhost({ localhostNodePorts }: RulesetOptions, family: Family): boolean {
  return localhostNodePorts === true && family === 4;
}

/** The loopback addresses, if they serve node ports. */
export function localhostRange(options: RulesetOptions, family: Family): string | undefined {
  return servesLocalhost(options, family) ? LOOPBACK_MATCH : undefined;
}

/**
 * The constant chains by table and name. The text is undefined if these options do not need the
 * chain.
 */
export function fixedChains(
  options: RulesetOptions,
  family: Family,
): readonly (readonly [RuleTable, string, string | undefined])[] {
  const mark = markMatches(options.masqueradeBit);
  const says = (text: string) => (options.comments ? commentWords(text) : undefined);
  return [
    [
      "nat",
      POSTROUTING,
      joinRules(
        `! -o lo ${mark.unmarked} -m conntrack --ctstate DNAT -j ${HAIRPIN}`,
        `${mark.unmarked} -j RETURN`,
        // Otherwise, a packet that is encapsulated afterwards would still carry the mark.
        mark.clear,
        words(says("kubernetes service traffic requiring SNAT"), masqueradeTarget(options)),
      ),
    ],
    ["nat", HAIRPIN, hairpinRules(family, masqueradeTarget(options))],
    ["nat", MARK_MASQ, mark.set],
    [
      "filter",
      FORWARD,
      joinRules(
        options.dropInvalid ? "-m conntrack --ctstate INVALID -j DROP" : undefined,
        words(says("kubernetes forwarding rules"), mark.marked, "-j ACCEPT"),
        words(
          says("kubernetes forwarding conntrack rule"),
          "-m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
        ),
      ),
    ],
    [
      "filter",
      FIREWALL,
      // Identical to the kubelet's rule: pkg/kubelet/kubelet_network_linux.go.
      servesLocalhost(options, family)
        ? printGuard(says("block incoming localnet connections"))
        : undefined,
    ],
  ];
}

const KUBELET_JUMPS: readonly Jump[] = [
  { table: "filter", from: "INPUT", rule: `-j ${FIREWALL}` },
  { table: "filter", from: "OUTPUT", rule: `-j ${FIREWALL}` },
];

/** The jumps in the order of their insertion. Each is inserted at the top. */
export function jumpsOf(options: RulesetOptions, family: Family): readonly Jump[] {
  const jumps = JUMPS.map((jump) => ({
    table: jump.table,
    from: jump.from,
    rule: printJump(jump, options.comments ? commentWords(jump.comment) : undefined),
  }));
  return servesLocalhost(options, family) ? [...jumps, ...KUBELET_JUMPS] : jumps;
}
