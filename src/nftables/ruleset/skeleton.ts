/**
 * Builds the constant ruleset, which does not depend on Services. Each rule is next to its nft
 * text; tests verify that both agree.
 *
 * All chains but one are in nat hooks, which see only the first packet of a connection, so
 * established connections cost nothing. This needs `reject` in prerouting (Linux 5.9 and later).
 * The exception is FORWARD_CHAIN, which most nodes do not have.
 */

import type { SkeletonOptions } from "../../backend/skeleton-options.ts";
import type { Family } from "../../net/address.ts";
import { type Chain, type Hook, type NftRule, rule } from "../wire/chains.ts";
import {
  type Expression,
  lookup,
  masqueradeExpression,
  rejectExpression,
  verdict,
} from "../wire/expressions.ts";
import {
  addressWords,
  clearMark,
  dispatch,
  loadDestination,
  loadPortKey,
  loadSource,
  matchFamily,
  matchFrontendKey,
  matchInvalid,
  matchLocal,
  matchMark,
  matchNonPods,
  matchOriginalDestination,
  matchOriginalPortKey,
  matchTranslated,
  setMark,
} from "../wire/match.ts";
import * as nft from "../wire/nf-tables.ts";
import { hairpin, hairpinChain } from "./hairpin.ts";

/** Target of the action `reject`. */
export const REJECT_CHAIN = "reject-connection";
/** Clears the mark and masquerades. */
const MASQUERADE_CHAIN = "masquerade-marked";
/** Drops packets in conntrack state invalid, if the option `dropInvalid` is set. */
const FORWARD_CHAIN = "filter-forward";
/** Target of the action `accept`: handles frontends that have no endpoints. */
export function unservedChain(family: Family): string {
  return `unserved${family}`;
}

// linux/netfilter_ipv4.h: NF_IP_PRI_NAT_DST, NF_IP_PRI_FILTER and NF_IP_PRI_NAT_SRC
const PRIORITY_DSTNAT = -100;
const PRIORITY_FILTER = 0;
const PRIORITY_SRCNAT = 100;

/** nft's expressions for addresses and ports, by family. */
const headerText = (family: Family) => {
  const ip = family === 4 ? "ip" : "ip6";
  return {
    nfproto: `meta nfproto ipv${family}`,
    saddr: `${ip} saddr`,
    daddr: `${ip} daddr`,
    frontend: `${ip} daddr . meta l4proto . th dport`,
    port: "meta l4proto . th dport",
    original: `ct original ${ip} daddr`,
    originalPort: "meta l4proto . ct original proto-dst",
  };
};

const hex = (value: number): string => `0x${(value >>> 0).toString(16).padStart(8, "0")}`;

/** `meta mark set meta mark | 0x00004000`, in nft's output format. */
export function markText(bit: number): string {
  return `meta mark set meta mark | ${hex(2 ** bit)}`;
}

/** The chains of the skeleton. A chain comes after the chains that it jumps to. */
export function skeleton(options: SkeletonOptions): readonly Chain[] {
  const families: readonly Family[] = [4, 6];
  return [
    { name: REJECT_CHAIN, rules: [rule("reject", rejectExpression())] },
    masqueradeChain(options),
    ...families.flatMap((family) => [
      unserved(family),
      nodePorts(family, options),
      services(family, options),
      learn(family),
      hairpin(family),
      postrouting(family, options),
    ]),
    baseChain("nat-prerouting", nft.NF_INET_PRE_ROUTING, PRIORITY_DSTNAT, "services"),
    baseChain("nat-output", nft.NF_INET_LOCAL_OUT, PRIORITY_DSTNAT, "services"),
    baseChain("nat-postrouting", nft.NF_INET_POST_ROUTING, PRIORITY_SRCNAT, "postrouting"),
    // Connections to endpoints on this node end in input and never reach postrouting.
    baseChain("nat-input", nft.NF_INET_LOCAL_IN, PRIORITY_SRCNAT, "learn", true),
    ...(options.dropInvalid ? [dropInvalid()] : []),
  ];
}

/** The name of a chain that these options do not need. It may still exist from earlier options. */
export function unwantedChain({ dropInvalid }: SkeletonOptions): string | undefined {
  return dropInvalid ? undefined : FORWARD_CHAIN;
}

/**
 * Follows kube-proxy's iptables mode. NAT skips invalid packets, and a receiver would answer an
 * untranslated one.
 */
function dropInvalid(): Chain {
  const hook: Hook = { type: "filter", number: nft.NF_INET_FORWARD, priority: PRIORITY_FILTER };
  return {
    name: FORWARD_CHAIN,
    hook,
    rules: [rule("ct state invalid drop", matchInvalid(), verdict("drop"))],
  };
}

/** A base chain. It sends each packet to the rules of its family. */
function baseChain(
  name: string,
  number: number,
  priority: number,
  target: string,
  onlyTranslated = false,
): Chain {
  const hook: Hook = { type: "nat", number, priority };
  const rules = ([4, 6] as const).map((family) =>
    rule(
      `${headerText(family).nfproto} ${onlyTranslated ? "ct status dnat " : ""}goto ${target}${family}`,
      matchFamily(family),
      onlyTranslated ? matchTranslated() : [],
      verdict("goto", `${target}${family}`),
    ),
  );
  return { name, hook, rules };
}

