/** Finds the owner of a rule from its text, for a refused rule. Pure. */

import { type FrontendKey, frontendKey, nodePortKey } from "../../model/frontend-key.ts";
import { OWNER_NODE, type OwnerId } from "../../model/owner.ts";
import { type Family, parseCidr } from "../../net/address.ts";
import { parseLowercaseProtocol } from "../../net/protocol.ts";
import { NODE_PORTS, type RuleTable } from "../syntax/known-chains.ts";
import type { Port } from "./ports.ts";

interface Owners {
  readonly family: Family;
  readonly ports: Iterable<Port>;
  frontend(key: FrontendKey): OwnerId | undefined;
  healthPort(port: number): OwnerId | undefined;
}

/** Returns undefined if the rule belongs to no single owner. */
export function ownerOfRule(
  table: RuleTable,
  chain: string,
  rule: string,
  owners: Owners,
): OwnerId | undefined {
  if (table === "nat") {
    for (const { owner, chains } of owners.ports) if (chains.includes(chain)) return owner;
  }
  const protocol = parseLowercaseProtocol(/(?:^| )-p (\S+) /.exec(rule)?.[1] ?? "");
  const port = Number(/ --dport (\d+) -j /.exec(rule)?.[1]);
  const address = /^-d (\S+) /.exec(rule)?.[1];
  if (protocol === undefined || Number.isNaN(port)) {
    return rule.endsWith(` -j ${NODE_PORTS}`) ? OWNER_NODE : undefined;
  }
  if (table === "filter" && chain === NODE_PORTS) return owners.healthPort(port);
  if (address === undefined) return owners.frontend(nodePortKey(owners.family, protocol, port));
  const cidr = parseCidr(address);
  return cidr && owners.frontend(frontendKey(cidr.bytes, protocol, port));
}
