// Adds one API object to the tables. It validates first and mutates afterwards. It builds a block
// aside and reserves all memory, and only then replaces the old block. A refused object leaves the
// tables unchanged.

import {
  ensureService,
  findService,
  firstSlice,
  isService,
  markDirty,
  serviceBlock,
  serviceEnd,
  serviceEpoch,
  serviceName,
  serviceVersion,
  setServiceBlock,
  setServiceEpoch,
  setServiceVersion,
} from "../cluster/services";
import { linkSlice, nextSlice, sliceEpoch, sliceService, unlinkSlice } from "../cluster/slices";
import {
  FIELD_SERVICE_SPEC,
  FIELD_SERVICE_STATUS,
  FIELD_SLICE_ADDRESS_TYPE,
  WIRE_BITS,
  WIRE_BYTES,
} from "../layout/fields";
import { RULE_MALFORMED, RULE_NAME } from "../layout/problem";
import { SERVICE_SIZE } from "../layout/service";
import {
  SLICE_EPOCH,
  SLICE_FAMILY,
  SLICE_KEY,
  SLICE_SERVICE,
  SLICE_SIZE,
  SLICE_VERSION,
} from "../layout/slice";
import { KIND_SERVICE } from "../layout/stream";
import { built, builtLength } from "../memory/builder";
import { sameBytes } from "../memory/bytes";
import { allocate, release } from "../memory/heap";
import {
  NAME_NONE,
  nameDrop,
  nameFind,
  nameHold,
  nameLength,
  nameSlice,
  nameText,
} from "../memory/names";
import { decodeService, discardService } from "./decode-service";
import { decodeSlice, discardSlice } from "./decode-slice";
import {
  clearMeta,
  composeKey,
  metaNameAt,
  metaNameLength,
  metaTriggerAt,
  metaTriggerLength,
  metaVersion,
  objectKey,
  objectKeyLength,
  readMeta,
  serviceKey,
  serviceKeyLength,
  TAG_OBJECT_METADATA,
  voidMetaVersion,
} from "./meta";
import {
  ABSENT,
  DECODED,
  NO_MEMORY,
  openSubject,
  problem,
  resolveProblems,
  sweepProblems,
} from "./problems";
import {
  broken,
  bytesAt,
  bytesLength,
  more,
  openMessage,
  readBytes,
  readTag,
  skipField,
} from "./protobuf";
import { addTriggerTime } from "./triggers";

const TAG_SERVICE_SPEC: u32 = (FIELD_SERVICE_SPEC << WIRE_BITS) | WIRE_BYTES;
const TAG_SERVICE_STATUS: u32 = (FIELD_SERVICE_STATUS << WIRE_BITS) | WIRE_BYTES;
const TAG_SLICE_ADDRESS_TYPE: u32 = (FIELD_SLICE_ADDRESS_TYPE << WIRE_BITS) | WIRE_BYTES;

// Results of `ingest`, in addition to NO_MEMORY.
const UNCHANGED: i32 = 0;
export const CHANGED: i32 = 1;

// Number of objects added, changed in a relevant field, or removed since the start.
let serviceChanges: u32 = 0;
let sliceChanges: u32 = 0;

export function serviceChangeCount(): u32 {
  return serviceChanges;
}

export function sliceChangeCount(): u32 {
  return sliceChanges;
}

let serviceEpochNow: u32 = 1;
let sliceEpochNow: u32 = 1;

/** Fields at the object's top level. Service: spec, status; slice: addressType. */
let specAt: usize = 0;
let specLength: usize = 0;
let statusAt: usize = 0;
let statusLength: usize = 0;
let typeAt: usize = 0;
let typeLength: usize = 0;

/** Ingests one object of a list or a watch. */
export function ingest(kind: i32, at: usize, length: usize, deleted: bool): i32 {
  scan(at, length);
  const named = composeKey();
  openSubject(
    kind,
    objectKey,
    objectKeyLength,
    kind == KIND_SERVICE ? serviceEpochNow : sliceEpochNow,
  );
  const intact = !broken();
  if (!intact) voidMetaVersion();
  if (!named || !intact) {
    if (named) touch(kind);
    resolveProblems();
    if (intact) problem(RULE_NAME, 0, metaNameAt(), metaNameLength());
    else problem(RULE_MALFORMED, 0, 0, 0);
    return UNCHANGED;
  }
  return kind == KIND_SERVICE ? ingestService(deleted) : ingestSlice(at, length, deleted);
}

/** Starts a replacement: `endReplace` removes every object that has not been fed again by then. */
export function beginReplace(kind: i32): void {
  if (kind == KIND_SERVICE) serviceEpochNow++;
  else sliceEpochNow++;
}

export function endReplace(kind: i32): void {
  if (kind == KIND_SERVICE) sweepServices();
  else sweepSlices();
  sweepProblems(kind, kind == KIND_SERVICE ? serviceEpochNow : sliceEpochNow);
}

function scan(at: usize, length: usize): void {
  clearMeta();
  specLength = 0;
  statusLength = 0;
  typeLength = 0;
  openMessage(at, length);
  while (more()) {
    switch (readTag()) {
      case TAG_OBJECT_METADATA:
        readMeta();
        break;
      case TAG_SERVICE_SPEC:
        readBytes();
        specAt = bytesAt;
        specLength = bytesLength;
        break;
      case TAG_SERVICE_STATUS:
        readBytes();
        statusAt = bytesAt;
        statusLength = bytesLength;
        break;
      case TAG_SLICE_ADDRESS_TYPE:
        readBytes();
        typeAt = bytesAt;
        typeLength = bytesLength;
        break;
      default:
        skipField();
    }
  }
}

/**
 * Records that an object with this name was fed, usable or not, so that `endReplace` keeps its
 * current state.
 */
