// Decodes a Service message (k8s.io/api core/v1) into a Service block (layout/service.ts) in the
// builder.
//
// The fields of a message arrive in the order of their numbers, but the lists of a block have the
// order of the layout. The decoder therefore reads the spec once for the single fields and once for
// each list. This is cheap, because it skips an unwanted field by its length.

import { releaseServiceNames } from "../cluster/services";
import {
  FIELD_AFFINITY_CONFIG_CLIENT_IP,
  FIELD_CLIENT_IP_TIMEOUT,
  FIELD_SPEC_AFFINITY_CONFIG,
  FIELD_SPEC_CLUSTER_IP,
  FIELD_SPEC_CLUSTER_IPS,
  FIELD_SPEC_EXTERNAL_IPS,
  FIELD_SPEC_EXTERNAL_POLICY,
  FIELD_SPEC_HEALTH_CHECK_NODE_PORT,
  FIELD_SPEC_INTERNAL_POLICY,
  FIELD_SPEC_SESSION_AFFINITY,
  FIELD_SPEC_SOURCE_RANGES,
  FIELD_SPEC_TYPE,
  WIRE_BITS,
  WIRE_BYTES,
  WIRE_VARINT,
} from "../layout/fields";
import {
  LIST_CLUSTER_IPS,
  LIST_EXTERNAL_IPS,
  LIST_SOURCE_RANGES,
  RULE_AFFINITY,
  RULE_AFFINITY_TIMEOUT,
  RULE_CLUSTER_IP,
  RULE_EXTERNAL_IP,
  RULE_EXTERNAL_POLICY,
  RULE_HEALTH_PORT,
  RULE_INTERNAL_POLICY,
  RULE_MALFORMED,
  RULE_SOURCE_RANGE,
  RULE_TYPE,
} from "../layout/problem";
import {
  SERVICE_AFFINITY_SECONDS,
  SERVICE_CLUSTER_IPS,
  SERVICE_CREATED,
  SERVICE_EXTERNAL_IPS,
  SERVICE_FLAG_EXTERNAL_LOCAL,
  SERVICE_FLAG_INTERNAL_LOCAL,
  SERVICE_FLAGS,
  SERVICE_HEADER,
  SERVICE_HEALTH_CHECK_NODE_PORT,
  SERVICE_SIZE,
  SERVICE_SOURCE_RANGES,
  SERVICE_TYPE,
  SERVICE_TYPE_CLUSTER_IP,
  SERVICE_TYPE_LOAD_BALANCER,
  SERVICE_TYPE_NODE_PORT,
} from "../layout/service";
import { build, buildStart, built, builtLength } from "../memory/builder";
import { isText } from "../memory/bytes";
import { buildClusterIp, buildIngress, buildList } from "./decode-addresses";
import { buildPorts } from "./decode-ports";
import { META_PROXY_NAME, metaCreated, metaFlags } from "./meta";
import { ABSENT, DECODED, NO_MEMORY, problem, problemNumber, REFUSED, refuse } from "./problems";
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

const TAG_SPEC_CLUSTER_IP: u32 = (FIELD_SPEC_CLUSTER_IP << WIRE_BITS) | WIRE_BYTES;
const TAG_SPEC_TYPE: u32 = (FIELD_SPEC_TYPE << WIRE_BITS) | WIRE_BYTES;
const TAG_SPEC_EXTERNAL_IPS: u32 = (FIELD_SPEC_EXTERNAL_IPS << WIRE_BITS) | WIRE_BYTES;
const TAG_SPEC_SESSION_AFFINITY: u32 = (FIELD_SPEC_SESSION_AFFINITY << WIRE_BITS) | WIRE_BYTES;
const TAG_SPEC_SOURCE_RANGES: u32 = (FIELD_SPEC_SOURCE_RANGES << WIRE_BITS) | WIRE_BYTES;
const TAG_SPEC_EXTERNAL_POLICY: u32 = (FIELD_SPEC_EXTERNAL_POLICY << WIRE_BITS) | WIRE_BYTES;
const TAG_SPEC_HEALTH_CHECK_NODE_PORT: u32 =
  (FIELD_SPEC_HEALTH_CHECK_NODE_PORT << WIRE_BITS) | WIRE_VARINT;
const TAG_SPEC_AFFINITY_CONFIG: u32 = (FIELD_SPEC_AFFINITY_CONFIG << WIRE_BITS) | WIRE_BYTES;
const TAG_SPEC_CLUSTER_IPS: u32 = (FIELD_SPEC_CLUSTER_IPS << WIRE_BITS) | WIRE_BYTES;
const TAG_SPEC_INTERNAL_POLICY: u32 = (FIELD_SPEC_INTERNAL_POLICY << WIRE_BITS) | WIRE_BYTES;
/** Tags of SessionAffinityConfig, ClientIPConfig. */
const TAG_AFFINITY_CONFIG_CLIENT_IP: u32 =
  (FIELD_AFFINITY_CONFIG_CLIENT_IP << WIRE_BITS) | WIRE_BYTES;
