/** Turns the core's decoding problems (asm/ingest/problems.ts) into messages. */
import {
  LIST_CLUSTER_IPS,
  LIST_EXTERNAL_IPS,
  LIST_INGRESS,
  LIST_PORTS,
  LIST_SOURCE_RANGES,
  PROBLEM_ALIGN,
  PROBLEM_HEADER,
  PROBLEM_INDEX,
  PROBLEM_KIND,
  PROBLEM_NAME_LENGTH,
  PROBLEM_RULE,
  PROBLEM_VALUE_LENGTH,
  RULE_ADDRESS_TYPE,
  RULE_AFFINITY,
  RULE_AFFINITY_TIMEOUT,
  RULE_CLUSTER_IP,
  RULE_DUPLICATE_PORT,
  RULE_ENDPOINT_ADDRESS,
  RULE_ENDPOINT_PORT,
  RULE_ENDPOINT_PROTOCOL,
  RULE_EXTERNAL_IP,
  RULE_EXTERNAL_POLICY,
  RULE_HEALTH_PORT,
  RULE_INGRESS_IP,
  RULE_INTERNAL_POLICY,
  RULE_MALFORMED,
  RULE_NAME,
  RULE_NODE_PORT,
  RULE_PORT,
  RULE_PROTOCOL,
  RULE_RESOLVED,
  RULE_SERVICE_LABEL,
  RULE_SOURCE_RANGE,
  RULE_TOO_MANY,
  RULE_TYPE,
} from "../../asm/layout/problem.ts";
import { KIND_SERVICE } from "../../asm/layout/stream.ts";
import type { ProblemEvent } from "../problems/problem.ts";
import { decodeText } from "./name-table.ts";

interface ProblemRule {
  /** `#` is a placeholder for the index. */
  readonly field: string;
  readonly fault: "invalid" | "duplicate";
  /** True if the value is a number, which is printed without quotes. */
  readonly number: boolean;
  /** The requirement, and the value that Sluice uses instead. */
  readonly must: string;
}

const PROTOCOL = "must be TCP, UDP or SCTP";
const ADDRESS = "must be an IPv4 or IPv6 address";
const PORT = "must be between 1 and 65535";
const PORT_OR_NONE = "must be between 1 and 65535, or 0 for none";
const POLICY = "must be Cluster or Local (using Cluster)";

const textRule = (field: string, must: string): ProblemRule => ({
  field,
  fault: "invalid",
  number: false,
  must,
});
const numberRule = (field: string, must: string): ProblemRule => ({
  ...textRule(field, must),
  number: true,
});

/** Rules for one field. The two without a field are in `describeProblem`. */
const RULES: Readonly<Record<number, ProblemRule>> = {
  [RULE_NAME]: textRule("metadata.name", "namespace and name must have 1 to 253 bytes"),
  [RULE_TYPE]: textRule("spec.type", "must be ClusterIP, NodePort, LoadBalancer or ExternalName"),
  [RULE_SERVICE_LABEL]: textRule(
    "metadata.labels[kubernetes.io/service-name]",
    "must name the Service of the slice",
  ),
  [RULE_ADDRESS_TYPE]: textRule("addressType", "must be IPv4, IPv6 or FQDN"),
  [RULE_CLUSTER_IP]: textRule("spec.clusterIPs[#]", ADDRESS),
  [RULE_EXTERNAL_IP]: textRule("spec.externalIPs[#]", ADDRESS),
  [RULE_INGRESS_IP]: textRule("status.loadBalancer.ingress[#].ip", ADDRESS),
  [RULE_SOURCE_RANGE]: textRule(
    "spec.loadBalancerSourceRanges[#]",
    "must be a CIDR such as 192.0.2.0/24 or 2001:db8::/64",
  ),
  [RULE_PORT]: numberRule("spec.ports[#].port", PORT),
  [RULE_NODE_PORT]: numberRule("spec.ports[#].nodePort", PORT_OR_NONE),
  [RULE_PROTOCOL]: textRule("spec.ports[#].protocol", PROTOCOL),
  [RULE_DUPLICATE_PORT]: {
    ...numberRule(
      "spec.ports[#]",
      "ports of a protocol must differ in name and number (using the last)",
    ),
    fault: "duplicate",
  },
  [RULE_EXTERNAL_POLICY]: textRule("spec.externalTrafficPolicy", POLICY),
  [RULE_INTERNAL_POLICY]: textRule("spec.internalTrafficPolicy", POLICY),
  [RULE_AFFINITY]: textRule("spec.sessionAffinity", "must be None or ClientIP (using None)"),
  [RULE_AFFINITY_TIMEOUT]: numberRule(
    "spec.sessionAffinityConfig.clientIP.timeoutSeconds",
    "must be between 1 and 86400 (using the nearest of these)",
  ),
  [RULE_HEALTH_PORT]: numberRule("spec.healthCheckNodePort", PORT_OR_NONE),
  [RULE_ENDPOINT_ADDRESS]: textRule(
    "endpoints[#].addresses[0]",
    "must be an IP address of the slice's addressType",
  ),
  [RULE_ENDPOINT_PORT]: numberRule("ports[#].port", PORT),
  [RULE_ENDPOINT_PROTOCOL]: textRule("ports[#].protocol", PROTOCOL),
};