function touch(kind: i32): void {
  const name = nameFind(objectKey, objectKeyLength);
  if (name == NAME_NONE) return;
  if (kind == KIND_SERVICE) {
    const id = findService(objectKey, objectKeyLength);
    if (id) setServiceEpoch(id, serviceEpochNow);
  } else {
    const slice = nameSlice(name);
    if (slice) store<u32>(slice, sliceEpochNow, SLICE_EPOCH);
  }
}

// ── Services ─────────────────────────────────────────────────────────────────────────────────────

function ingestService(deleted: bool): i32 {
  const known = findService(objectKey, objectKeyLength);
  const present = known != 0 && serviceBlock(known) != 0;
  if (present) {
    setServiceEpoch(known, serviceEpochNow);
    if (!deleted && metaVersion && metaVersion == serviceVersion(known)) return UNCHANGED;
  }
  resolveProblems();
  if (deleted) return removeService(known);
  const outcome = decodeService(specAt, specLength, statusAt, statusLength);
  if (outcome == ABSENT) return removeService(known);
  if (outcome != DECODED) return outcome == NO_MEMORY ? NO_MEMORY : UNCHANGED;
  if (present) {
    const block = serviceBlock(known);
    if (
      load<u32>(block, SERVICE_SIZE) == <u32>builtLength() &&
      sameBytes(block, built(), builtLength())
    ) {
      discardService();
      setServiceVersion(known, metaVersion);
      return UNCHANGED;
    }
  }
  return placeService();
}

function placeService(): i32 {
  const size = builtLength();
  const block = allocate(size);
  const id = block ? ensureService(objectKey, objectKeyLength) : 0;
  if (!id) {
    release(block, size);
    discardService();
    return NO_MEMORY;
  }
  memory.copy(block, built(), size);
  setServiceBlock(id, block);
  setServiceVersion(id, metaVersion);
  setServiceEpoch(id, serviceEpochNow);
  markDirty(id);
  serviceChanges++;
  return CHANGED;
}

function removeService(id: u32): i32 {
  if (!id || !serviceBlock(id)) return UNCHANGED;
  setServiceBlock(id, 0);
  setServiceVersion(id, 0);
  markDirty(id);
  serviceChanges++;
  return CHANGED;
}

function sweepServices(): void {
  const end = serviceEnd();
  for (let id: u32 = 1; id < end; id++) {
    if (isService(id) && serviceEpoch(id) != serviceEpochNow) removeService(id);
  }
}

// ── EndpointSlices ───────────────────────────────────────────────────────────────────────────────

function ingestSlice(at: usize, length: usize, deleted: bool): i32 {
  const name = nameFind(objectKey, objectKeyLength);
  const known: usize = name == NAME_NONE ? 0 : nameSlice(name);
  if (known) {
    store<u32>(known, sliceEpochNow, SLICE_EPOCH);
    if (!deleted && metaVersion && metaVersion == load<u64>(known, SLICE_VERSION)) return UNCHANGED;
  }
  resolveProblems();
  if (deleted) return removeSlice(known);
  const outcome = decodeSlice(at, length, typeAt, typeLength);
  if (outcome == ABSENT) return removeSlice(known);
  if (outcome != DECODED) return outcome == NO_MEMORY ? NO_MEMORY : UNCHANGED;
  if (known && isSameSlice(known)) {
    discardSlice();
    store<u64>(known, metaVersion, SLICE_VERSION);
    return UNCHANGED;
  }
  return placeSlice(known);
}

function isSameSlice(slice: usize): bool {
  const size: usize = load<u32>(slice, SLICE_SIZE);
  // An object's own content starts at its family; the fields before it are bookkeeping.
  if (
    size != builtLength() ||
    !sameBytes(slice + SLICE_FAMILY, built() + SLICE_FAMILY, size - SLICE_FAMILY)
  )
    return false;
  const service = serviceName(sliceService(slice));
  return (
    <usize>nameLength(service) == serviceKeyLength &&
    sameBytes(nameText(service), serviceKey, serviceKeyLength)
  );
}

function placeSlice(former: usize): i32 {
  const size = builtLength();
  const slice = allocate(size);
  const name = slice ? nameHold(objectKey, objectKeyLength) : NAME_NONE;
  const service = name == NAME_NONE ? 0 : ensureService(serviceKey, serviceKeyLength);
  if (!service) {
    if (name != NAME_NONE) nameDrop(name);
    release(slice, size);
    discardSlice();
    return NO_MEMORY;
  }
  memory.copy(slice, built(), size);
  store<u32>(slice, service, SLICE_SERVICE);
  store<u32>(slice, name, SLICE_KEY);
  store<u64>(slice, metaVersion, SLICE_VERSION);
  store<u32>(slice, sliceEpochNow, SLICE_EPOCH);
  linkSlice(slice);
  if (former) dropSlice(former);
  if (serviceBlock(service)) markDirty(service);
  if (metaTriggerLength) addTriggerTime(metaTriggerAt, metaTriggerLength);
  sliceChanges++;
  return CHANGED;
}

function removeSlice(slice: usize): i32 {
  if (!slice) return UNCHANGED;
  dropSlice(slice);
  sliceChanges++;
  return CHANGED;
}

function dropSlice(slice: usize): void {
  const service = sliceService(slice);
  if (serviceBlock(service)) markDirty(service);
  unlinkSlice(slice);
}

function sweepSlices(): void {
  const end = serviceEnd();
  for (let id: u32 = 1; id < end; id++) {
    if (!isService(id)) continue;
    for (let slice = firstSlice(id); slice; ) {
      const next = nextSlice(slice);
      if (sliceEpoch(slice) != sliceEpochNow) removeSlice(slice);
      slice = next;
    }
  }
}
