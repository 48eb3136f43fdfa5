// The boundary: everything the host may call. Only numbers cross it; some of them point to records
// in memory.
//
// A record is drawn in a comment, and its constants follow: `Record NAME, SIZE_CONSTANT = bytes`,
// then each field as offset, type and name. `-` is padding, u16be is in network order, everything
// else is little-endian. NAME_FIELD is the offset of a field. A test compares drawings, constants
// and accesses (test/asm/layout.test.ts). Records that host or tests share with the core are in
// layout/, all others in the file that owns them.

export { setNodeName, setZone, start } from "./cluster/node";
export {
  dirtyCount,
  findService,
  isService,
  markAllDirty,
  markDirty,
  serviceBlock,
  serviceCount,
  serviceEnd,
  serviceName,
  takeDirty,
  takenDirty,
} from "./cluster/services";
export { endpointCount, sliceCount } from "./cluster/slices";
export {
  adopt,
  compare,
  countPackets,
  elementCount,
  exchangeRegion,
  ownerOf,
  readElements,
  resetCounters,
  rewind,
  valueAt,
} from "./committed/adopt";
export { ignoredCount } from "./committed/batch";
export { commit, desiredRegion, diff, ownersRegion } from "./committed/diff";
export { defineTables, elementTotal } from "./committed/elements";
export { operationsBytes, operationsCount, operationsPointer } from "./committed/operations";
export { ownedElements } from "./committed/owners";
export { flowsCheck, flowsChunk, flowsFinish } from "./flows/check-entries";
export {
  flowsBegin,
  flowsHaveChanges,
  flowsRecord,
  flowsRecordAll,
  flowsRecordNodePorts,
  flowsRecordOwner,
} from "./flows/flow-frontends";
export { flowsRanges } from "./flows/flow-ranges";
export { beginReplace, endReplace, serviceChangeCount, sliceChangeCount } from "./ingest/ingest";
export { clearProblems, problemBytes, problemRegion } from "./ingest/problems";
export { streamClose, streamFeed, streamOpen, streamReserve } from "./ingest/streams";
export { clearTriggers, triggerCount, triggerRegion } from "./ingest/triggers";
export { allocate, heapLimit, heapUsed, release } from "./memory/heap";
export { nameDirectory } from "./memory/names";
export { choicesPointer, select, selectRegion } from "./select/select";
