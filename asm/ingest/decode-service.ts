// A Service message (k8s.io/api core/v1) → a Service block (layout.ts) in the builder.
//
// The fields of a message come in the order of their numbers, the lists of a block in that of the layout; so
// the spec is gone over once for what is single and once for each list, which costs little as a field that
// is not wanted is passed over by its length.

import { releaseServiceNames } from "../cluster/services";
import {
  PROBLEM_AFFINITY,
  PROBLEM_AFFINITY_TIMEOUT,
  PROBLEM_CLUSTER_IP,
  PROBLEM_EXTERNAL_IP,
  PROBLEM_EXTERNAL_POLICY,
  PROBLEM_HEALTH_PORT,
  PROBLEM_INTERNAL_POLICY,
  PROBLEM_MALFORMED,
  PROBLEM_SOURCE_RANGE,
  PROBLEM_TYPE,
  SERVICE_FLAG_EXTERNAL_LOCAL,
  SERVICE_FLAG_INTERNAL_LOCAL,
  SERVICE_HEADER,
  SERVICE_TYPE_CLUSTER_IP,
  SERVICE_TYPE_LOAD_BALANCER,
  SERVICE_TYPE_NODE_PORT,
} from "../layout/layout";
import { build, buildStart, built, builtLength } from "../memory/builder";
import { isText } from "../memory/bytes";
import { buildClusterIp, buildIngress, buildList } from "./decode-addresses";
import { buildPorts } from "./decode-ports";
import { META_PROXY_NAME, metaCreated, metaFlags } from "./meta";
import { ABSENT, DECODED, NO_MEMORY, REFUSED, refuse } from "./outcome";
import { problem, problemNumber } from "./problems";
import {
  broken,
  bytesAt,
  bytesLength,
  enterMessage,
  leaveMessage,
  more,
  openMessage,
  readBytes,
  readInt,
  readTag,
  seek,
  skipField,
} from "./protobuf";

const AFFINITY_DEFAULT: i32 = 10800;
const AFFINITY_MAX: i32 = 86400;

let type: u32 = 0;
let flags: u32 = 0;
let clusterIpAt: usize = 0;
let clusterIpLength: usize = 0;
let clusterIpCount: u32 = 0;
let headless: bool = false;
let external: bool = false;
let affinity: bool = false;
let timeout: i32 = 0;
let healthPort: i32 = 0;
/** Decodes spec and status; the metadata has been read. When DECODED, the names in the block are held. */
export function decodeService(
  specAt: usize,
  specLength: usize,
  statusAt: usize,
  statusLength: usize,
): i32 {
  readSingles(specAt, specLength);
  if (broken()) return refuse(PROBLEM_MALFORMED);
  if (external || headless || metaFlags & META_PROXY_NAME || (!clusterIpLength && !clusterIpCount))
    return ABSENT;
  if (!type) return REFUSED;
  buildStart();
  if (!build(SERVICE_HEADER)) return NO_MEMORY;

  let outcome = clusterIpCount
    ? buildList(specAt, specLength, (18 << 3) | 2, PROBLEM_CLUSTER_IP, 0, 18)
    : buildClusterIp(clusterIpAt, clusterIpLength);
  if (outcome == DECODED)
    outcome = buildList(specAt, specLength, (5 << 3) | 2, PROBLEM_EXTERNAL_IP, 1, 20);
  if (outcome == DECODED) outcome = buildIngress(statusAt, statusLength);
  if (outcome == DECODED)
    outcome = buildList(specAt, specLength, (9 << 3) | 2, PROBLEM_SOURCE_RANGE, 3, 24);
  if (outcome == DECODED) outcome = buildPorts(specAt, specLength);
  if (outcome != DECODED) {
    discardService();
    return outcome;
  }
  const block = built();
  store<u32>(block, builtLength());
  store<u32>(block, metaCreated, 4);
  store<u32>(block, affinitySeconds(), 8);
  store<u16>(block, checkedHealthPort(), 12);
  store<u8>(block, type, 14);
  store<u8>(block, flags, 15);
  return DECODED;
}

