/** Divides the trees of rules: addresses by prefix, node ports by range. Pure. */
import {
  addressBytes,
  type FrontendKey,
  portBlock,
  portOf,
  prefixKey,
  protocolOf,
} from "../../model/frontend-key.ts";
import { type Family, printAddress } from "../../net/address.ts";
import { printLowercaseProtocol } from "../../net/protocol.ts";
import { treeChainName } from "./chain-names.ts";
import { portMatch } from "./rule-text.ts";
import type { TreeLevel } from "./rule-tree.ts";

/** A group with a single rule gets no chain. */
const LEAST = 2;
/**
 * An address with fewer ports gets no chain of its own. A chain adds one rule for this address and
 * saves only a few for its neighbors.
 */
const LEAST_PORTS = 9;

/** Prefix lengths, from the top of the tree. */
const PREFIXES = { 4: [16, 20, 24, 28], 6: [112, 116, 120, 124] } as const;

/** Below KUBE-SERVICES: `KUBE-SVC-10.96.0.0/20`. */
export function serviceLevels(family: Family): readonly TreeLevel[] {
  const whole = family === 4 ? 32 : 128;
  return [
    ...PREFIXES[family].map((bits) => prefixLevel(bits, LEAST)),
    prefixLevel(whole, LEAST_PORTS),
  ];
}

/** Below KUBE-NODEPORTS: `KUBE-EXT-tcp-30208-30223`. */
export const NODE_PORT_LEVELS: readonly TreeLevel[] = [8, 4].map(portLevel);

function prefixLevel(bits: number, least: number): TreeLevel {
  const prefix = (key: FrontendKey) => `${printAddress(addressBytes(key, bits))}/${bits}`;
  return {
    least,
    group: (key) => prefixKey(key, bits),
    chain: (key) => treeChainName("KUBE-SVC-", prefix(key)),
    match: (key) => `-d ${prefix(key)}`,
  };
}

function portLevel(bits: number): TreeLevel {
  const protocol = (key: FrontendKey) => printLowercaseProtocol(protocolOf(key));
  const first = (key: FrontendKey) => portOf(key) & ~(2 ** bits - 1);
  const last = (key: FrontendKey) => portOf(key) | (2 ** bits - 1);
  return {
    least: LEAST,
    group: (key) => portBlock(key, bits),
    chain: (key) => treeChainName("KUBE-EXT-", `${protocol(key)}-${first(key)}-${last(key)}`),
    match: (key) => `-p ${protocol(key)} ${portMatch(protocol(key), first(key), last(key))}`,
  };
}