/** Handles new connections from prerouting and output. */
function services(family: Family, options: SkeletonOptions): Chain {
  const { saddr, daddr, frontend } = headerText(family);
  const key = matchFrontendKey(family, 0);
  const rules: NftRule[] = [
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
  ];
  const outsiders = matchNonPods(options.detector, family);
  if (options.masqueradeAll || outsiders !== undefined) {
    const sources = options.masqueradeAll ? undefined : outsiders;
    rules.push(
      rule(
        `${daddr} @cluster-ips${family} ${sources ? `${sources.text} ` : ""}${markText(options.masqueradeBit)}`,
        ...[matchFamily(family), loadDestination(family, 0), lookup(`cluster-ips${family}`, 0)],
        ...[sources?.expressions ?? [], setMark(options.masqueradeBit)],
      ),
    );
  }
  rules.push(
    fromOutside(family, options, frontend, [...matchFamily(family), ...key], `outside${family}`),
    rule(
      `meta priority set ${frontend} map @frontends${family} meta priority vmap @choices${family}`,
      [...matchFamily(family), ...dispatch("choices", family, key, `frontends${family}`)],
    ),
    rule(
      `${daddr} @node-addresses${family} jump node-ports${family}`,
      ...[matchFamily(family), loadDestination(family, 0), lookup(`node-addresses${family}`, 0)],
      verdict("jump", `node-ports${family}`),
    ),
    rule(`goto ${unservedChain(family)}`, verdict("goto", unservedChain(family))),
  );
  return { name: `services${family}`, rules };
}

/** Implements externalTrafficPolicy Local. Local pods and the node itself are short-circuited. */
function fromOutside(
  family: Family,
  options: SkeletonOptions,
  keyText: string,
  key: readonly Expression[],
  map: string,
): NftRule {
  const outsiders = matchNonPods(options.detector, family);
  return rule(
    `${outsiders ? `${outsiders.text} ` : ""}fib saddr type != local meta priority set ${keyText} map @${map} meta priority vmap @choices${family}`,
    dispatch("choices", family, key, map, [
      ...(outsiders?.expressions ?? []),
      ...matchLocal("neq", "saddr"),
    ]),
  );
}

/** Handles connections to the node's addresses that serve node ports. */
function nodePorts(family: Family, options: SkeletonOptions): Chain {
  const { port } = headerText(family);
  const key = loadPortKey(0);
  const dependency = matchNonPods(options.detector, family)?.readsAddress
    ? matchFamily(family)
    : [];
  return {
    name: `node-ports${family}`,
    rules: [
      fromOutside(family, options, port, [...dependency, ...key], `nodeports-outside${family}`),
      rule(
        `meta priority set ${port} map @nodeports${family} meta priority vmap @choices${family}`,
        dispatch("choices", family, key, `nodeports${family}`),
      ),
    ],
  };
}

/**
 * Handles connections that no endpoint serves. If a process of this node uses a clusterIP, as
 * NodeLocal DNSCache does, it gets the connections to ports that the Service does not have. In
 * kube-proxy's nftables mode the same holds for pods and other hosts, but not for the node itself:
 * cluster-ips-check is in filter-output too.
 */
function unserved(family: Family): Chain {
  const { daddr, frontend, port } = headerText(family);
  return {
    name: unservedChain(family),
    rules: [
      rule(
        `meta priority set ${frontend} map @no-endpoints${family} meta priority vmap @refusals${family}`,
        [
          ...matchFamily(family),
          ...dispatch("refusals", family, matchFrontendKey(family, 0), `no-endpoints${family}`),
        ],
      ),
      rule(
        `${daddr} @node-addresses${family} meta priority set ${port} map @nodeports-no-endpoints${family} meta priority vmap @refusals${family}`,
        ...[matchFamily(family), loadDestination(family, 0), lookup(`node-addresses${family}`, 0)],
        dispatch("refusals", family, loadPortKey(0), `nodeports-no-endpoints${family}`),
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

/**
 * Remembers the endpoint that a client was given, for frontends with affinity. Each new connection
 * renews the entry. A frontend may have the port of a node port; a chain learns only endpoints that
 * have a number for its own node port.
 */
function learn(family: Family): Chain {
  const { original, originalPort } = headerText(family);
  const address = matchOriginalDestination(family, 0);
  return {
    name: `learn${family}`,
    rules: [
      rule(
        `meta priority set ${original} . ${originalPort} map @learn${family} meta priority vmap @learning${family}`,
        dispatch(
          "learning",
          family,
          [address, ...matchOriginalPortKey(addressWords(family))],
          `learn${family}`,
        ),
      ),
      rule(
        `meta priority set ${originalPort} map @nodeports-learn${family} meta priority vmap @learning${family}`,
        dispatch("learning", family, matchOriginalPortKey(0), `nodeports-learn${family}`),
      ),
    ],
  };
}

/** Learning precedes masquerading, which ends the chain and hides the client's address. */
function postrouting(family: Family, { masqueradeBit }: SkeletonOptions): Chain {
  return {
    name: `postrouting${family}`,
    rules: [
      rule(
        `ct status dnat jump learn${family}`,
        matchTranslated(),
        verdict("jump", `learn${family}`),
      ),
      rule(
        `meta mark & ${hex(2 ** masqueradeBit)} != 0x00000000 goto ${MASQUERADE_CHAIN}`,
        matchMark(masqueradeBit),
        verdict("goto", MASQUERADE_CHAIN),
      ),
      rule(
        `ct status dnat goto ${hairpinChain(family)}`,
        matchTranslated(),
        verdict("goto", hairpinChain(family)),
      ),
    ],
  };
}

/** Clears the mark, because a packet that is encapsulated afterwards would still carry it. */
function masqueradeChain({ masqueradeBit }: SkeletonOptions): Chain {
  return {
    name: MASQUERADE_CHAIN,
    rules: [
      rule(
        `meta mark set meta mark & ${hex(~(2 ** masqueradeBit))} masquerade fully-random`,
        clearMark(masqueradeBit),
        masqueradeExpression(),
      ),
    ],
  };
}
