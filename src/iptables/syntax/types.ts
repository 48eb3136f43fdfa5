/** The values between the parts of the iptables backend. */
import type { RuleTable } from "./known-chains.ts";

export { RULE_TABLES, type RuleTable, type Variant } from "./known-chains.ts";

/**
 * The rules of a chain as iptables-save prints them, without `-A CHAIN `, one on each line; "" for a chain without
 * rules.
 */
export type ChainText = string;

/** Chains whose text is another one than before; undefined: the chain is gone. */
export type ChainChanges = {
  readonly [table in RuleTable]: ReadonlyMap<string, ChainText | undefined>;
};

/** A chain that differed, as it was printed. */
export interface PrintedChain {
  readonly table: RuleTable;
  readonly chain: string;
  readonly printed: ChainText;
}

/** All chains of a family. */
export type Chains = { readonly [table in RuleTable]: ReadonlyMap<string, ChainText> };

/** A rule of a built-in chain that leads to one of ours. */
export interface Jump {
  readonly table: RuleTable;
  /** PREROUTING, INPUT, FORWARD, OUTPUT or POSTROUTING. */
  readonly from: string;
  /** The rule as iptables-save prints it, without `-A FROM `. */
  readonly rule: string;
}

/** What a frontend's chains are called after, and which endpoints it has. */
export interface PortDescription {
  /** `namespace/name:port`, `namespace/name` for a port without a name: upstream's ServicePortName. */
  readonly name: string;
  /** internalTrafficPolicy: the clusterIP has the local endpoints. */
  readonly internalLocal: boolean;
}

/** Which port of a Service this is; a node port is asked for by its own number. Undefined: the Service is gone. */
export type Describe = (
  owner: number,
  protocol: number,
  port: number,
  nodePort: boolean,
) => PortDescription | undefined;
