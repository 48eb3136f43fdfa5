/** Builds operations from Services, as plan and diff do, and the chains that result. */
import { SPAN_BYTES, SPAN_COUNT, SPAN_POINTER } from "../../../asm/layout/choice.ts";
import {
  DESIRED_HEADER,
  DESIRED_KIND,
  DESIRED_OWNER,
  DESIRED_SLOTS,
  DESIRED_TABLE,
} from "../../../asm/layout/desired.ts";
import { SLOT_NUMBER_BYTES } from "../../../asm/layout/key.ts";
import {
  buildContext,
  buildService,
  type ChoiceText,
  claimsOf,
  Memory,
  type NodeText,
  parseRange,
  plainWriter,
  type ServiceText,
} from "../../../harness/plan/plan-text.ts";
import type { Chains } from "../../../src/iptables/rules/chain-texts.ts";
import type { RulesetOptions } from "../../../src/iptables/rules/fixed-chains.ts";
import type { Describe } from "../../../src/iptables/rules/port-description.ts";
import { Ruleset } from "../../../src/iptables/rules/ruleset.ts";
import type { Operation } from "../../../src/model/operation-list.ts";
import { OWNER_NODE, type OwnerId } from "../../../src/model/owner.ts";
import type { Service } from "../../../src/model/service.ts";
import {
  keySize,
  type TableId,
  tableFamily,
  tableLabel,
  valueSize,
} from "../../../src/model/tables.ts";
import type { Family } from "../../../src/net/address.ts";
import { planNode, planService } from "../../../src/plan/plan.ts";
import { expandService } from "../../../src/state/frontends.ts";

export interface Served {
  readonly service: ServiceText;
  readonly endpoints: ChoiceText | readonly ChoiceText[];
}

export const OPTIONS: RulesetOptions = {
  masqueradeBit: 14,
  masqueradeAll: false,
  dropInvalid: false,
  detector: { kind: "cidr", ipv4: parseRange("10.0.0.0/8"), ipv6: parseRange("fd00:1::/32") },
  counters: false,
  localhostNodePorts: false,
  randomFully: true,
  comments: true,
  recent: true,
  sctp: true,
};

/** The contents of the tables, by table and key. */
export type Elements = ReadonlyMap<string, Omit<Operation, "kind">>;

/**
 * All elements of these Services and the node. Slots are numbered in the order of the endpoints.
 */
export function elementsOf(served: readonly Served[], node: NodeText = {}): Elements {
  const memory = new Memory();
  const services = served.map((one) => buildService(one.service));
  const plan = { ...buildContext(claimsOf(services), node), affinityMaps: undefined };
  const writer = plainWriter();
  planNode(plan, writer);
  services.forEach((one, i) => {
    const choices = memory.choices(one, served[i]?.endpoints ?? {});
    planService(expandService(one), choices, plan, writer);
  });
  const elements = new Map<string, Omit<Operation, "kind">>();
  const region = writer.region();
  const view = new DataView(region.buffer, region.byteOffset, region.length);
  const put = (table: TableId, owner: OwnerId, key: Uint8Array, value: Uint8Array) => {
    const name = `${tableLabel(table)} ${Buffer.from(key).toString("hex")}`;
    elements.set(name, { table, owner, key, value });
  };
  for (let at = 0; at < region.length; ) {
    const table = region[at + DESIRED_TABLE] as TableId;
    const owner = view.getUint32(at + DESIRED_OWNER, true) as OwnerId;
    const key = at + DESIRED_HEADER;
    const value = key + keySize(table);
    if (region[at + DESIRED_KIND] !== DESIRED_SLOTS) {
      at = value + valueSize(table);
      put(table, owner, region.slice(key, value), region.slice(value, at));
      continue;
    }
    const span = value - SLOT_NUMBER_BYTES;
    const pointer = view.getUint32(span + SPAN_POINTER, true);
    const count = view.getUint32(span + SPAN_COUNT, true);
    const stride = valueSize(table);
    for (let slot = 0; slot < count; slot++) {
      const bytes = region.slice(key, value);
      new DataView(bytes.buffer).setUint32(bytes.length - SLOT_NUMBER_BYTES, slot, true);
      const from = pointer + slot * stride;
      put(table, owner, bytes, memory.bytes.slice(from, from + stride));
    }
    at = span + SPAN_BYTES;
  }
  return elements;
}

/** The operations from one state to the other, additions first. Their order must not matter. */
export function operationsBetween(before: Elements, after: Elements): Operation[] {
  const same = (a: Omit<Operation, "kind">, b: Omit<Operation, "kind"> | undefined) =>
    b !== undefined && a.owner === b.owner && Buffer.compare(a.value, b.value) === 0;
  const added = [...after].filter(([name, one]) => !same(one, before.get(name)));
  const gone = [...before].filter(([name, one]) => !same(one, after.get(name)));
  return [
    ...added.map(([, one]) => ({ kind: "add" as const, ...one })),
    ...gone.map(([, one]) => ({ kind: "delete" as const, ...one })),
  ];
}

const NOTHING: Elements = new Map();
export const additions = (elements: Elements): Operation[] => operationsBetween(NOTHING, elements);

/** Names ports as upstream does. */
export function describeOf(served: readonly Served[]): Describe {
  const services = new Map<number, Service>(
    served.map((one) => buildService(one.service)).map((one) => [one.id, one]),
  );
  return (owner, protocol, port, nodePort) => {
    const of = services.get(owner);
    const found = of?.ports.find(
      (one) => one.protocol === protocol && (nodePort ? one.nodePort : one.port) === port,
    );
    if (of === undefined || found === undefined) return undefined;
    const name = `${of.namespace}/${of.name}${found.name === "" ? "" : `:${found.name}`}`;
    return { name, internalLocal: of.internalLocal };
  };
}

/** The rules of these Services. */
export function rulesetOf(
  served: readonly Served[],
  node: NodeText = {},
  options: Partial<RulesetOptions> = {},
  family: Family = 4,
): Ruleset {
  const ruleset = new Ruleset(family, { ...OPTIONS, ...options });
  ruleset.stage(additions(elementsOf(served, node)), describeOf(served));
  ruleset.commit();
  return ruleset;
}

export const ofFamily = (operations: readonly Operation[], family: Family): Operation[] =>
  operations.filter(({ table }) => tableFamily(table) === family);

/** `-A CHAIN RULE` of every chain in a table that a name matches as a prefix. */
export function rulesOf(chains: Chains, table: "nat" | "filter", ...begins: string[]): string[] {
  return [...chains[table]]
    .filter(([chain]) => begins.some((start) => chain.startsWith(start)))
    .flatMap(([chain, text]) => linesOf(text).map((rule) => `-A ${chain} ${rule}`));
}

export const linesOf = (text: string): string[] => (text === "" ? [] : text.split("\n"));

/** A copy that later changes do not affect. */
export const snapshot = ({ nat, filter }: Chains) => ({
  nat: Object.fromEntries([...nat].sort()),
  filter: Object.fromEntries([...filter].sort()),
});

export { OWNER_NODE };
