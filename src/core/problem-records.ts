/** Problems that the core met while decoding (asm/problems.ts), in words. */
import {
  KIND_SERVICE,
  PROBLEM_ADDRESS_TYPE,
  PROBLEM_AFFINITY,
  PROBLEM_AFFINITY_TIMEOUT,
  PROBLEM_CLUSTER_IP,
  PROBLEM_DUPLICATE_PORT,
  PROBLEM_ENDPOINT_ADDRESS,
  PROBLEM_ENDPOINT_PORT,
  PROBLEM_ENDPOINT_PROTOCOL,
  PROBLEM_EXTERNAL_IP,
  PROBLEM_EXTERNAL_POLICY,
  PROBLEM_HEADER,
  PROBLEM_HEALTH_PORT,
  PROBLEM_INGRESS_IP,
  PROBLEM_INTERNAL_POLICY,
  PROBLEM_MALFORMED,
  PROBLEM_MENDED,
  PROBLEM_NAME,
  PROBLEM_NODE_PORT,
  PROBLEM_PORT,
  PROBLEM_PROTOCOL,
  PROBLEM_SERVICE_LABEL,
  PROBLEM_SOURCE_RANGE,
  PROBLEM_TOO_MANY,
  PROBLEM_TYPE,
} from "../../asm/layout/layout.ts";
import type { ProblemEvent } from "../problems/problem.ts";
import { textOf } from "./name-table.ts";

interface Rule {
  /** `#` stands for the index. */
  readonly field: string;
  /** What is not done because of it. */
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
  [PROBLEM_MALFORMED]: { field: "", cannot: USE, must: "its bytes must be valid protobuf" },
  [PROBLEM_NAME]: {
    field: "metadata.name",
    cannot: USE,
    must: "namespace and name must be set, of at most 253 bytes",
  },
  [PROBLEM_TYPE]: {
    field: "spec.type",
    cannot: USE,
    must: "must be ClusterIP, NodePort, LoadBalancer or ExternalName",
  },
  [PROBLEM_TOO_MANY]: { field: "", cannot: USE, must: "a list must have at most 8192 entries" },
  [PROBLEM_SERVICE_LABEL]: {
    field: "metadata.labels[kubernetes.io/service-name]",
    cannot: USE,
    must: "must name the Service of the slice",
  },
  [PROBLEM_ADDRESS_TYPE]: { field: "addressType", cannot: USE, must: "must be IPv4 or IPv6" },
  [PROBLEM_CLUSTER_IP]: { field: "spec.clusterIPs[#]", cannot: USE, must: ADDRESS },
  [PROBLEM_EXTERNAL_IP]: { field: "spec.externalIPs[#]", cannot: USE, must: ADDRESS },
  [PROBLEM_INGRESS_IP]: { field: "status.loadBalancer.ingress[#].ip", cannot: USE, must: ADDRESS },
  [PROBLEM_SOURCE_RANGE]: {
    field: "spec.loadBalancerSourceRanges[#]",
    cannot: USE,
    must: "must be a range such as 192.0.2.0/24 or 2001:db8::/64",
  },
  [PROBLEM_PORT]: { field: "spec.ports[#].port", cannot: USE, must: PORT },
  [PROBLEM_NODE_PORT]: { field: "spec.ports[#].nodePort", cannot: USE, must: PORT_OR_NONE },
  [PROBLEM_PROTOCOL]: { field: "spec.ports[#].protocol", cannot: USE, must: PROTOCOL },
  [PROBLEM_DUPLICATE_PORT]: {
    field: "spec.ports[#]",
    cannot: "keep an earlier port beside",
    must: "name and number must be unique for a protocol; the last one counts",
  },
  [PROBLEM_EXTERNAL_POLICY]: { field: "spec.externalTrafficPolicy", cannot: USE, must: POLICY },
  [PROBLEM_INTERNAL_POLICY]: { field: "spec.internalTrafficPolicy", cannot: USE, must: POLICY },
  [PROBLEM_AFFINITY]: {
    field: "spec.sessionAffinity",
    cannot: USE,
    must: "must be None or ClientIP; None is assumed",
  },
  [PROBLEM_AFFINITY_TIMEOUT]: {
    field: "spec.sessionAffinityConfig.clientIP.timeoutSeconds",
    cannot: USE,
    must: "must be from 1 to 86400; the nearest of these is used",
  },
  [PROBLEM_HEALTH_PORT]: { field: "spec.healthCheckNodePort", cannot: USE, must: PORT_OR_NONE },
  [PROBLEM_ENDPOINT_ADDRESS]: {
    field: "endpoints[#].addresses[0]",
    cannot: USE,
    must: "must be an IP address of the slice's addressType",
  },
  [PROBLEM_ENDPOINT_PORT]: { field: "ports[#].port", cannot: USE, must: PORT },
  [PROBLEM_ENDPOINT_PROTOCOL]: { field: "ports[#].protocol", cannot: USE, must: PROTOCOL },
};

/** Reads the records in a region; layout in asm/layout.ts. */
export function readProblems(region: Uint8Array): ProblemEvent[] {
  const view = new DataView(region.buffer, region.byteOffset, region.byteLength);
  const events: ProblemEvent[] = [];
  for (let at = 0; at < region.length; ) {
    const nameLength = view.getUint16(at + 2, true);
    const valueLength = view.getUint16(at + 4, true);
    const kind = view.getUint8(at) === KIND_SERVICE ? "Service" : "EndpointSlice";
    const name = textOf(region, at + PROBLEM_HEADER, nameLength) || "without a name";
    const value = textOf(region, at + PROBLEM_HEADER + nameLength, valueLength);
    events.push(
      tell(`${kind} ${name}`, view.getUint8(at + 1), view.getUint32(at + 8, true), value),
    );
    at += (PROBLEM_HEADER + nameLength + valueLength + 3) & ~3;
  }
  return events;
}

function tell(subject: string, number: number, index: number, value: string): ProblemEvent {
  const code = "OBJECT_INVALID";
  const rule = RULES[number];
  if (number === PROBLEM_MENDED || rule === undefined) return { end: { subject, code } };
  const field = rule.field.replace("#", String(index));
  const what = field === "" ? subject : `${field} of ${subject}`;
  const current =
    number === PROBLEM_MALFORMED || number === PROBLEM_TOO_MANY
      ? ""
      : `: current value is ${JSON.stringify(value)}`;
  const message = `Cannot ${rule.cannot} ${what}: ${rule.must}${current}`;
  return { begin: { subject, code, field, message } };
}
