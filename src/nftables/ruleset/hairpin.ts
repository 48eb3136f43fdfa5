/**
 * Builds the chains that masquerade a pod that reaches itself through a Service. Otherwise the pod
 * would see its own address as the source of the connection, and drop it.
 *
 * The source then equals the destination. The kernel cannot compare two fields of a packet. It can
 * look up a byte of each in the set of all pairs of equal bytes. So the rules need no list of this
 * node's endpoints, which an EndpointSlice may describe without `nodeName`. They start with
 * the last byte, in which the addresses of two pods mostly differ.
 *
 * The node may reach itself without them. Packets to `lo` are left out, because other programs
 * redirect 127.0.0.1 to 127.0.0.1, and a server there may trust the source.
 */

import { ADDRESS_BYTES, type Family } from "../../net/address.ts";
import { type Chain, type NftRule, rule } from "../wire/chains.ts";
import { loadNetworkHeader, lookup, masqueradeExpression, verdict } from "../wire/expressions.ts";
import { destinationOffset, sourceOffset } from "../wire/match.ts";
import { EQUAL_BYTES } from "../wire/object-names.ts";

export function hairpinChain(family: Family): string {
  return `hairpin${family}`;
}

/** Connections that another rule translated pass it. */
export function hairpin(family: Family): Chain {
  const rules: NftRule[] = [];
  for (let byte = ADDRESS_BYTES[family] - 1; byte >= 0; byte--) {
    rules.push(returnUnlessEqual(sourceOffset(family) + byte, destinationOffset(family) + byte));
  }
  rules.push(rule("masquerade fully-random", masqueradeExpression()));
  return { name: hairpinChain(family), rules };
}

/** Compares the bytes of the network header at these offsets. */
function returnUnlessEqual(source: number, destination: number): NftRule {
  return rule(
    `@nh,${source * 8},8 . @nh,${destination * 8},8 != @${EQUAL_BYTES} return`,
    [loadNetworkHeader(source, 1, 0), loadNetworkHeader(destination, 1, 1)],
    [lookup(EQUAL_BYTES, 0, true), verdict("return")],
  );
}
