// A Service message (k8s.io/api core/v1) → a Service block (layout.ts) in the builder.
//
// The fields of a message come in the order of their numbers, the lists of a block in that of the layout; so
// the spec is gone over once for what is single and once for each list, which costs little as a field that
// is not wanted is passed over by its length.

import {
  ADDRESS_STRIDE, PORT_STRIDE, SERVICE_FLAG_EXTERNAL_LOCAL, SERVICE_FLAG_INTERNAL_LOCAL, SERVICE_HEADER,
  SERVICE_TYPE_CLUSTER_IP, SERVICE_TYPE_LOAD_BALANCER, SERVICE_TYPE_NODE_PORT, PROBLEM_AFFINITY,
  PROBLEM_AFFINITY_TIMEOUT, PROBLEM_CLUSTER_IP, PROBLEM_DUPLICATE_PORT, PROBLEM_EXTERNAL_IP,
  PROBLEM_EXTERNAL_POLICY, PROBLEM_HEALTH_PORT, PROBLEM_INGRESS_IP, PROBLEM_INTERNAL_POLICY, PROBLEM_MALFORMED,
  PROBLEM_NODE_PORT, PROBLEM_PORT, PROBLEM_PROTOCOL, PROBLEM_SOURCE_RANGE, PROBLEM_TOO_MANY, PROBLEM_TYPE,
} from "./layout";
import { build, buildStart, built, builtLength, unbuild } from "./builder";
import { isText, sameBytes } from "./bytes";
import { metaCreated, metaFlags, META_PROXY_NAME } from "./meta";
import { nameDrop, nameHold, NAME_NONE } from "./names";
import { ABSENT, DECODED, NO_MEMORY, REFUSED } from "./outcome";
import { problem, problemNumber } from "./problems";
import {
  broken, bytesAt, bytesLength, enterMessage, leaveMessage, more, openMessage, readBytes, readInt, readTag, skipField,
} from "./protobuf";
import { protocolOf } from "./protocols";
import { releaseServiceNames, servicePortCount } from "./services";
import { parseAddress, parsedAddress, parsedFamily, parsedPrefix, parseRange } from "./text";

/** Entries of one list: a limit for hostile objects, far beyond what the API server's size limit lets live. */
const LIST_MAX: u32 = 8192;
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
/** First address of the list being built, as an offset, and how many it has. */
let listStart: usize = 0;
let listCount: u32 = 0;
/** Of the entry last seen, in its list in the object. */
let listIndex: u32 = 0;