/** Lists of a Service, as RULE_TOO_MANY numbers them. A slice has only LIST_PORTS. */
const LISTS: Readonly<Record<number, string>> = {
  [LIST_CLUSTER_IPS]: "spec.clusterIPs",
  [LIST_EXTERNAL_IPS]: "spec.externalIPs",
  [LIST_INGRESS]: "status.loadBalancer.ingress",
  [LIST_SOURCE_RANGES]: "spec.loadBalancerSourceRanges",
  [LIST_PORTS]: "spec.ports",
};

const KEPT = "(Sluice keeps using the last valid version of the object)";

/** Reads the records in a region (layout: asm/layout/problem.ts). */
export function readProblems(region: Uint8Array): ProblemEvent[] {
  const view = new DataView(region.buffer, region.byteOffset, region.byteLength);
  const events: ProblemEvent[] = [];
  for (let at = 0; at < region.length; ) {
    const nameLength = view.getUint16(at + PROBLEM_NAME_LENGTH, true);
    const valueLength = view.getUint16(at + PROBLEM_VALUE_LENGTH, true);
    const kind = view.getUint8(at + PROBLEM_KIND) === KIND_SERVICE ? "Service" : "EndpointSlice";
    const rule = view.getUint8(at + PROBLEM_RULE);
    const index = view.getUint32(at + PROBLEM_INDEX, true);
    const name = decodeText(region, at + PROBLEM_HEADER, nameLength) || "without a name";
    const value = decodeText(region, at + PROBLEM_HEADER + nameLength, valueLength);
    events.push(describeProblem(`${kind} ${name}`, rule, index, value));
    const bytes = PROBLEM_HEADER + nameLength + valueLength;
    at += Math.ceil(bytes / PROBLEM_ALIGN) * PROBLEM_ALIGN;
  }
  return events;
}

function describeProblem(
  subject: string,
  number: number,
  index: number,
  value: string,
): ProblemEvent {
  const code = "OBJECT_INVALID";
  const begin = (field: string, message: string) =>
    ({ begin: { subject, code, field, message } }) as const;
  if (number === RULE_MALFORMED) return begin("", `decode ${subject}: invalid protobuf ${KEPT}`);
  if (number === RULE_TOO_MANY) {
    const field = subject.startsWith("Service") ? (LISTS[index] ?? "") : "ports";
    return begin(field, `${field}: too many items: must be at most 8192 ${KEPT}`);
  }
  const rule = RULES[number];
  if (number === RULE_RESOLVED || rule === undefined) return { end: { subject, code } };
  const field = rule.field.replace("#", String(index));
  const printed = rule.number ? value : JSON.stringify(value);
  return begin(field, `${field}: ${rule.fault} value ${printed}: ${rule.must}`);
}
