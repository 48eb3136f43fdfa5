/**
 * Builds the constant ruleset, which does not depend on Services: its hooks, translation and
 * masquerading. Refusals are in refusals.ts. Each rule is next to its nft text; tests verify that
 * both agree.
 *
 * Most chains are in nat hooks, which see only the first packet of a connection. Refusals follow
 * the translation by any program, and the hooks for that, filter-forward and filter-output, see
 * every packet. Packets of established connections leave them after one test.
 */

import type { SkeletonOptions } from "../../backend/skeleton-options.ts";
import type { Family } from "../../net/address.ts";
import { type Chain, type NftRule, rule } from "../wire/chains.ts";
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
  type Match,
  matchFamily,
  matchFrontendKey,
  matchInvalid,
  matchLeaving,
  matchLocal,
  matchMark,
  matchNew,
  matchNodePortAddress,
  matchNonPods,
  matchOriginalDestination,
  matchOriginalPortKey,
  matchTranslated,
  resetPriority,
  setMark,
} from "../wire/match.ts";
import * as nft from "../wire/nf-tables.ts";
import { hairpin, hairpinChain } from "./hairpin.ts";
import { headerText } from "./header-text.ts";
import {
  dropOutside,
  REJECT_CHAIN,
  sourceRanges,
  UNSERVED_CHAIN,
  UNSERVED_LOCAL_CHAIN,
  unserved,
  unservedLocal,
} from "./refusals.ts";

/** Clears the mark and masquerades. */
const MASQUERADE_CHAIN = "masquerade-marked";
/** Target of the action `accept`: other programs may still translate the connection. */
export const LEAVE_CHAIN = "leave-untranslated";
// linux/netfilter_ipv4.h: NF_IP_PRI_CONNTRACK + 1, NF_IP_PRI_NAT_DST, NF_IP_PRI_FILTER and
// NF_IP_PRI_NAT_SRC
const PRIORITY_FIRST_NAT = -199;
const PRIORITY_DSTNAT = -100;
const PRIORITY_FILTER = 0;
const PRIORITY_SRCNAT = 100;

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
    leave(),
    ...families.flatMap((family) => [
      dropOutside(family, options),
      unserved(family),
      unservedLocal(family),
      sourceRanges(family),
      services(family, options),
      learn(family),
      hairpin(family),
      input(family),
      postrouting(family, options),
    ]),
    { name: UNSERVED_CHAIN, rules: byFamily(UNSERVED_CHAIN) },
    { name: UNSERVED_LOCAL_CHAIN, rules: byFamily(UNSERVED_LOCAL_CHAIN) },
    // The kernel runs nat chains in the order of their priorities, until one translates.
    natHook("nat-prerouting-first", nft.NF_INET_PRE_ROUTING, PRIORITY_FIRST_NAT, "source-ranges"),
    natHook("nat-output-first", nft.NF_INET_LOCAL_OUT, PRIORITY_FIRST_NAT, "source-ranges"),
    natHook("nat-prerouting", nft.NF_INET_PRE_ROUTING, PRIORITY_DSTNAT, "services"),
    natHook("nat-output", nft.NF_INET_LOCAL_OUT, PRIORITY_DSTNAT, "services"),
    natHook("nat-postrouting", nft.NF_INET_POST_ROUTING, PRIORITY_SRCNAT, "postrouting"),
    // Connections that end on this node never reach forward and postrouting. The priority puts
    // this chain before foreign ones that change the source, which would end the search.
    natHook("nat-input", nft.NF_INET_LOCAL_IN, PRIORITY_FIRST_NAT, "input"),
    filterHook("filter-forward", nft.NF_INET_FORWARD, UNSERVED_CHAIN, options.dropInvalid),
    filterHook("filter-output", nft.NF_INET_LOCAL_OUT, UNSERVED_LOCAL_CHAIN, false),
  ];
}

/**
 * A base chain that judges new connections after their translation. The state comes first, because
 * it is the only test that a packet of an established connection meets.
 */
function filterHook(name: string, number: number, target: string, dropInvalid: boolean): Chain {
  const rules = [rule(`ct state new goto ${target}`, matchNew(), verdict("goto", target))];
  // Follows kube-proxy's iptables mode. NAT skips invalid packets, and a receiver would answer an
  // untranslated one.
  if (dropInvalid) rules.unshift(rule("ct state invalid drop", matchInvalid(), verdict("drop")));
  return { name, hook: { type: "filter", number, priority: PRIORITY_FILTER }, rules };
}

/** A base chain for the first packet of each connection. */
function natHook(name: string, number: number, priority: number, target: string): Chain {
  return { name, hook: { type: "nat", number, priority }, rules: byFamily(target) };
}

/** Sends each packet to the rules of its family. */
function byFamily(target: string): readonly NftRule[] {
  return ([4, 6] as const).map((family) =>
    rule(
      `${headerText(family).nfproto} goto ${target}${family}`,
      matchFamily(family),
      verdict("goto", `${target}${family}`),
    ),
  );
}

/** Translates new connections from prerouting and output. */
function services(family: Family, options: SkeletonOptions): Chain {
  const { daddr, frontend, port } = headerText(family);
  const key = matchFrontendKey(family, 0);
  const nodePort = matchNodePortAddress(family);
  const rules: NftRule[] = [];
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
    fromOutside(family, options, frontend, key, `outside${family}`),
    rule(
      `meta priority set ${frontend} map @frontends${family} meta priority vmap @choices${family}`,
      [...matchFamily(family), ...dispatch("choices", family, key, `frontends${family}`)],
    ),
    fromOutside(family, options, port, loadPortKey(0), `nodeports-outside${family}`, nodePort),
    rule(
      `${nodePort.text} meta priority set ${port} map @nodeports${family} meta priority vmap @choices${family}`,
      matchFamily(family),
      dispatch("choices", family, loadPortKey(0), `nodeports${family}`, nodePort.expressions),
    ),
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
  destination?: Match,
): NftRule {
  const matches = [matchNonPods(options.detector, family), destination].filter(
    (match) => match !== undefined,
  );
  const texts = [...matches.map(({ text }) => text), "fib saddr type != local"];
  return rule(
    `${texts.join(" ")} meta priority set ${keyText} map @${map} meta priority vmap @choices${family}`,
    matchFamily(family),
    dispatch("choices", family, key, map, [
      ...matches.flatMap(({ expressions }) => expressions),
      ...matchLocal("neq", "saddr"),
    ]),
  );
}

/** Ends the nat chain, and clears the field that the lookup of the action borrowed. */
function leave(): Chain {
  return {
    name: LEAVE_CHAIN,
    rules: [rule("meta priority set none accept", resetPriority(), verdict("accept"))],
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

/**
 * Judges and learns connections that end on this node. Type nat suffices here, and runs after
 * firewalls and IPVS. A packet that TPROXY diverted has a destination that is not local, and is not
 * refused. The node's own connections to itself do not pass here: filter-output judges them.
 */
function input(family: Family): Chain {
  return {
    name: `input${family}`,
    rules: [
      rule(
        `fib daddr type local jump ${UNSERVED_LOCAL_CHAIN}${family}`,
        matchLocal("eq", "daddr"),
        verdict("jump", `${UNSERVED_LOCAL_CHAIN}${family}`),
      ),
      rule(
        `ct status dnat goto learn${family}`,
        matchTranslated(),
        verdict("goto", `learn${family}`),
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
        `ct status dnat oif != "lo" goto ${hairpinChain(family)}`,
        [...matchTranslated(), ...matchLeaving()],
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
