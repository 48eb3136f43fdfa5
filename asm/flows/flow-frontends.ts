// Collects UDP and TCP frontends that need a look at their connections since the last pass over the
// kernel's entries. Every commit records them; check-entries.ts checks them in a separate pass.

import {
  ELEMENT_KEY,
  ELEMENT_NEXT,
  ELEMENT_OWNER,
  ELEMENT_TABLE,
} from "../committed/element-record";
import { Table, tableEnd, tableOf } from "../committed/elements";
import { operationsBytes, operationsPointer } from "../committed/operations";
import { firstOf, isOwner } from "../committed/owners";
import { TABLE_LEADS, TABLE_NODE_PORT_RANGES, TABLE_SLOTS } from "../layout/element";
import { FLOWS_TCP4, FLOWS_UDP4 } from "../layout/flow";
import {
  KEY_BYTES,
  KEY_PROTOCOL,
  PROTOCOL_TCP,
  PROTOCOL_UDP,
  SLOT_NUMBER_BYTES,
} from "../layout/key";
import { OP_ADD, OP_DELETE, OP_HEADER, OP_KIND, OP_OWNER, OP_TABLE } from "../layout/operation";
import { sameBytes } from "../memory/bytes";
import { hash32 } from "../memory/hash";
import { allocate, release } from "../memory/heap";
import {
  slotHash,
  slotItem,
  TABLE_BYTES,
  tableClear,
  tableCount,
  tableFirst,
  tableNext,
  tableReserve,
  tableSet,
  tableSlot,
  tableSlots,
} from "../memory/table";

// Record FRONTEND, FRONTEND_BYTES = 40 bytes:
//    0 u8 FAMILY: 4 or 6                          4 u32 VERSION: endpointsVersion when found
//    1 u8 ADDRESS_BYTES: 0 for a node port        8 u32 FROM: its endpoints (flow-endpoints.ts)
//    2 u16 -                                     12 u32 COUNT: of endpoints, or UNKNOWN
//   16 u8[24] KEY: the address, then a KEY record
export const FRONTEND_FAMILY: usize = 0;
export const FRONTEND_ADDRESS_BYTES: usize = 1;
export const FRONTEND_VERSION: usize = 4;
export const FRONTEND_FROM: usize = 8;
export const FRONTEND_COUNT: usize = 12;
export const FRONTEND_KEY: usize = 16;
const FRONTEND_BYTES: usize = 40;

const recorded: usize = memory.data(TABLE_BYTES);
const passing: usize = memory.data(TABLE_BYTES);
/**
 * Owners (never 0) with all their frontends of the protocol recorded. The pass finds out which
 * frontends these are.
 */
const udpOwners: usize = memory.data(TABLE_BYTES);
const tcpOwners: usize = memory.data(TABLE_BYTES);

/** Incremented whenever the looked-up endpoints may have changed. */
export let endpointsVersion: u32 = 1;

/**
 * Records the frontends that the last commit changed: all UDP frontends, and the TCP frontends of
 * a Service that lost an endpoint. If node ports answer on further addresses, records all of them.
 * Returns false if memory cannot grow.
 */
export function flowsRecord(): bool {
  endpointsVersion++;
  const end = operationsPointer() + operationsBytes();
  for (let at = operationsPointer(); at < end; ) {
    const table = tableOf(load<u8>(at, OP_TABLE));
    const key = at + OP_HEADER;
    const lost = load<u8>(at, OP_KIND) == OP_DELETE && (table.flags & TABLE_SLOTS) != 0;
    if (table.flags & TABLE_NODE_PORT_RANGES && load<u8>(at, OP_KIND) == OP_ADD) {
      if (!flowsRecordNodePorts(familyOf(table))) return false;
    }
    if (table.flags & (TABLE_LEADS | TABLE_SLOTS)) {
      const address = addressBytes(table);
      const protocol = load<u8>(key + address, KEY_PROTOCOL);
      if (protocol == PROTOCOL_UDP || (protocol == PROTOCOL_TCP && lost)) {
        if (!add(recorded, familyOf(table), address, key)) return false;
      }
      if (protocol == PROTOCOL_TCP && lost) {
        if (!flowsRecordOwner(load<u32>(at, OP_OWNER), false, true)) return false;
      }
    }
    at = key + table.keySize + table.valueSize;
  }
  return true;
}

