/**
 * Builds the chains that refuse connections: without an endpoint that serves them, or from a source
 * that may not connect.
 */
import type { SkeletonOptions } from "../../backend/skeleton-options.ts";
import type { Family } from "../../net/address.ts";
import { type Chain, rule } from "../wire/chains.ts";
import { lookup, verdict } from "../wire/expressions.ts";
import {
  addressWords,
  dispatch,
  loadDestination,
  loadPortKey,
  loadSource,
  matchFamily,
  matchFrontendKey,
  matchLocal,
  matchNodePortAddress,
  matchNonPods,
  resetPriority,
} from "../wire/match.ts";
import { headerText } from "./header-text.ts";

/** Target of the action `reject`. */
export const REJECT_CHAIN = "reject-connection";
/** Refuses new connections that no endpoint serves. */
export const UNSERVED_CHAIN = "unserved";
/** The same for connections that may end on this node, which can have a node port. */
export const UNSERVED_LOCAL_CHAIN = "unserved-local";
/** Target of the action `drop-outside`. */
export function dropOutsideChain(family: Family): string {
  return `drop-outside${family}`;
}

/**
 * Drops connections from outside the source ranges of a frontend. Like kube-proxy's
 * filter-prerouting-pre-dnat, it precedes the translation by any program.
 */
export function sourceRanges(family: Family): Chain {
  const { saddr, frontend } = headerText(family);
  const key = matchFrontendKey(family, 0);
  return {
    name: `source-ranges${family}`,
    rules: [
      rule(
        `${frontend} @restricted${family} ${frontend} . ${saddr} != @allowed-sources${family} drop`,
        ...[matchFamily(family), key, lookup(`restricted${family}`, 0)],
        ...[
          key,
          loadSource(family, addressWords(family) + 2),
          lookup(`allowed-sources${family}`, 0, true),
        ],
        verdict("drop"),
      ),
    ],
  };
}

/**
 * With externalTrafficPolicy Local and no local endpoint, refuses only outside sources. Others
 * reach the endpoints of all nodes. If such an endpoint has the frontend's own address and port,
 * as on another node's host network, the connection looks untranslated here.
 */
export function dropOutside(family: Family, options: SkeletonOptions): Chain {
  const outsiders = matchNonPods(options.detector, family);
  const readsAddress = outsiders !== undefined && options.detector.kind !== "interface";
  return {
    name: dropOutsideChain(family),
    rules: [
      rule(
        `${outsiders ? `${outsiders.text} ` : ""}fib saddr type != local drop`,
        readsAddress ? matchFamily(family) : [],
        ...[outsiders?.expressions ?? [], matchLocal("neq", "saddr"), verdict("drop")],
      ),
      rule("meta priority set none", resetPriority()),
    ],
  };
}

/**
 * Refuses connections that no endpoint serves and no other program has translated. If a process of
 * this node uses a clusterIP, as NodeLocal DNSCache does, it gets the connections to ports that the
 * Service does not have. In kube-proxy's nftables mode the same holds for pods and other hosts, but
 * not for the node itself: cluster-ips-check is in filter-output too.
 */
export function unserved(family: Family): Chain {
  const { daddr, frontend } = headerText(family);
  return {
    name: `${UNSERVED_CHAIN}${family}`,
    rules: [
      rule(
        `meta priority set ${frontend} map @no-endpoints${family} meta priority vmap @refusals${family}`,
        [
          ...matchFamily(family),
          ...dispatch("refusals", family, matchFrontendKey(family, 0), `no-endpoints${family}`),
        ],
      ),
      rule(
        `${daddr} @cluster-ips${family} fib daddr type != local goto ${REJECT_CHAIN}`,
        ...[matchFamily(family), loadDestination(family, 0), lookup(`cluster-ips${family}`, 0)],
        ...[matchLocal("neq", "daddr"), verdict("goto", REJECT_CHAIN)],
      ),
      rule(
        `${daddr} @service-cidrs${family} fib daddr type != local drop`,
        ...[matchFamily(family), loadDestination(family, 0), lookup(`service-cidrs${family}`, 0)],
        ...[matchLocal("neq", "daddr"), verdict("drop")],
      ),
    ],
  };
}

/** Refuses node ports without endpoints, and other connections that no endpoint serves. */
export function unservedLocal(family: Family): Chain {
  const { port } = headerText(family);
  const nodePort = matchNodePortAddress(family);
  const rest = `${UNSERVED_CHAIN}${family}`;
  return {
    name: `${UNSERVED_LOCAL_CHAIN}${family}`,
    rules: [
      rule(
        `${nodePort.text} meta priority set ${port} map @nodeports-no-endpoints${family} meta priority vmap @refusals${family}`,
        matchFamily(family),
        dispatch(
          "refusals",
          family,
          loadPortKey(0),
          `nodeports-no-endpoints${family}`,
          nodePort.expressions,
        ),
      ),
      rule(`goto ${rest}`, verdict("goto", rest)),
    ],
  };
}
