/**
 * The constant ruleset: what every packet meets, whatever Services there are. Each rule stands beside
 * its nft text; the tests hold the two to each other.
 *
 * Everything hangs in nat hooks, which see the first packet of a connection only: an established
 * connection costs nothing. That takes reject in prerouting, which kernels have from 5.9. The one exception
 * is a chain that most nodes do without: FORWARD_CHAIN.
 */

import type { SkeletonOptions } from "../../backend/skeleton-options.ts";
import type { Family } from "../../net/address.ts";
import { type Chain, type Hook, type Rule, rule } from "../wire/chains.ts";
import { type Expression, lookup, masquerade, reject, verdict } from "../wire/expressions.ts";
import {
  addressWords,
  destination,
  dispatch,
  frontendKey,
  invalid,
  local,
  mark,
  marked,
  notPods,
  ofFamily,
  originalDestination,
  originalPortKey,
  portKey,
  source,
  translated,
  unmark,
} from "../wire/match.ts";
import * as nft from "../wire/nf-tables.ts";

/** Where the action `reject` goes. */
export const REJECT_CHAIN = "reject-connection";
/** Clears the mark and masquerades. */
const MASQUERADE_CHAIN = "masquerade-marked";
/** Drops what is invalid, by the option `dropInvalid`. */
export const FORWARD_CHAIN = "filter-forward";
/** Where the action `accept` goes: to what is done with a frontend nobody serves. */
export function unservedChain(family: Family): string {
  return `unserved${family}`;
}

// linux/netfilter_ipv4.h: NF_IP_PRI_NAT_DST, NF_IP_PRI_FILTER and NF_IP_PRI_NAT_SRC
const PRIORITY_DSTNAT = -100;
const PRIORITY_FILTER = 0;
const PRIORITY_SRCNAT = 100;

/** nft's words for an address and for its test, by family. */
const words = (family: Family) => {
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

/** `meta mark set meta mark | 0x00004000`, as nft prints it. */
export function markText(bit: number): string {
  return `meta mark set meta mark | ${hex(2 ** bit)}`;
}

/** The chains of the skeleton, those that others go to first. */
export function skeleton(options: SkeletonOptions): readonly Chain[] {
  const families: readonly Family[] = [4, 6];
  return [
    { name: REJECT_CHAIN, rules: [rule("reject", reject())] },
    masqueradeChain(options),
    ...families.flatMap((family) => [
      unserved(family),
      nodePorts(family, options),
      services(family, options),
      learn(family),
      postrouting(family, options),
    ]),
    baseChain("nat-prerouting", nft.NF_INET_PRE_ROUTING, PRIORITY_DSTNAT, "services"),
    baseChain("nat-output", nft.NF_INET_LOCAL_OUT, PRIORITY_DSTNAT, "services"),
    baseChain("nat-postrouting", nft.NF_INET_POST_ROUTING, PRIORITY_SRCNAT, "postrouting"),
    // Endpoints on this very node: their connections end in input, without postrouting.
    baseChain("nat-input", nft.NF_INET_LOCAL_IN, PRIORITY_SRCNAT, "learn", true),
    ...(options.dropInvalid ? [dropInvalid()] : []),
  ];
}

/**
 * The name of a chain of ours that these options do without. The kernel may have it from a time with other
 * options.
 */
export function unwantedChain({ dropInvalid }: SkeletonOptions): string | undefined {
  return dropInvalid ? undefined : FORWARD_CHAIN;
}

/** As kube-proxy's iptables mode: what is invalid is not translated either, and its receiver would answer it. */
function dropInvalid(): Chain {
  const hook: Hook = { type: "filter", number: nft.NF_INET_FORWARD, priority: PRIORITY_FILTER };
  return {
    name: FORWARD_CHAIN,
    hook,
    rules: [rule("ct state invalid drop", invalid(), verdict("drop"))],
  };
}

/** A packet passes only the rules of its family. */
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
      `${words(family).nfproto} ${onlyTranslated ? "ct status dnat " : ""}goto ${target}${family}`,
      ofFamily(family),
      onlyTranslated ? translated() : [],
      verdict("goto", `${target}${family}`),
    ),
  );
  return { name, hook, rules };
}

/** From prerouting and output: new connections to anything. */
function services(family: Family, options: SkeletonOptions): Chain {
  const { saddr, daddr, frontend } = words(family);
  const key = frontendKey(family, 0);
  const rules: Rule[] = [
    rule(
      `${frontend} @guarded${family} ${frontend} . ${saddr} != @allowed${family} drop`,
      ...[ofFamily(family), key, lookup(`guarded${family}`, 0)],
      ...[key, source(family, addressWords(family) + 2), lookup(`allowed${family}`, 0, true)],
      verdict("drop"),
    ),
  ];
  const outsiders = notPods(options.detector, family);
  if (options.masqueradeAll || outsiders !== undefined) {
    const who = options.masqueradeAll ? undefined : outsiders;
    rules.push(
      rule(
        `${daddr} @cluster-ips${family} ${who ? `${who.text} ` : ""}${markText(options.masqueradeBit)}`,
        ...[ofFamily(family), destination(family, 0), lookup(`cluster-ips${family}`, 0)],
        ...[who?.expressions ?? [], mark(options.masqueradeBit)],
      ),
    );
  }
  rules.push(
    fromOutside(family, options, frontend, [...ofFamily(family), ...key], `outside${family}`),
    rule(
      `meta priority set ${frontend} map @frontends${family} meta priority vmap @choices${family}`,
      [...ofFamily(family), ...dispatch("choices", family, key, `frontends${family}`)],
    ),
    rule(
      `${daddr} @node-addresses${family} jump node-ports${family}`,
      ...[ofFamily(family), destination(family, 0), lookup(`node-addresses${family}`, 0)],
      verdict("jump", `node-ports${family}`),
    ),
    rule(`goto ${unservedChain(family)}`, verdict("goto", unservedChain(family))),
  );
  return { name: `services${family}`, rules };
}