const TAG_CLIENT_IP_TIMEOUT: u32 = (FIELD_CLIENT_IP_TIMEOUT << WIRE_BITS) | WIRE_VARINT;

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

/**
 * Decodes spec and status; the metadata has already been read. If the result is DECODED, the block
 * holds references to its names.
 */
export function decodeService(
  specAt: usize,
  specLength: usize,
  statusAt: usize,
  statusLength: usize,
): i32 {
  readSingles(specAt, specLength);
  if (broken()) return refuse(RULE_MALFORMED);
  if (external || headless || metaFlags & META_PROXY_NAME || (!clusterIpLength && !clusterIpCount))
    return ABSENT;
  if (!type) return REFUSED;
  buildStart();
  if (!build(SERVICE_HEADER)) return NO_MEMORY;

  let outcome = clusterIpCount
    ? buildList(
        specAt,
        specLength,
        TAG_SPEC_CLUSTER_IPS,
        RULE_CLUSTER_IP,
        LIST_CLUSTER_IPS,
        SERVICE_CLUSTER_IPS,
      )
    : buildClusterIp(clusterIpAt, clusterIpLength);
  if (outcome == DECODED)
    outcome = buildList(
      specAt,
      specLength,
      TAG_SPEC_EXTERNAL_IPS,
      RULE_EXTERNAL_IP,
      LIST_EXTERNAL_IPS,
      SERVICE_EXTERNAL_IPS,
    );
  if (outcome == DECODED) outcome = buildIngress(statusAt, statusLength);
  if (outcome == DECODED)
    outcome = buildList(
      specAt,
      specLength,
      TAG_SPEC_SOURCE_RANGES,
      RULE_SOURCE_RANGE,
      LIST_SOURCE_RANGES,
      SERVICE_SOURCE_RANGES,
    );
  if (outcome == DECODED) outcome = buildPorts(specAt, specLength);
  if (outcome != DECODED) {
    discardService();
    return outcome;
  }
  const block = built();
  store<u32>(block, builtLength(), SERVICE_SIZE);
  store<u32>(block, metaCreated, SERVICE_CREATED);
  store<u32>(block, affinitySeconds(), SERVICE_AFFINITY_SECONDS);
  store<u16>(block, checkedHealthPort(), SERVICE_HEALTH_CHECK_NODE_PORT);
  store<u8>(block, type, SERVICE_TYPE);
  store<u8>(block, flags, SERVICE_FLAGS);
  return DECODED;
}

/** Releases the references of the block in the builder. */
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
      case TAG_SPEC_CLUSTER_IP:
        readBytes();
        clusterIpAt = bytesAt;
        clusterIpLength = bytesLength;
        if (isText(bytesAt, bytesLength, "None")) headless = true;
        break;
      case TAG_SPEC_CLUSTER_IPS:
        readBytes();
        clusterIpCount++;
        if (isText(bytesAt, bytesLength, "None")) headless = true;
        break;
      case TAG_SPEC_TYPE:
        readBytes();
        setType();
        break;
      case TAG_SPEC_SESSION_AFFINITY:
        readBytes();
        affinity = isText(bytesAt, bytesLength, "ClientIP");
        if (!affinity && bytesLength && !isText(bytesAt, bytesLength, "None")) tell(RULE_AFFINITY);
        break;
      case TAG_SPEC_EXTERNAL_POLICY:
        readBytes();
        if (isLocal(RULE_EXTERNAL_POLICY)) flags |= SERVICE_FLAG_EXTERNAL_LOCAL;
        break;
      case TAG_SPEC_INTERNAL_POLICY:
        readBytes();
        if (isLocal(RULE_INTERNAL_POLICY)) flags |= SERVICE_FLAG_INTERNAL_LOCAL;
        break;
      case TAG_SPEC_HEALTH_CHECK_NODE_PORT:
        healthPort = readInt();
        break;
      case TAG_SPEC_AFFINITY_CONFIG:
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
    tell(RULE_TYPE);
  }
}

function isLocal(rule: i32): bool {
  if (isText(bytesAt, bytesLength, "Local")) return true;
  if (bytesLength && !isText(bytesAt, bytesLength, "Cluster")) tell(rule);
  return false;
}

/** Reads the timeout of a SessionAffinityConfig. */
function readTimeout(): void {
  const outer = enterMessage();
  while (seek(TAG_AFFINITY_CONFIG_CLIENT_IP)) {
    const config = enterMessage();
    while (seek(TAG_CLIENT_IP_TIMEOUT)) timeout = readInt();
    leaveMessage(config);
  }
  leaveMessage(outer);
}

function affinitySeconds(): u32 {
  if (!affinity) return 0;
  if (timeout >= 1 && timeout <= AFFINITY_MAX) return timeout;
  problemNumber(RULE_AFFINITY_TIMEOUT, 0, timeout);
  return timeout < 1 ? 1 : AFFINITY_MAX;
}

function checkedHealthPort(): u32 {
  if (healthPort >= 0 && healthPort <= 0xffff) return healthPort;
  problemNumber(RULE_HEALTH_PORT, 0, healthPort);
  return 0;
}
