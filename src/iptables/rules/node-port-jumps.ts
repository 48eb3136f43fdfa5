/** Builds the last rules of KUBE-SERVICES in nat, which lead to node ports. Pure. */

import {
  type Cidr,
  compareAddresses,
  type Family,
  isLoopback,
  printCidr,
} from "../../net/address.ts";
import { cidrContains, LOOPBACK } from "../../net/cidr.ts";
import { NODE_PORTS } from "../syntax/known-chains.ts";
import { localhostRange, type RulesetOptions } from "./fixed-chains.ts";
import { type ChainText, commentWords, joinRules, type Word, words } from "./rule-text.ts";

/**
 * Returns a rule for each range, as kube-proxy has for all addresses. The kernel decides which
 * addresses are local, so that a new one serves at once. The ranges are disjoint.
 */
export function nodePortJumps(
  ranges: readonly Cidr[],
  options: RulesetOptions,
  family: Family,
): ChainText {
  const says = options.comments
    ? commentWords("kubernetes service nodeports; NOTE: this must be the last rule in this chain")
    : undefined;
  const jump = (destination: Word) =>
    words(destination, says, "-m addrtype --dst-type LOCAL", `-j ${NODE_PORTS}`);
  const localhost = localhostRange(options, family);
  const loopback = printCidr(LOOPBACK[family]);
  if (ranges.some(({ prefix }) => prefix === 0)) {
    return jump(localhost === undefined ? `! -d ${loopback}` : undefined);
  }
  const jumps = [...ranges].sort(compareAddresses).map((range) => jump(`-d ${printCidr(range)}`));
  const contained = ranges.some((range) => cidrContains(range, LOOPBACK[family]));
  if (localhost !== undefined) {
    return joinRules(...jumps, contained ? undefined : jump(`-d ${localhost}`));
  }
  const overlaps = contained || ranges.some(isLoopback);
  return joinRules(overlaps ? words(`-d ${loopback}`, says, "-j RETURN") : undefined, ...jumps);
}