/** externalTrafficPolicy Local: pods and this node itself are served as if it were Cluster. */
function fromOutside(
  family: Family,
  options: SkeletonOptions,
  keyText: string,
  key: readonly Expression[],
  map: string,
): Rule {
  const outsiders = notPods(options.detector, family);
  return rule(
    `${outsiders ? `${outsiders.text} ` : ""}fib saddr type != local meta priority set ${keyText} map @${map} meta priority vmap @choices${family}`,
    dispatch("choices", family, key, map, [
      ...(outsiders?.expressions ?? []),
      ...local("neq", "saddr"),
    ]),
  );
}

/** Connections to an address of this node that serves node ports. */
function nodePorts(family: Family, options: SkeletonOptions): Chain {
  const { port } = words(family);
  const key = portKey(0);
  const dependency = notPods(options.detector, family)?.readsAddress ? ofFamily(family) : [];
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
 * What no endpoint serves. An address that processes of this node listen on is theirs (NodeLocal DNSCache
 * binds a clusterIP), as with kube-proxy, which looks in forward and output only.
 */
function unserved(family: Family): Chain {
  const { daddr, frontend, port } = words(family);
  return {
    name: unservedChain(family),
    rules: [
      rule(
        `meta priority set ${frontend} map @no-endpoints${family} meta priority vmap @refusals${family}`,
        [
          ...ofFamily(family),
          ...dispatch("refusals", family, frontendKey(family, 0), `no-endpoints${family}`),
        ],
      ),
      rule(
        `${daddr} @node-addresses${family} meta priority set ${port} map @nodeports-no-endpoints${family} meta priority vmap @refusals${family}`,
        ...[ofFamily(family), destination(family, 0), lookup(`node-addresses${family}`, 0)],
        dispatch("refusals", family, portKey(0), `nodeports-no-endpoints${family}`),
      ),
      rule(
        `${daddr} @cluster-ips${family} fib daddr type != local goto ${REJECT_CHAIN}`,
        ...[ofFamily(family), destination(family, 0), lookup(`cluster-ips${family}`, 0)],
        ...[local("neq", "daddr"), verdict("goto", REJECT_CHAIN)],
      ),
      rule(
        `${daddr} @service-cidrs${family} fib daddr type != local drop`,
        ...[ofFamily(family), destination(family, 0), lookup(`service-cidrs${family}`, 0)],
        ...[local("neq", "daddr"), verdict("drop")],
      ),
    ],
  };
}

/** Remembers which endpoint a client was given, for frontends with affinity; a renewed connection renews it. */
function learn(family: Family): Chain {
  const { original, originalPort } = words(family);
  const address = originalDestination(family, 0);
  return {
    name: `learn${family}`,
    rules: [
      rule(
        `meta priority set ${original} . ${originalPort} map @learn${family} meta priority vmap @learning${family}`,
        dispatch(
          "learning",
          family,
          [address, ...originalPortKey(addressWords(family))],
          `learn${family}`,
        ),
      ),
      rule(
        `${original} @node-addresses${family} meta priority set ${originalPort} map @nodeports-learn${family} meta priority vmap @learning${family}`,
        ...[address, lookup(`node-addresses${family}`, 0)],
        dispatch("learning", family, originalPortKey(0), `nodeports-learn${family}`),
      ),
    ],
  };
}

/** Learning stands before masquerading, which ends the chain and hides the client. */
function postrouting(family: Family, { masqueradeBit }: SkeletonOptions): Chain {
  const { saddr, daddr } = words(family);
  return {
    name: `postrouting${family}`,
    rules: [
      rule(`ct status dnat jump learn${family}`, translated(), verdict("jump", `learn${family}`)),
      rule(
        `meta mark & ${hex(2 ** masqueradeBit)} != 0x00000000 goto ${MASQUERADE_CHAIN}`,
        marked(masqueradeBit),
        verdict("goto", MASQUERADE_CHAIN),
      ),
      rule(
        `ct status dnat ${saddr} . ${daddr} @hairpin${family} masquerade fully-random`,
        [...translated(), ...ofFamily(family)],
        [source(family, 0), destination(family, addressWords(family))],
        [lookup(`hairpin${family}`, 0), masquerade()],
      ),
    ],
  };
}

/** The mark is cleared, or a packet that is encapsulated afterwards would carry it on. */
function masqueradeChain({ masqueradeBit }: SkeletonOptions): Chain {
  return {
    name: MASQUERADE_CHAIN,
    rules: [
      rule(
        `meta mark set meta mark & ${hex(~(2 ** masqueradeBit))} masquerade fully-random`,
        unmark(masqueradeBit),
        masquerade(),
      ),
    ],
  };
}
