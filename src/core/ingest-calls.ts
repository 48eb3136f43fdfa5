/**
 * Implements the part of the core that decodes objects (asm/ingest/) and stores their rows
 * (asm/cluster/).
 */
import type { ServiceId } from "../model/service.ts";
import type { Core } from "./core.ts";
import { outOfMemory, type Wasm } from "./load.ts";
import { nameById, withText } from "./name-table.ts";
import { kindNumber, openObjectStream, type StreamExports } from "./object-streams.ts";
import { readProblems } from "./problem-records.ts";
import { readServiceBlock } from "./service-block.ts";

/** Exports of asm/index.ts for this part. Booleans arrive as 0 and 1. */
export interface IngestExports extends StreamExports {
  start(seedLow: number, seedHigh: number): number;
  setNodeName(at: number, length: number): number;
  setZone(at: number, length: number): number;
  beginReplace(kind: number): void;
  endReplace(kind: number): void;
  takeDirty(most: number): number;
  takenDirty(): number;
  dirtyCount(): number;
  markDirty(id: number): void;
  markAllDirty(): void;
  isService(id: number): number;
  findService(at: number, length: number): number;
  serviceCount(): number;
  serviceChangeCount(): number;
  sliceChangeCount(): number;
  serviceName(id: number): number;
  serviceBlock(id: number): number;
  sliceCount(): number;
  endpointCount(): number;
  nameDirectory(): number;
  problemBytes(): number;
  problemRegion(): number;
  clearProblems(): void;
  triggerCount(): number;
  triggerRegion(): number;
  clearTriggers(): void;
}

type IngestCalls = Pick<
  Core,
  | "memory"
  | "memoryBytes"
  | "openStream"
  | "beginReplace"
  | "endReplace"
  | "setZone"
  | "serveExternalIPs"
  | "dirtyCount"
  | "takeDirty"
  | "markDirty"
  | "markAllDirty"
  | "readService"
  | "serviceKey"
  | "findService"
  | "serviceCount"
  | "changeCounts"
  | "sliceCount"
  | "endpointCount"
  | "takeProblems"
  | "takeTriggerTimes"
>;

/** @throws SluiceError CORE_MEMORY from every function that allocates. */
export function ingestCalls(wasm: Wasm<IngestExports>): IngestCalls {
  const { exports } = wasm;
  const name = (id: number): string =>
    nameById(wasm.u8(), wasm.u32(), exports.nameDirectory() >>> 0, id);
  const serviceKey = (id: ServiceId): string =>
    exports.isService(id) ? name(exports.serviceName(id) >>> 0) : "";
  let externalIPs = true;

  return {
    memory: () => wasm.u8(),
    memoryBytes: () => exports.memory.buffer.byteLength,
    openStream: (kind, format) => openObjectStream(wasm, kind, format),
    beginReplace: (kind) => exports.beginReplace(kindNumber(kind)),
    endReplace: (kind) => exports.endReplace(kindNumber(kind)),

    setZone(zone) {
      const done = withText(wasm, zone, (at, length) => exports.setZone(at, length));
      if (!done) throw outOfMemory("set the node's zone", wasm.u8().byteLength);
    },

    serveExternalIPs(serve) {
      if (serve === externalIPs) return;
      externalIPs = serve;
      exports.markAllDirty();
    },

    dirtyCount: () => exports.dirtyCount(),
    takeDirty(max) {
      const count = exports.takeDirty(max);
      const from = exports.takenDirty() >>> 2;
      return Array.from(wasm.u32().subarray(from, from + count)) as ServiceId[];
    },
    markDirty: (id) => exports.markDirty(id),
    markAllDirty: () => exports.markAllDirty(),

    readService(id) {
      const block = exports.isService(id) ? exports.serviceBlock(id) >>> 0 : 0;
      if (block === 0) return undefined;
      const service = readServiceBlock(wasm.view(), block, id, serviceKey(id), name);
      return externalIPs ? service : { ...service, externalIPs: [] };
    },
    serviceKey,
    findService(key) {
      const id = withText(wasm, key, (at, length) => exports.findService(at, length));
      return id ? (id as ServiceId) : undefined;
    },
    serviceCount: () => exports.serviceCount(),
    sliceCount: () => exports.sliceCount(),
    endpointCount: () => exports.endpointCount(),

    ...reportCalls(wasm),
    changeCounts: () => ({
      service: exports.serviceChangeCount() >>> 0,
      endpoint: exports.sliceChangeCount() >>> 0,
    }),
  };
}

/** Functions that return results of ingesting other than rows. */
function reportCalls(wasm: Wasm<IngestExports>): Pick<Core, "takeProblems" | "takeTriggerTimes"> {
  const { exports } = wasm;
  return {
    takeProblems() {
      const bytes = exports.problemBytes();
      if (bytes === 0) return [];
      const at = exports.problemRegion() >>> 0;
      const problems = readProblems(wasm.u8().subarray(at, at + bytes));
      exports.clearProblems();
      return problems;
    },

    takeTriggerTimes() {
      const count = exports.triggerCount();
      if (count === 0) return [];
      const times = new Float64Array(exports.memory.buffer, exports.triggerRegion() >>> 0, count);
      const copy = Array.from(times);
      exports.clearTriggers();
      return copy;
    },
  };
}