/** Decodes spec and status; the metadata has been read. When DECODED, the names in the block are held. */
export function decodeService(specAt: usize, specLength: usize, statusAt: usize, statusLength: usize): i32 {
  readSingles(specAt, specLength);
  if (broken()) return refuse(PROBLEM_MALFORMED, 0);
  if (external || headless || metaFlags & META_PROXY_NAME || (!clusterIpLength && !clusterIpCount)) return ABSENT;
  if (!type) return REFUSED;
  buildStart();
  if (!build(SERVICE_HEADER)) return NO_MEMORY;

  let outcome = clusterIpCount ? buildList(specAt, specLength, 18 << 3 | 2, PROBLEM_CLUSTER_IP, 0, 18) : buildClusterIp();
  if (outcome == DECODED) outcome = buildList(specAt, specLength, 5 << 3 | 2, PROBLEM_EXTERNAL_IP, 1, 20);
  if (outcome == DECODED) outcome = buildIngress(statusAt, statusLength);
  if (outcome == DECODED) outcome = buildList(specAt, specLength, 9 << 3 | 2, PROBLEM_SOURCE_RANGE, 3, 24);
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

function refuse(rule: i32, index: u32): i32 {
  problem(rule, index, 0, 0);
  return REFUSED;
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
      case 3 << 3 | 2: // clusterIP
        readBytes();
        clusterIpAt = bytesAt;
        clusterIpLength = bytesLength;
        if (isText(bytesAt, bytesLength, "None")) headless = true;
        break;
      case 18 << 3 | 2: // clusterIPs
        readBytes();
        clusterIpCount++;
        if (isText(bytesAt, bytesLength, "None")) headless = true;
        break;
      case 4 << 3 | 2:
        readBytes();
        setType();
        break;
      case 7 << 3 | 2: // sessionAffinity
        readBytes();
        affinity = isText(bytesAt, bytesLength, "ClientIP");
        if (!affinity && bytesLength && !isText(bytesAt, bytesLength, "None")) tell(PROBLEM_AFFINITY);
        break;
      case 11 << 3 | 2: // externalTrafficPolicy
        readBytes();
        if (isLocal(PROBLEM_EXTERNAL_POLICY)) flags |= SERVICE_FLAG_EXTERNAL_LOCAL;
        break;
      case 22 << 3 | 2: // internalTrafficPolicy
        readBytes();
        if (isLocal(PROBLEM_INTERNAL_POLICY)) flags |= SERVICE_FLAG_INTERNAL_LOCAL;
        break;
      case 12 << 3 | 0:
        healthPort = readInt();
        break;
      case 14 << 3 | 2: // sessionAffinityConfig
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
  while (more()) {
    if (readTag() != (1 << 3 | 2)) {
      skipField();
      continue;
    }
    const config = enterMessage();
    while (more()) {
      if (readTag() == (1 << 3 | 0)) timeout = readInt();
      else skipField();
    }
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

function openList(): void {
  listStart = builtLength();
  listCount = 0;
  listIndex = 0;
}

function closeList(countOffset: usize): i32 {
  if (broken()) return refuse(PROBLEM_MALFORMED, 0);
  store<u16>(built() + countOffset, listCount);
  return DECODED;
}

/** A repeated string of the spec. `list` is its number for PROBLEM_TOO_MANY. */
function buildList(at: usize, length: usize, tag: u32, rule: i32, list: u32, countOffset: usize): i32 {
  openList();
  openMessage(at, length);
  while (more()) {
    if (readTag() != tag) {
      skipField();
      continue;
    }
    readBytes();
    const outcome = buildAddress(bytesAt, bytesLength, rule, list);
    if (outcome != DECODED) return outcome;
  }
  return closeList(countOffset);
}

/** A manifest, or an object of an old cluster, may have `clusterIP` only. */
function buildClusterIp(): i32 {
  openList();
  openMessage(clusterIpAt, 0);
  if (parseAddress(clusterIpAt, clusterIpLength)) {
    const outcome = appendAddress();
    if (outcome != DECODED) return outcome;
  } else problem(PROBLEM_CLUSTER_IP, 0, clusterIpAt, clusterIpLength);
  return closeList(18);
}

/** ServiceStatus { 1: loadBalancer { 1: ingress[] { 1: ip, 3: ipMode } } }; only ipMode VIP (or none) is ours. */
function buildIngress(at: usize, length: usize): i32 {
  openList();
  openMessage(at, length);
  while (more()) {
    if (readTag() != (1 << 3 | 2)) {
      skipField();
      continue;
    }
    const outer = enterMessage();
    while (more()) {
      if (readTag() != (1 << 3 | 2)) {
        skipField();
        continue;
      }
      const outcome = readIngress();
      if (outcome != DECODED) return outcome;
    }
    leaveMessage(outer);
  }
  return closeList(22);
}

function readIngress(): i32 {
  let ipAt: usize = 0;
  let ipLength: usize = 0;
  let vip = true;
  const outer = enterMessage();
  while (more()) {
    const tag = readTag();
    if (tag == (1 << 3 | 2)) {
      readBytes();
      ipAt = bytesAt;
      ipLength = bytesLength;
    } else if (tag == (3 << 3 | 2)) {
      readBytes();
      vip = isText(bytesAt, bytesLength, "VIP");
    } else skipField();
  }
  leaveMessage(outer);
  if (!vip || !ipLength || broken()) {
    listIndex++;
    return DECODED;
  }
  return buildAddress(ipAt, ipLength, PROBLEM_INGRESS_IP, 2);
}

/** An address or range; a wrong one is told and left out. */
function buildAddress(at: usize, length: usize, rule: i32, list: u32): i32 {
  const index = listIndex++;
  if (broken()) return DECODED;
  if (index >= LIST_MAX) return refuse(PROBLEM_TOO_MANY, list);
  const right = rule == PROBLEM_SOURCE_RANGE ? parseRange(at, length) : parseAddress(at, length);
  if (right) return appendAddress();
  problem(rule, index, at, length);
  return DECODED;
}

/** What was parsed goes to the list, unless it is there already in whatever spelling. */
function appendAddress(): i32 {
  const at = build(ADDRESS_STRIDE);
  if (!at) return NO_MEMORY;
  store<u8>(at, parsedFamily);
  store<u8>(at, parsedPrefix, 1);
  memory.copy(at + 4, parsedAddress, 16);
  for (let other = built() + listStart; other < at; other += ADDRESS_STRIDE) {
    if (!sameBytes(other, at, ADDRESS_STRIDE)) continue;
    unbuild(ADDRESS_STRIDE);
    return DECODED;
  }
  listCount++;
  return DECODED;
}

function buildPorts(at: usize, length: usize): i32 {
  openList();
  openMessage(at, length);
  while (more()) {
    if (readTag() != (1 << 3 | 2)) {
      skipField();
      continue;
    }
    const outcome = buildPort();
    if (outcome != DECODED) return outcome;
  }
  return broken() ? refuse(PROBLEM_MALFORMED, 0) : DECODED;
}

function buildPort(): i32 {
  const index = listIndex++;
  if (index >= LIST_MAX) return refuse(PROBLEM_TOO_MANY, 4);
  let nameAt: usize = 0;
  let nameLength: usize = 0;
  let protocolAt: usize = 0;
  let protocolLength: usize = 0;
  let port = 0;
  let nodePort = 0;
  const outer = enterMessage();
  while (more()) {
    switch (readTag()) {
      case 1 << 3 | 2:
        readBytes();
        nameAt = bytesAt;
        nameLength = bytesLength;
        break;
      case 2 << 3 | 2:
        readBytes();
        protocolAt = bytesAt;
        protocolLength = bytesLength;
        break;
      case 3 << 3 | 0:
        port = readInt();
        break;
      case 5 << 3 | 0:
        nodePort = readInt();
        break;
      default:
        skipField();
    }
  }
  leaveMessage(outer);
  if (broken()) return DECODED;
  const protocol = protocolOf(protocolAt, protocolLength);
  if (!protocol) {
    problem(PROBLEM_PROTOCOL, index, protocolAt, protocolLength);
    return DECODED;
  }
  if (port < 1 || port > 0xffff) {
    problemNumber(PROBLEM_PORT, index, port);
    return DECODED;
  }
  if (nodePort < 0 || nodePort > 0xffff) {
    problemNumber(PROBLEM_NODE_PORT, index, nodePort);
    nodePort = 0;
  }
  return appendPort(index, nameAt, nameLength, protocol, port, nodePort);
}

function appendPort(index: u32, nameAt: usize, nameLength: usize, protocol: u32, port: u32, nodePort: u32): i32 {
  const name = nameHold(nameAt, nameLength);
  if (name == NAME_NONE) return NO_MEMORY;
  const at = build(PORT_STRIDE);
  if (!at) {
    nameDrop(name);
    return NO_MEMORY;
  }
  store<u32>(at, name);
  store<u16>(at, port, 4);
  store<u16>(at, nodePort, 6);
  store<u8>(at, protocol, 8);
  setPortCount(servicePortCount(built()) + 1);
  dropDoubles(index, at);
  return DECODED;
}

/** The last of two ports with the same name and protocol, or number and protocol, is the one that counts. */
function dropDoubles(index: u32, last: usize): void {
  for (let port = built() + listStart; port < last; ) {
    const same = load<u32>(port) == load<u32>(last) || load<u16>(port, 4) == load<u16>(last, 4);
    if (!same || load<u8>(port, 8) != load<u8>(last, 8)) {
      port += PORT_STRIDE;
      continue;
    }
    problemNumber(PROBLEM_DUPLICATE_PORT, index, load<u16>(last, 4));
    nameDrop(load<u32>(port));
    memory.copy(port, port + PORT_STRIDE, last - port);
    last -= PORT_STRIDE;
    unbuild(PORT_STRIDE);
    setPortCount(servicePortCount(built()) - 1);
  }
}

function setPortCount(count: u32): void {
  store<u16>(built(), count, 16);
}
