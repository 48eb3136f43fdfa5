/** Turns the core's decoding problems (asm/ingest/problems.ts) into messages. */
import {
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
  RULE_MENDED,
  RULE_NAME,
  RULE_NODE_PORT,
  RULE_PORT,
  RULE_PROTOCOL,
  RULE_SERVICE_LABEL,
  RULE_SOURCE_RANGE,
  RULE_TOO_MANY,
  RULE_TYPE,
} from "../../asm/layout/problem.ts";
import { KIND_SERVICE } from "../../asm/layout/stream.ts";
import type { ProblemEvent } from "../problems/problem.ts";
import { textOf } from "./name-table.ts";

interface Rule {
  /** `#` is a placeholder for the index. */
  readonly field: string;
  /** The operation that fails because of the problem, as a verb. */
  readonly cannot: string;
  readonly must: string;
}

const USE = "use";
const PROTOCOL = "must be TCP, UDP or SCTP";
const ADDRESS = "must be an IPv4 or IPv6 address";
const PORT = "must be a port number from 1 to 65535";
const PORT_OR_NONE = "must be a port number from 1 to 65535, or 0 for none";
const POLICY = "must be Cluster or Local; Cluster is assumed";

const RULES: Readonly<Record<number, Rule>> = {
  [RULE_MALFORMED]: { field: "", cannot: USE, must: "its bytes must be valid protobuf" },
  [RULE_NAME]: {
    field: "metadata.name",
    cannot: USE,
    must: "namespace and name must be set, of at most 253 bytes",
  },
  [RULE_TYPE]: {
    field: "spec.type",
    cannot: USE,
    must: "must be ClusterIP, NodePort, LoadBalancer or ExternalName",
  },
  [RULE_TOO_MANY]: { field: "", cannot: USE, must: "a list must have at most 8192 entries" },
  [RULE_SERVICE_LABEL]: {
    field: "metadata.labels[kubernetes.io/service-name]",
    cannot: USE,
    must: "must name the Service of the slice",
  },
  [RULE_ADDRESS_TYPE]: { field: "addressType", cannot: USE, must: "must be IPv4 or IPv6" },
  [RULE_CLUSTER_IP]: { field: "spec.clusterIPs[#]", cannot: USE, must: ADDRESS },
  [RULE_EXTERNAL_IP]: { field: "spec.externalIPs[#]", cannot: USE, must: ADDRESS },
  [RULE_INGRESS_IP]: { field: "status.loadBalancer.ingress[#].ip", cannot: USE, must: ADDRESS },
  [RULE_SOURCE_RANGE]: {
    field: "spec.loadBalancerSourceRanges[#]",
    cannot: USE,
    must: "must be a range such as 192.0.2.0/24 or 2001:db8::/64",
  },
  [RULE_PORT]: { field: "spec.ports[#].port", cannot: USE, must: PORT },
  [RULE_NODE_PORT]: { field: "spec.ports[#].nodePort", cannot: USE, must: PORT_OR_NONE },
  [RULE_PROTOCOL]: { field: "spec.ports[#].protocol", cannot: USE, must: PROTOCOL },
  [RULE_DUPLICATE_PORT]: {
    field: "spec.ports[#]",
    cannot: "keep an earlier port beside",
    must: "name and number must be unique for a protocol; the last one counts",
  },
  [RULE_EXTERNAL_POLICY]: { field: "spec.externalTrafficPolicy", cannot: USE, must: POLICY },
  [RULE_INTERNAL_POLICY]: { field: "spec.internalTrafficPolicy", cannot: USE, must: POLICY },
  [RULE_AFFINITY]: {
    field: "spec.sessionAffinity",
    cannot: USE,
    must: "must be None or ClientIP; None is assumed",
  },
  [RULE_AFFINITY_TIMEOUT]: {
    field: "spec.sessionAffinityConfig.clientIP.timeoutSeconds",
    cannot: USE,
    must: "must be from 1 to 86400; the nearest of these is used",
  },
  [RULE_HEALTH_PORT]: { field: "spec.healthCheckNodePort", cannot: USE, must: PORT_OR_NONE },
  [RULE_ENDPOINT_ADDRESS]: {
    field: "endpoints[#].addresses[0]",
    cannot: USE,
    must: "must be an IP address of the slice's addressType",
  },
  [RULE_ENDPOINT_PORT]: { field: "ports[#].port", cannot: USE, must: PORT },
  [RULE_ENDPOINT_PROTOCOL]: { field: "ports[#].protocol", cannot: USE, must: PROTOCOL },
};

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
    const name = textOf(region, at + PROBLEM_HEADER, nameLength) || "without a name";
    const value = textOf(region, at + PROBLEM_HEADER + nameLength, valueLength);
    events.push(tell(`${kind} ${name}`, rule, index, value));
    const bytes = PROBLEM_HEADER + nameLength + valueLength;
    at += Math.ceil(bytes / PROBLEM_ALIGN) * PROBLEM_ALIGN;
  }
  return events;
}

function tell(subject: string, number: number, index: number, value: string): ProblemEvent {
  const code = "OBJECT_INVALID";
  const rule = RULES[number];
  if (number === RULE_MENDED || rule === undefined) return { end: { subject, code } };
  const field = rule.field.replace("#", String(index));
  const what = field === "" ? subject : `${field} of ${subject}`;
  const current =
    number === RULE_MALFORMED || number === RULE_TOO_MANY
      ? ""
      : `: current value is ${JSON.stringify(value)}`;
  const message = `Cannot ${rule.cannot} ${what}: ${rule.must}${current}`;
  return { begin: { subject, code, field, message } };
}