/** Lets go of what the block in the builder holds. */
export function discardService(): void {
  releaseServiceNames(built());
}

function readSingles(at: usize, length: usize): void {
  type = SERVICE_TYPE_CLUSTER_IP;
  flags = 0;
  clusterIpLength = 0;
  clusterIpCount = 0;
  headless = false;
  external = false;
  affinity = false;
  timeout = AFFINITY_DEFAULT;
  healthPort = 0;
  openMessage(at, length);
  while (more()) {
    switch (readTag()) {
      case (3 << 3) | 2: // clusterIP
        readBytes();
        clusterIpAt = bytesAt;
        clusterIpLength = bytesLength;
        if (isText(bytesAt, bytesLength, "None")) headless = true;
        break;
      case (18 << 3) | 2: // clusterIPs
        readBytes();
        clusterIpCount++;
        if (isText(bytesAt, bytesLength, "None")) headless = true;
        break;
      case (4 << 3) | 2:
        readBytes();
        setType();
        break;
      case (7 << 3) | 2: // sessionAffinity
        readBytes();
        affinity = isText(bytesAt, bytesLength, "ClientIP");
        if (!affinity && bytesLength && !isText(bytesAt, bytesLength, "None"))
          tell(PROBLEM_AFFINITY);
        break;
      case (11 << 3) | 2: // externalTrafficPolicy
        readBytes();
        if (isLocal(PROBLEM_EXTERNAL_POLICY)) flags |= SERVICE_FLAG_EXTERNAL_LOCAL;
        break;
      case (22 << 3) | 2: // internalTrafficPolicy
        readBytes();
        if (isLocal(PROBLEM_INTERNAL_POLICY)) flags |= SERVICE_FLAG_INTERNAL_LOCAL;
        break;
      case (12 << 3) | 0:
        healthPort = readInt();
        break;
      case (14 << 3) | 2: // sessionAffinityConfig
        readTimeout();
        break;
      default:
        skipField();
    }
  }
}

function tell(rule: i32): void {
  problem(rule, 0, bytesAt, bytesLength);
}

function setType(): void {
  if (!bytesLength || isText(bytesAt, bytesLength, "ClusterIP")) type = SERVICE_TYPE_CLUSTER_IP;
  else if (isText(bytesAt, bytesLength, "NodePort")) type = SERVICE_TYPE_NODE_PORT;
  else if (isText(bytesAt, bytesLength, "LoadBalancer")) type = SERVICE_TYPE_LOAD_BALANCER;
  else if (isText(bytesAt, bytesLength, "ExternalName")) external = true;
  else {
    type = 0;
    tell(PROBLEM_TYPE);
  }
}

function isLocal(rule: i32): bool {
  if (isText(bytesAt, bytesLength, "Local")) return true;
  if (bytesLength && !isText(bytesAt, bytesLength, "Cluster")) tell(rule);
  return false;
}

/** SessionAffinityConfig { 1: clientIP { 1: timeoutSeconds } } */
function readTimeout(): void {
  const outer = enterMessage();
  while (seek((1 << 3) | 2)) {
    const config = enterMessage();
    while (seek((1 << 3) | 0)) timeout = readInt();
    leaveMessage(config);
  }
  leaveMessage(outer);
}

function affinitySeconds(): u32 {
  if (!affinity) return 0;
  if (timeout >= 1 && timeout <= AFFINITY_MAX) return timeout;
  problemNumber(PROBLEM_AFFINITY_TIMEOUT, 0, timeout);
  return timeout < 1 ? 1 : AFFINITY_MAX;
}

function checkedHealthPort(): u32 {
  if (healthPort >= 0 && healthPort <= 0xffff) return healthPort;
  problemNumber(PROBLEM_HEALTH_PORT, 0, healthPort);
  return 0;
}
