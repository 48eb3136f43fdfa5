/**
 * The chains that do not depend on Services, and the rules of built-in chains that lead to ours.
 * Pure.
 */

import type { SkeletonOptions } from "../../backend/skeleton-options.ts";
import type { Family } from "../../net/address.ts";
import { JUMPS, type Jump, LOOPBACK, printGuard, printJump } from "../syntax/jumps.ts";
import {
  FIREWALL,
  FORWARD,
  HAIRPIN,
  MARK_MASQ,
  POSTROUTING,
  type RuleTable,
} from "../syntax/known-chains.ts";
import { comment, lines, markWords, words } from "./rule-text.ts";

/** What the rules depend on besides Services and the node. */
export interface RulesetOptions extends SkeletonOptions {
  /** MASQUERADE takes --random-fully. */
  readonly randomFully: boolean;
  /** The kernel has xt_comment. */
  readonly comments: boolean;
  /** The kernel has xt_recent: without it clients with affinity choose as those without. */
  readonly recent: boolean;
  /** The kernel has xt_sctp: without it there is no rule for SCTP. Stays as it was at first. */
  readonly sctp: boolean;
}

/** `-j MASQUERADE`. */
export function masquerade({ randomFully }: RulesetOptions): string {
  return `-j MASQUERADE${randomFully ? " --random-fully" : ""}`;
}

/** Only IPv4 has `route_localnet`, which lets loopback addresses be translated. */
export function servesLocalhost({ localhostNodePorts }: RulesetOptions, family: Family): boolean {
  return localhostNodePorts === true && family === 4;
}

/** Loopback addresses, if node ports are served there. */
export function localhostRange(options: RulesetOptions, family: Family): string | undefined {
  return servesLocalhost(options, family) ? LOOPBACK : undefined;
}

/** The constant chains of a table, by name. Undefined: these options do without it. */
export function fixedChains(
  options: RulesetOptions,
  family: Family,
): readonly (readonly [RuleTable, string, string | undefined])[] {
  const mark = markWords(options.masqueradeBit);
  const says = (text: string) => (options.comments ? comment(text) : undefined);
  return [
    [
      "nat",
      POSTROUTING,
      lines(
        `${mark.unmarked} -m conntrack --ctstate DNAT -j ${HAIRPIN}`,
        `${mark.unmarked} -j RETURN`,
        // Or a packet that is encapsulated afterwards would carry it on.
        mark.clear,
        words(says("kubernetes service traffic requiring SNAT"), masquerade(options)),
      ),
    ],
    ["nat", MARK_MASQ, mark.set],
    [
      "filter",
      FORWARD,
      lines(
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
      // Word for word the kubelet's: pkg/kubelet/kubelet_network_linux.go.
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

/** In the order in which they are inserted, each at the top. */
export function jumpsOf(options: RulesetOptions, family: Family): readonly Jump[] {
  const jumps = JUMPS.map((jump) => ({
    table: jump.table,
    from: jump.from,
    rule: printJump(jump, options.comments ? comment(jump.comment) : undefined),
  }));
  return servesLocalhost(options, family) ? [...jumps, ...KUBELET_JUMPS] : jumps;
}
