/**
 * Provides the core for tests of decoding: both builds, with the contents of its tables as plain
 * rows.
 */
import { readFileSync } from "node:fs";
import {
  ENDPOINT_FLAGS,
  ENDPOINT_HEADER,
  ENDPOINT_HINTS,
  ENDPOINT_IP,
  ENDPOINT_LOCAL,
  ENDPOINT_READY,
  ENDPOINT_SERVING,
  ENDPOINT_TERMINATING,
  HINT_NODES,
  HINT_THIS_NODE,
  HINT_THIS_ZONE,
  HINT_ZONES,
  HINTS_FLAGS,
  SLICE_ENDPOINTS,
  SLICE_FAMILY,
  SLICE_HEADER,
  SLICE_KEY,
  SLICE_PORT_NAME,
  SLICE_PORT_NUMBER,
  SLICE_PORT_PROTOCOL,
  SLICE_PORT_STRIDE,
  SLICE_PORTS,
} from "../../asm/layout/slice.ts";
import { type CoreBuild, compileCore } from "../../build/compile-core.ts";
import type { ModelService, ModelSlice } from "../../harness/specification/ingest.ts";
import type { JsonObject } from "../../src/base/json.ts";
import type { Core, ObjectKind, ObjectStream } from "../../src/core/core.ts";
import { type CoreExports, createCore } from "../../src/core/create.ts";
import { nameById } from "../../src/core/name-table.ts";
import type { ServiceId } from "../../src/model/service.ts";
import { encodeWatchEvent } from "../../src/source/watch-frames.ts";

export const BUILDS: readonly CoreBuild[] = ["debug", "release"];
export const NODE = "node-a";
export const ZONE = "zone-a";

/** Internal functions, exported only for tests. */
const ALSO = `
export { firstSlice } from "./cluster/services";
export { nextSlice } from "./cluster/slices";
export { nameCount } from "./memory/names";
`;

interface InsideExports extends CoreExports {
  serviceEnd(): number;
  firstSlice(id: number): number;
  nameCount(): number;
  nextSlice(slice: number): number;
}

const modules: Readonly<Record<CoreBuild, WebAssembly.Module>> = {
  debug: new WebAssembly.Module(readFileSync(await compileCore("debug", ALSO))),
  release: new WebAssembly.Module(readFileSync(await compileCore("release", ALSO))),
};

export interface Rows {
  readonly services: Readonly<Record<string, ModelService>>;
  readonly slices: Readonly<Record<string, ModelSlice>>;
}

export interface TestCore extends Core {
  /** Feeds one event; returns whether it changed anything. */
  put(kind: ObjectKind, object: JsonObject): boolean;
  /** Feeds a frame to a stream of its kind. The stream is opened again after an error. */
  feed(kind: ObjectKind, frame: Uint8Array): void;
  remove(kind: ObjectKind, namespace: string, name: string): boolean;
  rows(): Rows;
  /** Replaces everything with nothing, and takes all dirty ids. */
  empty(): void;
  /** Takes all dirty objects, as keys. */
  takeDirtyKeys(): string[];
  readonly exports: InsideExports;
}

/** A new core on NODE in ZONE, with a fixed seed. */
export function createTestCore(build: CoreBuild, memoryMax?: number): TestCore {
  let exports: InsideExports | undefined;
  const core = createCore(modules[build], {
    seed: 0x1234_5678_9abc,
    nodeName: NODE,
    ...(memoryMax === undefined ? {} : { memoryMax }),
    inspect: (inside) => {
      exports = inside as InsideExports;
    },
  });
  if (exports === undefined) throw new Error("the core was not shown");
  const inside = exports;
  core.setZone(ZONE);
  const streams: Record<ObjectKind, ObjectStream> = {
    Service: core.openStream("Service", "watch"),
    EndpointSlice: core.openStream("EndpointSlice", "watch"),
  };
  const put = (kind: ObjectKind, type: "ADDED" | "DELETED", object: JsonObject): boolean =>
    feed(streams[kind], encodeWatchEvent(kind, type, object)).objects;
  return {
    ...core,
    exports: inside,
    feed(kind, frame) {
      try {
        feed(streams[kind], frame);
      } catch (thrown) {
        streams[kind].close();
        streams[kind] = core.openStream(kind, "watch");
        throw thrown;
      }
    },
    put: (kind, object) => put(kind, "ADDED", object),
    remove: (kind, namespace, name) => put(kind, "DELETED", { metadata: { namespace, name } }),
    rows: () => readRows(core, inside),
    empty() {
      for (const kind of ["Service", "EndpointSlice"] as const) {
        core.beginReplace(kind);
        core.endReplace(kind);
      }
      // Ids stay valid until the next call.
      while (core.dirtyCount() > 0) core.takeDirty(core.dirtyCount());
      core.takeDirty(0);
      core.takeProblems();
    },
    takeDirtyKeys: () => core.takeDirty(core.dirtyCount()).map((id) => core.serviceKey(id)),
  };
}

