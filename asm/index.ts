// The border: everything the host may call. Nothing but numbers crosses; names and layouts are in layout.ts.

// ── memory ──
export { allocate, release, heapUsed, heapLimit } from "./heap";

// ── state ──
export {
  takeDirty, takenDirty, dirtyCount, markDirty, markAllDirty,
  isService, serviceEnd, serviceCount, serviceName, serviceBlock,
} from "./services";
export { sliceCount, endpointCount } from "./slices";
export { nameDirectory } from "./names";

// ── select ──

// ── diff ──
