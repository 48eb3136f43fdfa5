// The border: everything the host may call. Nothing but numbers crosses; names and layouts are in layout.ts.

// ── memory ──
export { allocate, release, heapUsed, heapLimit } from "./heap";

// ── state ──
export { start } from "./start";
export { setNodeName } from "./node";
export { setZone } from "./zone";
export { streamOpen, streamReserve, streamFeed, streamClose } from "./streams";
export { beginReplace, endReplace } from "./ingest";
export {
  takeDirty, takenDirty, dirtyCount, markDirty, markAllDirty,
  isService, findService, serviceEnd, serviceCount, serviceName, serviceBlock,
} from "./services";
export { sliceCount, endpointCount } from "./slices";
export { nameDirectory } from "./names";
export { localSlots, localAt, localsVersion } from "./locals";
export { problemBytes, problemRegion, clearProblems } from "./problems";
export { triggerCount, triggerRegion, clearTriggers } from "./triggers";

// ── select ──
export { selectRegion, select, choicesPointer } from "./select";

// ── diff ──
export { defineTables, elementTotal } from "./elements";
export { desiredRegion, ownersRegion, diff, commit } from "./diff";
export { operationsPointer, operationsBytes, operationsCount } from "./operations";
export { ignoredCount } from "./batch";
export {
  exchangeRegion, adopt, forget, countPackets, rewind, readElements, ownerOf, hasEndpoint, elementCount,
} from "./adopt";