/** Feeds bytes that may be incomplete. */
export function feed(stream: ObjectStream, bytes: Uint8Array) {
  stream.reserve(bytes.length).set(bytes);
  return stream.feed(bytes.length);
}

function readRows(core: Core, exports: InsideExports): Rows {
  const services: Record<string, ModelService> = {};
  const slices: Record<string, ModelSlice> = {};
  for (let id = 1; id < exports.serviceEnd(); id++) {
    const service = core.readService(id as ServiceId);
    const key = core.serviceKey(id as ServiceId);
    if (service !== undefined) {
      const { id: _id, namespace: _namespace, name: _name, ...rest } = service;
      services[key] = {
        ...rest,
        clusterIPs: rest.clusterIPs.map(({ bytes }) => bytes.toHex()),
        externalIPs: rest.externalIPs.map(({ bytes }) => bytes.toHex()),
        vips: rest.vips.map(({ bytes }) => bytes.toHex()),
        sourceRanges: rest.sourceRanges.map(({ bytes, prefix }) => `${bytes.toHex()}/${prefix}`),
      };
    }
    if (key === "") continue;
    for (let at = exports.firstSlice(id) >>> 0; at !== 0; at = exports.nextSlice(at) >>> 0) {
      const [name, slice] = readSlice(exports, at, key);
      slices[name] = slice;
    }
  }
  return { services, slices };
}

function readSlice(exports: InsideExports, at: number, service: string): [string, ModelSlice] {
  const bytes = new Uint8Array(exports.memory.buffer);
  const words = new Uint32Array(exports.memory.buffer);
  const view = new DataView(exports.memory.buffer);
  const name = (id: number): string => nameById(bytes, words, exports.nameDirectory() >>> 0, id);
  const family = view.getUint8(at + SLICE_FAMILY) as 4 | 6;
  const ports = view.getUint16(at + SLICE_PORTS, true);
  const stride = ENDPOINT_HEADER + (family === 4 ? 4 : 16);
  const rows = at + SLICE_HEADER + ports * SLICE_PORT_STRIDE;
  return [
    name(view.getUint32(at + SLICE_KEY, true)),
    {
      service,
      family,
      ports: Array.from({ length: ports }, (_, i) => {
        const port = at + SLICE_HEADER + i * SLICE_PORT_STRIDE;
        return {
          name: name(view.getUint32(port + SLICE_PORT_NAME, true)),
          protocol: view.getUint8(port + SLICE_PORT_PROTOCOL),
          port: view.getUint16(port + SLICE_PORT_NUMBER, true),
        };
      }),
      endpoints: Array.from({ length: view.getUint32(at + SLICE_ENDPOINTS, true) }, (_, i) => {
        const row = rows + i * stride;
        const hints = view.getUint32(row + ENDPOINT_HINTS, true);
        const flags = view.getUint32(row + ENDPOINT_FLAGS, true);
        const bits = hints === 0 ? 0 : view.getUint32(hints + HINTS_FLAGS, true);
        return {
          address: bytes.slice(row + ENDPOINT_IP, row + stride).toHex(),
          ready: (flags & ENDPOINT_READY) !== 0,
          serving: (flags & ENDPOINT_SERVING) !== 0,
          terminating: (flags & ENDPOINT_TERMINATING) !== 0,
          local: (flags & ENDPOINT_LOCAL) !== 0,
          hints: {
            zones: (bits & HINT_ZONES) !== 0,
            thisZone: (bits & HINT_THIS_ZONE) !== 0,
            nodes: (bits & HINT_NODES) !== 0,
            thisNode: (bits & HINT_THIS_NODE) !== 0,
          },
        };
      }),
    },
  ];
}
