// The border: everything the host may call. Nothing but numbers crosses; names and layouts are in layout.ts.

export {
  adopt,
  compare,
  countPackets,
  elementCount,
  exchangeRegion,
  hasEndpoint,
  madeAnew,
  ownerOf,
  readElements,
  rewind,
  valueAt,
} from "./adopt";
export { ignoredCount } from "./batch";
export { commit, desiredRegion, diff, ownersRegion } from "./diff";
export { defineTables, elementTotal } from "./elements";
export {
  flowsBegin,
  flowsNote,
  flowsNoteAll,
  flowsNoted,
  flowsNoteOwner,
} from "./flow-frontends";
export { flowsChunk, flowsFinish, flowsJudge } from "./flows";
export { allocate, heapLimit, heapUsed, release } from "./heap";
export { beginReplace, endReplace, serviceChangeCount, sliceChangeCount } from "./ingest";
export { localAt, localSlots, localsVersion } from "./locals";
export { nameDirectory } from "./names";
export { setNodeName } from "./node";
export { operationsBytes, operationsCount, operationsPointer } from "./operations";
export { ownedElements } from "./owners";
export { clearProblems, problemBytes, problemRegion } from "./problems";
export { choicesPointer, select, selectRegion } from "./select";
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
} from "./services";
export { endpointCount, sliceCount } from "./slices";
export { start } from "./start";
export { streamClose, streamFeed, streamOpen, streamReserve } from "./streams";
export { clearTriggers, triggerCount, triggerRegion } from "./triggers";
export { setZone } from "./zone";
