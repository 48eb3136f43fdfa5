/** Reads the Node object, as far as a proxy needs it. Nodes are few, so they come as JSON. */

import { listAt, objectAt, stringAt } from "../base/json.ts";
import type { NodeFacts } from "../model/node-facts.ts";
import { type Address, type Cidr, isUnspecified, parseAddress, parseCidr } from "../net/address.ts";
import type { Problem } from "../problems/problem.ts";

const ZONE_LABEL = "topology.kubernetes.io/zone";
/** The taint that the cluster autoscaler puts on a node before it removes it (KEP-3836). */
const DELETION_TAINT = "ToBeDeletedByClusterAutoscaler";

/** The result of reading a Node object. */
export interface ReadNodeResult {
  /** Undefined only if the object has no name. */
  readonly facts: NodeFacts | undefined;
  readonly problems: readonly Problem[];
}

/**
 * Reads a Node object. Malformed parts are left out and reported. The primary address of a family
 * is its first InternalIP, or else its first ExternalIP.
 */
export function readNode(object: unknown): ReadNodeResult {
  const metadata = objectAt(object, "metadata");
  const spec = objectAt(object, "spec");
  const name = stringAt(metadata, "name");
  const subject = `Node ${name}`;
  const problems: Problem[] = [];
  const report = (field: string, rule: string, value: unknown) => {
    const message = `${field}: invalid value ${JSON.stringify(value)}: ${rule}`;
    problems.push({ subject, code: "OBJECT_INVALID", field, message });
  };
  if (name === "") {
    report("metadata.name", "must not be empty", name);
    return { facts: undefined, problems };
  }

  const nodeIPs: { 4?: Address; 6?: Address } = {};
  const addresses = listAt(objectAt(object, "status"), "addresses");
  for (const type of ["InternalIP", "ExternalIP"]) {
    addresses.forEach((entry, i) => {
      if (stringAt(entry, "type") !== type) return;
      const text = stringAt(entry, "address");
      const address = parseAddress(text);
      if (address) nodeIPs[address.family] ??= address;
      else report(`status.addresses[${i}].address`, "must be an IP address", text);
    });
  }

  const podCidrs: Cidr[] = [];
  const several = listAt(spec, "podCIDRs");
  const single = stringAt(spec, "podCIDR");
  const ranges = several.length > 0 ? several : single === "" ? [] : [single];
  ranges.forEach((text, i) => {
    const cidr = typeof text === "string" ? parseCidr(text) : undefined;
    if (cidr) podCidrs.push(cidr);
    else report(`spec.podCIDRs[${i}]`, "must be a CIDR such as 10.1.0.0/24", text);
  });

  const eligible =
    stringAt(metadata, "deletionTimestamp") === "" &&
    !listAt(spec, "taints").some((taint) => stringAt(taint, "key") === DELETION_TAINT);
  const zone = stringAt(objectAt(metadata, "labels"), ZONE_LABEL);
  const uid = stringAt(metadata, "uid");
  return { facts: { name, uid, nodeIPs, zone, podCidrs, eligible }, problems };
}

/**
 * Applies kube-proxy's bindAddress, which is not a listener but overrides the node's own address of
 * its family.
 */
export function withBindAddress(facts: NodeFacts, bindAddress: string): NodeFacts {
  const address = parseAddress(bindAddress);
  if (address === undefined || isUnspecified(address)) return facts;
  return { ...facts, nodeIPs: { ...facts.nodeIPs, [address.family]: address } };
}
