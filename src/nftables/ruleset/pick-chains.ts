/**
 * Builds the chains that are made on demand: one for each way of choosing in use, shared by all
 * Services.
 */
import {
  type Action,
  type ActionCode,
  decodeAction,
  encodeAction,
  type PickAction,
  SLOT_TABLES,
  SNAT_MODES,
} from "../../model/actions.ts";
import { tableId, tableLabel } from "../../model/tables.ts";
import type { Family } from "../../net/address.ts";
import { type Chain, rule } from "../wire/chains.ts";
import {
  dnat,
  loadTransportHeader,
  lookupValue,
  randomNumber,
  updateMap,
  verdict,
} from "../wire/expressions.ts";
import {
  addressWords,
  loadDestination,
  loadPortKey,
  loadSource,
  matchFamily,
  matchFrontendKey,
  matchLocal,
  matchOriginalDestination,
  matchOriginalPortKey,
  resetPriority,
  setMark,
} from "../wire/match.ts";
import * as nft from "../wire/nf-tables.ts";
import { affinityMap, chainName } from "../wire/object-names.ts";
import { markText } from "./skeleton.ts";

/**
 * The chains that an action needs, in order of dependency: `masquerade-sticky4-5` needs
 * `sticky4-5`, which needs `pick4-5`. Empty for accept, drop and reject.
 */
export function actionChains(
  code: ActionCode,
  family: Family,
  masqueradeBit: number,
): readonly Chain[] {
  const action = decodeAction(code);
  if (action.verb === "learn") return [learnChain(action, family)];
  if (action.verb !== "pick" && action.verb !== "sticky") return [];
  const pick: PickAction = { ...action, verb: "pick", snat: "plain" };
  const chains = [pickChain(pick, family)];
  if (action.verb === "sticky") {
    chains.push(stickyChain({ ...action, snat: "plain" }, pick, family));
  }
  if (action.snat !== "plain") chains.push(snatChain(action, family, masqueradeBit));
  return chains;
}

const nameOfAction = (action: Action, family: Family): string =>
  chainName(action, family) as string;
const protocolText = (family: Family): string => (family === 4 ? "ip" : "ip6");

function isNodePortAction(action: PickAction): boolean {
  return (
    action.slotTable === "nodeport-endpoints" || action.slotTable === "nodeport-local-endpoints"
  );
}

/**
 * Chooses a slot at random. Between two generations of the maps a slot may be missing. The chain
 * then drops the packet instead of leaving it untranslated, and its sender repeats it.
 */
function pickChain(action: PickAction, family: Family): Chain {
  const nodePort = isNodePortAction(action);
  const ip = protocolText(family);
  const map = tableLabel(tableId(action.slotTable, family));
  const key = nodePort ? loadPortKey(0) : matchFrontendKey(family, 0);
  const keyText = `${nodePort ? "" : `${ip} daddr . `}meta l4proto . th dport`;
  return {
    name: nameOfAction(action, family),
    rules: [
      rule(
        `meta priority set none dnat ${ip} to ${keyText} . numgen random mod ${action.count} map @${map}`,
        [...resetPriority(), ...(nodePort ? [] : matchFamily(family))],
        [...key, randomNumber(action.count, nodePort ? 2 : addressWords(family) + 2)],
        ...dnatBy(map, family),
      ),
      rule("drop", verdict("drop")),
    ],
  };
}

/** Uses the remembered endpoint of this client, or makes a new choice. */
function stickyChain(action: PickAction, pick: PickAction, family: Family): Chain {
  const nodePort = isNodePortAction(action);
  const ip = protocolText(family);
  const map = affinityMap(nodePort, family);
  const words = addressWords(family);
  const key = nodePort ? loadPortKey(words) : matchFrontendKey(family, words);
  const keyText = `${ip} saddr . ${nodePort ? "" : `${ip} daddr . `}meta l4proto . th dport`;
  return {
    name: nameOfAction(action, family),
    rules: [
      rule(
        `meta priority set none dnat ${ip} to ${keyText} map @${map}`,
        [...resetPriority(), ...matchFamily(family), loadSource(family, 0), ...key],
        ...dnatBy(map, family),
      ),
      rule(`goto ${nameOfAction(pick, family)}`, verdict("goto", nameOfAction(pick, family))),
    ],
  };
}

function dnatBy(map: string, family: Family) {
  const protocol = family === 4 ? nft.NFPROTO_IPV4 : nft.NFPROTO_IPV6;
  return [lookupValue(map, 0, 0), dnat(protocol, 0, addressWords(family))];
}

/** Marks connections for masquerading before the choice. */
function snatChain(action: PickAction, family: Family, masqueradeBit: number): Chain {
  const inner = nameOfAction({ ...action, snat: "plain" }, family);
  const onlyNode = action.snat === "short-circuit";
  return {
    name: nameOfAction(action, family),
    rules: [
      rule(
        `${onlyNode ? "fib saddr type local " : ""}${markText(masqueradeBit)}`,
        onlyNode ? matchLocal("eq", "saddr") : [],
        setMark(masqueradeBit),
      ),
      rule(`goto ${inner}`, verdict("goto", inner)),
    ],
  };
}

/** Number of 32-bit registers. */
const REGISTERS = 16;

/** Runs after translation. Stores the client, its original destination, and the chosen endpoint. */
function learnChain(action: Extract<Action, { readonly verb: "learn" }>, family: Family): Chain {
  const { nodePort, seconds } = action;
  const ip = protocolText(family);
  const words = addressWords(family);
  const map = affinityMap(nodePort, family);
  const portAt = nodePort ? words : 2 * words;
  // Like nft, place the data after the key, at the next multiple of 16 bytes. An IPv6 key leaves
  // less room, so the data follows it directly.
  const data = Math.min((portAt + 5) & ~3, REGISTERS - words - 1);
  const keyText = `${ip} saddr . ${nodePort ? "" : `ct original ${ip} daddr . `}meta l4proto . ct original proto-dst`;
  return {
    name: nameOfAction(action, family),
    rules: [
      rule(
        `meta priority set none update @${map} { ${keyText} timeout ${duration(seconds)} : ${ip} daddr . th dport }`,
        [...resetPriority(), ...matchFamily(family)],
        [loadSource(family, 0), ...(nodePort ? [] : [matchOriginalDestination(family, words)])],
        [
          ...matchOriginalPortKey(portAt),
          loadDestination(family, data),
          loadTransportHeader(2, 2, data + words),
        ],
        updateMap(map, 0, data, seconds),
      ),
    ],
  };
}

/** Formats seconds as nft does: `3h`, `1m30s`, `1d`. */
function duration(seconds: number): string {
  const units = [
    [86_400, "d"],
    [3600, "h"],
    [60, "m"],
    [1, "s"],
  ] as const;
  let rest = seconds;
  let text = "";
  for (const [size, unit] of units) {
    if (rest >= size) text += `${Math.floor(rest / size)}${unit}`;
    rest %= size;
  }
  return text;
}

/** One action for each kind of chain, for the probe and for the hash of the rules. */
export function sampleActions(): readonly ActionCode[] {
  return [
    ...SLOT_TABLES.flatMap((slotTable) =>
      SNAT_MODES.map((snat) => encodeAction({ verb: "sticky", slotTable, snat, count: 1 })),
    ),
    encodeAction({ verb: "learn", nodePort: false, seconds: 1 }),
    encodeAction({ verb: "learn", nodePort: true, seconds: 1 }),
  ];
}
