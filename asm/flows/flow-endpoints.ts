// Determines which endpoints a connection to a frontend may keep: all that serve the Service port,
// Ready or not, on any node. Traffic policies and hints apply only to new connections; changing
// them cuts no existing connection (kube-proxy's pkg/proxy/conntrack/cleanup.go).

import { serviceBlock, servicePortCount, servicePorts } from "../cluster/services";
import { ELEMENT_OWNER } from "../committed/element-record";
import { find, hashKey, tableEnd, tableOf } from "../committed/elements";
import { TABLE_LEADS } from "../layout/element";
import { KEY_PORT, KEY_PROTOCOL } from "../layout/key";
import { OWNER_ADOPTED, OWNER_NODE } from "../layout/owner";
import { PORT_NODE_PORT, PORT_NUMBER, PORT_PROTOCOL, PORT_STRIDE } from "../layout/service";
import { HALF } from "../memory/bytes";
import { REGION_BYTES, region } from "../memory/region";
import {
  hasTrait,
  portOf,
  ROW_HIGH,
  ROW_LOW,
  ROW_STRIDE,
  ROW_TAIL,
  sameAddress,
  sortRows,
  TRAIT_READY,
  TRAIT_SERVING,
} from "../select/rows";
import { gatherPort } from "../select/select";
import {
  addressBytes,
  endpointsVersion,
  FRONTEND_ADDRESS_BYTES,
  FRONTEND_COUNT,
  FRONTEND_FAMILY,
  FRONTEND_FROM,
  FRONTEND_KEY,
  FRONTEND_VERSION,
  familyOf,
} from "./flow-frontends";

/** The frontend's owner is unknown, so connections through it are left alone. */
export const UNKNOWN: u32 = 0xffffffff;
const NOBODY: i32 = -1;

const rows = region(memory.data(REGION_BYTES));
const spare = region(memory.data(REGION_BYTES));
/**
 * Rows of the endpoints of all frontends looked up so far; the rows of each frontend are sorted.
 */
const serving = region(memory.data(REGION_BYTES));
let cachedVersion: u32 = 0;

/** Clears the lookups and returns large regions to the heap. */
export function forgetEndpoints(): void {
  rows.clear();
  spare.clear();
  serving.clear();
  cachedVersion = 0;
}

/** Returns the owner of the frontend with this key; negative if there is none. */
export function ownerOfFrontend(family: u32, address: u32, key: usize): i32 {
  for (let id: u32 = 0; id < tableEnd(); id++) {
    const table = tableOf(id);
    if (!(table.flags & TABLE_LEADS) || familyOf(table) != family) continue;
    if (addressBytes(table) != address) continue;
    const element = find(table, key, hashKey(table, key));
    if (element) return load<i32>(element, ELEMENT_OWNER);
  }
  return NOBODY;
}

/**
 * Looks up the endpoints that serve a frontend of the pass, unless they are known. Returns false if
 * memory cannot grow. Afterwards FRONTEND_COUNT is the number of endpoints, or UNKNOWN.
 */
export function learnEndpoints(frontend: usize): bool {
  if (cachedVersion != endpointsVersion) {
    cachedVersion = endpointsVersion;
    serving.length = 0;
  } else if (load<u32>(frontend, FRONTEND_VERSION) == cachedVersion) return true;
  const family: u32 = load<u8>(frontend, FRONTEND_FAMILY);
  const address: u32 = load<u8>(frontend, FRONTEND_ADDRESS_BYTES);
  const key = frontend + FRONTEND_KEY;
  const from = serving.length;
  const owner = ownerOfFrontend(family, address, key);
  let unknown = false;
  // If the frontend or its Service is gone, no endpoint is left.
  if (owner == OWNER_ADOPTED || owner == OWNER_NODE) unknown = true;
  else if (owner != NOBODY && !gatherServing(owner, family, key + address, !address)) return false;
  store<u32>(frontend, from, FRONTEND_FROM);
  store<u32>(frontend, unknown ? UNKNOWN : (serving.length - from) / ROW_STRIDE, FRONTEND_COUNT);
  store<u32>(frontend, cachedVersion, FRONTEND_VERSION);
  return true;
}

/**
 * Reports whether an endpoint with this address (network order) and port serves the frontend. Call
 * `learnEndpoints` before; the frontend must not be UNKNOWN.
 */
export function isServedBy(frontend: usize, address: usize, port: u32): bool {
  let high: u64 = 0;
  let low: u64 = 0;
  if (load<u8>(frontend, FRONTEND_FAMILY) == 4) low = bswap<u32>(load<u32>(address));
  else {
    high = bswap<u64>(load<u64>(address));
    low = bswap<u64>(load<u64>(address, HALF));
  }
  const first = serving.base + load<u32>(frontend, FRONTEND_FROM);
  let from: u32 = 0;
  let end = load<u32>(frontend, FRONTEND_COUNT);
  while (from < end) {
    const middle = (from + end) >> 1;
    const row = first + middle * ROW_STRIDE;
    const order = compare(row, high, low, port);
    if (order == 0) return true;
    if (order < 0) from = middle + 1;
    else end = middle;
  }
  return false;
}

function compare(row: usize, high: u64, low: u64, port: u32): i32 {
  const rowHigh = load<u64>(row, ROW_HIGH);
  if (rowHigh != high) return rowHigh < high ? -1 : 1;
  const rowLow = load<u64>(row, ROW_LOW);
  if (rowLow != low) return rowLow < low ? -1 : 1;
  const rowPort = portOf(row);
  return rowPort == port ? 0 : rowPort < port ? -1 : 1;
}

// `portKey` points to a KEY record.
function gatherServing(owner: u32, family: u32, portKey: usize, nodePort: bool): bool {
  const block = serviceBlock(owner);
  if (!block) return true;
  const protocol = load<u8>(portKey, KEY_PROTOCOL);
  const port = <u32>bswap<u16>(load<u16>(portKey, KEY_PORT));
  const ports = servicePorts(block);
  const end = ports + servicePortCount(block) * PORT_STRIDE;
  rows.length = 0;
  for (let each = ports; each < end; each += PORT_STRIDE) {
    if (load<u8>(each, PORT_PROTOCOL) != protocol) continue;
    const number = nodePort ? load<u16>(each, PORT_NODE_PORT) : load<u16>(each, PORT_NUMBER);
    if (<u32>number != port) continue;
    if (!gatherPort(rows, owner, each, family)) return false;
  }
  if (!sortRows(rows, spare)) return false;
  let last: usize = 0;
  for (let row = rows.base; row < rows.base + rows.length; row += ROW_STRIDE) {
    if (!hasTrait(row, TRAIT_READY | TRAIT_SERVING)) continue;
    if (last && sameAddress(last, row) && portOf(last) == portOf(row)) continue;
    last = row;
    const to = serving.extend(ROW_STRIDE);
    if (!to) return false;
    store<u64>(to, load<u64>(row, ROW_HIGH), ROW_HIGH);
    store<u64>(to, load<u64>(row, ROW_LOW), ROW_LOW);
    store<u64>(to, load<u64>(row, ROW_TAIL), ROW_TAIL);
  }
  return true;
}
