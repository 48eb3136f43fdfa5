/**
 * Builds the chains that are made on demand: one for each way of choosing in use, shared by all
 * Services.
 */
import { NOT_REMEMBERED_SECONDS } from "../../base/limits.ts";
import {
  type Action,
  type ActionCode,
  decodeAction,
  encodeAction,
  type LearnAction,
  type PickAction,
  SLOT_TABLES,
  type SlotTable,
  SNAT_MODES,
} from "../../model/actions.ts";
import { tableId, tableLabel } from "../../model/tables.ts";
import type { Family } from "../../net/address.ts";
import { type Chain, rule } from "../wire/chains.ts";
import {
  deleteFromMap,
  dnat,
  loadTransportHeader,
  lookupValue,
  meta,
  metaSet,
  type Register,
  randomNumber,
  updateMap,
  updateSet,
  verdict,
} from "../wire/expressions.ts";
import {
  addressWords,
  dispatch,
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
import {
  affinityMap,
  chainName,
  dispatchMap,
  notRememberedSetName,
  rememberedChain,
  rememberedDispatch,
} from "../wire/object-names.ts";
import { affinitySet, type SetSpec } from "../wire/sets.ts";
import { markText } from "./skeleton.ts";

/**
 * The chains that an action needs, in order of dependency: `masquerade-recall4-5` needs
 * `recall4-5`, which needs `pick4-5`. Empty for accept, drop and reject.
 */
export function actionChains(
  code: ActionCode,
  family: Family,
  masqueradeBit: number,
): readonly Chain[] {
  const action = decodeAction(code);
  if (action.verb === "learn") {
    const recalled = slotTablesOf(action).map((one) => rememberedClient(one, family, action.map));
    return [...recalled, learnChain(action, family)];
  }
  if (action.verb !== "pick" && action.verb !== "recall") return [];
  const pick: PickAction = { ...action, verb: "pick", snat: "plain" };
  const chains = [pickChain(pick, family)];
  if (action.verb === "recall") {
    chains.push(recallChain({ ...action, snat: "plain" }, pick, family));
  }
  if (action.snat !== "plain") chains.push(snatChain(action, family, masqueradeBit));
  return chains;
}

/** The map that an action fills; undefined for all but `learn`. */
export function actionMap(code: ActionCode, family: Family): SetSpec | undefined {
  const action = decodeAction(code);
  return action.verb === "learn" ? affinitySet(family, action.map) : undefined;
}

/** The slot tables that the frontends of a `learn` action choose from. */
export function slotTablesOf({ nodePort }: LearnAction): readonly SlotTable[] {
  return SLOT_TABLES.filter((one) => isOfNodePorts(one) === nodePort);
}

const nameOfAction = (action: Action, family: Family): string =>
  chainName(action, family) as string;
const protocolText = (family: Family): string => (family === 4 ? "ip" : "ip6");

function isOfNodePorts(slotTable: SlotTable): boolean {
  return slotTable.startsWith("nodeport-");
}

/** The frontend or node port of a packet, from register `at` on, and its text. */
function keyOfPacket(nodePort: boolean, family: Family, at: number) {
  const port = { text: "meta l4proto . th dport", expressions: loadPortKey(at), words: 2 };
  if (nodePort) return port;
  return {
    text: `${protocolText(family)} daddr . ${port.text}`,
    expressions: matchFrontendKey(family, at),
    words: addressWords(family) + port.words,
  };
}

/**
 * Chooses a slot at random. Between two generations of the maps a slot may be missing. The chain
 * then drops the packet instead of leaving it untranslated, and its sender repeats it.
 */
function pickChain(action: PickAction, family: Family): Chain {
  const nodePort = isOfNodePorts(action.slotTable);
  const map = tableLabel(tableId(action.slotTable, family));
  const key = keyOfPacket(nodePort, family, 0);
  return {
    name: nameOfAction(action, family),
    rules: [
      rule(
        `meta priority set none dnat ${protocolText(family)} to ${key.text} . numgen random mod ${action.count} map @${map}`,
        [...resetPriority(), ...(nodePort ? [] : matchFamily(family))],
        [...key.expressions, randomNumber(action.count, key.words)],
        ...dnatBy(map, family),
      ),
      rule("drop", verdict("drop")),
    ],
  };
}

/** Uses the remembered endpoint of this client, or makes a new choice. */
function recallChain(action: PickAction, pick: PickAction, family: Family): Chain {
  const nodePort = isOfNodePorts(action.slotTable);
  const key = keyOfPacket(nodePort, family, 0);
  const learn = `${nodePort ? "nodeports-learn" : "learn"}${family}`;
  const kind = rememberedDispatch(action.slotTable);
  return {
    name: nameOfAction(action, family),
    rules: [
      rule(
        `meta priority set ${key.text} map @${learn} meta priority vmap @${dispatchMap(kind, family)}`,
        nodePort ? [] : matchFamily(family),
        dispatch(kind, family, key.expressions, learn),
      ),
      rule(`goto ${nameOfAction(pick, family)}`, verdict("goto", nameOfAction(pick, family))),
    ],
  };
}

/** Register for the value of a map that packets fill. nft places it behind the longest address. */
const DATA: Register = 4;

/** The tables of the endpoints of a slot table, by number. */
const NUMBERED = {
  endpoints: "numbered-endpoints",
  "local-endpoints": "numbered-local-endpoints",
  "nodeport-endpoints": "nodeport-numbered-endpoints",
  "nodeport-local-endpoints": "nodeport-numbered-local-endpoints",
} as const;

/**
 * Sends a remembered client to its endpoint, if that is still among those to choose from. If it is
 * not, forgets the client, because `update` leaves the number of a remembered client as it is.
 */
function rememberedClient(slotTable: SlotTable, family: Family, map: number): Chain {
  const ip = protocolText(family);
  const clients = affinityMap(family, map);
  const numbered = tableLabel(tableId(NUMBERED[slotTable], family));
  const key = keyOfPacket(isOfNodePorts(slotTable), family, 0);
  return {
    name: rememberedChain(slotTable, family, map),
    rules: [
      rule(
        `meta priority set ${ip} saddr map @${clients} dnat ${ip} to ${key.text} . meta priority map @${numbered}`,
        [...matchFamily(family), loadSource(family, 0), lookupValue(clients, 0, 0)],
        [metaSet(nft.NFT_META_PRIORITY, 0)],
        [...key.expressions, meta(nft.NFT_META_PRIORITY, key.words)],
        dnatBy(numbered, family),
      ),
      rule(
        `delete @${clients} { ${ip} saddr : meta priority }`,
        [...matchFamily(family), loadSource(family, 0)],
        [meta(nft.NFT_META_PRIORITY, DATA), deleteFromMap(clients, 0, DATA)],
      ),
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

/**
 * Runs after translation. Remembers the number of the endpoint for the client, unless the endpoint
 * left meanwhile. A full map takes no further client, and ends the first rule. The second rule then
 * counts the connection for its frontend.
 */
function learnChain(action: LearnAction, family: Family): Chain {
  const { nodePort, map, seconds } = action;
  const ip = protocolText(family);
  const words = addressWords(family);
  const clients = affinityMap(family, map);
  const numbers = `${nodePort ? "nodeport-" : ""}endpoint-numbers${family}`;
  const full = notRememberedSetName(nodePort, family);
  const portAt = nodePort ? 0 : words;
  const endpointAt = portAt + 2;
  const frontend = `${nodePort ? "" : `ct original ${ip} daddr . `}meta l4proto . ct original proto-dst`;
  const frontendKey = [
    ...(nodePort ? [] : [matchOriginalDestination(family, 0)]),
    ...matchOriginalPortKey(portAt),
  ];
  const numberText = `meta priority set ${frontend} . ${ip} daddr . th dport map @${numbers}`;
  const number = [
    ...[...matchFamily(family), ...frontendKey, loadDestination(family, endpointAt)],
    ...[loadTransportHeader(2, 2, endpointAt + words), lookupValue(numbers, 0, 0)],
    metaSet(nft.NFT_META_PRIORITY, 0),
  ];
  return {
    name: nameOfAction(action, family),
    rules: [
      rule(
        `${numberText} update @${clients} { ${ip} saddr timeout ${duration(seconds)} : meta priority } meta priority set none return`,
        [...number, loadSource(family, 0), meta(nft.NFT_META_PRIORITY, DATA)],
        [updateMap(clients, 0, DATA, seconds), ...resetPriority(), verdict("return")],
      ),
      rule(
        `${numberText} update @${full} { ${frontend} timeout ${duration(NOT_REMEMBERED_SECONDS)} }`,
        ...[number, frontendKey, updateSet(full, 0, NOT_REMEMBERED_SECONDS)],
      ),
      rule("meta priority set none", resetPriority()),
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
      SNAT_MODES.map((snat) => encodeAction({ verb: "recall", slotTable, snat, count: 1 })),
    ),
    ...[false, true].map((nodePort) =>
      encodeAction({ verb: "learn", nodePort, map: 0, seconds: 1 }),
    ),
  ];
}