/** Records all UDP or TCP frontends of an owner, or both. Returns false if memory cannot grow. */
export function flowsRecordOwner(owner: u32, udp: bool, tcp: bool): bool {
  endpointsVersion++;
  if (!owner) return true;
  return (!udp || addOwner(udpOwners, owner)) && (!tcp || addOwner(tcpOwners, owner));
}

/** Records all UDP and TCP frontends of all owners. Returns false if memory cannot grow. */
export function flowsRecordAll(): bool {
  for (let id: u32 = 0; id < tableEnd(); id++) {
    const table = tableOf(id);
    if (!(table.flags & TABLE_LEADS)) continue;
    const elements = changetype<usize>(table);
    for (let i: u32 = 0; i < tableSlots(elements); i++) {
      const element: usize = slotItem(tableSlot(elements, i));
      if (!element) continue;
      if (!flowsRecordOwner(load<u32>(element, ELEMENT_OWNER), true, true)) return false;
    }
  }
  return true;
}

/** Records all UDP and TCP node ports of a family. Returns false if memory cannot grow. */
export function flowsRecordNodePorts(family: u32): bool {
  for (let id: u32 = 0; id < tableEnd(); id++) {
    const table = tableOf(id);
    if (!(table.flags & TABLE_LEADS) || familyOf(table) != family || addressBytes(table)) continue;
    const elements = changetype<usize>(table);
    for (let i: u32 = 0; i < tableSlots(elements); i++) {
      const element: usize = slotItem(tableSlot(elements, i));
      if (!element) continue;
      const protocol = load<u8>(element + ELEMENT_KEY, KEY_PROTOCOL);
      if (protocol != PROTOCOL_UDP && protocol != PROTOCOL_TCP) continue;
      if (!add(recorded, family, 0, element + ELEMENT_KEY)) return false;
    }
  }
  return true;
}

/** Reports whether a pass has anything to do. */
export function flowsHaveChanges(): bool {
  return tableCount(recorded) + tableCount(udpOwners) + tableCount(tcpOwners) > 0;
}

/**
 * Begins a pass over the recorded frontends. Returns the dumps it needs, as FLOWS_* bits. Returns
 * -1 if memory cannot grow; everything then stays recorded.
 */
export function flowsBegin(): i32 {
  assert(!tableCount(passing));
  memory.copy(passing, recorded, TABLE_BYTES);
  memory.fill(recorded, 0, TABLE_BYTES);
  if (!expand(udpOwners, PROTOCOL_UDP) || !expand(tcpOwners, PROTOCOL_TCP)) {
    flowsEnd(true);
    return -1;
  }
  tableClear(udpOwners);
  tableClear(tcpOwners);
  let dumps: i32 = 0;
  for (let i: u32 = 0; i < tableSlots(passing); i++) {
    const frontend: usize = slotItem(tableSlot(passing, i));
    if (!frontend) continue;
    const key = frontend + FRONTEND_KEY + load<u8>(frontend, FRONTEND_ADDRESS_BYTES);
    const bit = load<u8>(key, KEY_PROTOCOL) == PROTOCOL_UDP ? FLOWS_UDP4 : FLOWS_TCP4;
    dumps |= load<u8>(frontend, FRONTEND_FAMILY) == 4 ? bit : bit << 1;
  }
  return dumps;
}

/**
 * Ends the pass. If `again` is set, the pass did not complete, and its frontends are recorded again
 * as far as memory permits.
 */
export function flowsEnd(again: bool): void {
  for (let i: u32 = 0; i < tableSlots(passing); i++) {
    const frontend: usize = slotItem(tableSlot(passing, i));
    if (!frontend) continue;
    if (again) {
      const address = load<u8>(frontend, FRONTEND_ADDRESS_BYTES);
      add(recorded, load<u8>(frontend, FRONTEND_FAMILY), address, frontend + FRONTEND_KEY);
    }
    release(frontend, FRONTEND_BYTES);
  }
  tableClear(passing);
}

/** Returns the pass's frontend with this key; 0 if there is none. */
export function findPassing(family: u32, address: u32, key: usize): usize {
  return find(passing, family, address, key, hashOf(family, address, key));
}

/** Size of the address in a table's keys; 0 if keys begin with the protocol. */
export function addressBytes(table: Table): u32 {
  return table.keySize - <u32>KEY_BYTES - (table.flags & TABLE_SLOTS ? SLOT_NUMBER_BYTES : 0);
}

/** Returns 4 or 6: table ids are even for IPv4. */
export function familyOf(table: Table): u32 {
  return table.id & 1 ? 6 : 4;
}

function hashOf(family: u32, address: u32, key: usize): u32 {
  return hash32(key, address + KEY_BYTES) ^ family;
}

function find(table: usize, family: u32, address: u32, key: usize, hash: u32): usize {
  let slot = tableFirst(table, hash);
  for (let frontend: usize = slotItem(slot); frontend; frontend = slotItem(slot)) {
    if (
      slotHash(slot) == hash &&
      load<u8>(frontend, FRONTEND_FAMILY) == family &&
      load<u8>(frontend, FRONTEND_ADDRESS_BYTES) == address &&
      sameBytes(frontend + FRONTEND_KEY, key, address + KEY_BYTES)
    ) {
      return frontend;
    }
    slot = tableNext(table, slot);
  }
  return 0;
}

function add(table: usize, family: u32, address: u32, key: usize): bool {
  const hash = hashOf(family, address, key);
  if (find(table, family, address, key, hash)) return true;
  if (!tableReserve(table)) return false;
  const frontend = allocate(FRONTEND_BYTES);
  if (!frontend) return false;
  store<u8>(frontend, family, FRONTEND_FAMILY);
  store<u8>(frontend, address, FRONTEND_ADDRESS_BYTES);
  store<u32>(frontend, 0, FRONTEND_VERSION);
  memory.copy(frontend + FRONTEND_KEY, key, address + KEY_BYTES);
  let slot = tableFirst(table, hash);
  while (slotItem(slot)) slot = tableNext(table, slot);
  tableSet(table, slot, hash, <u32>frontend);
  return true;
}

function addOwner(owners: usize, owner: u32): bool {
  if (!tableReserve(owners)) return false;
  const hash = owner * 0x9e3779b1;
  let slot = tableFirst(owners, hash);
  while (slotItem(slot)) {
    if (slotItem(slot) == owner) return true;
    slot = tableNext(owners, slot);
  }
  tableSet(owners, slot, hash, owner);
  return true;
}

// Adds the frontends of these owners to the pass. An owner that is gone by now has no elements. A
// recycled id adds frontends of another Service, which turn out to be in order.
function expand(owners: usize, protocol: u32): bool {
  for (let i: u32 = 0; i < tableSlots(owners); i++) {
    const owner = slotItem(tableSlot(owners, i));
    if (!owner || !isOwner(owner)) continue;
    for (let element: usize = firstOf(owner); element; element = load<u32>(element, ELEMENT_NEXT)) {
      const table = tableOf(load<u32>(element, ELEMENT_TABLE));
      if (!(table.flags & TABLE_LEADS)) continue;
      const address = addressBytes(table);
      const key = element + ELEMENT_KEY;
      if (load<u8>(key + address, KEY_PROTOCOL) != protocol) continue;
      if (!add(passing, familyOf(table), address, key)) return false;
    }
  }
  return true;
}
