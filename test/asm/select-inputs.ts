/** Writes a model's Service and slices into the core's memory, and reads the core's choices. */
import {
  ENDPOINT4_PORT,
  ENDPOINT4_STRIDE,
  ENDPOINT6_PORT,
  ENDPOINT6_STRIDE,
} from "../../asm/layout/choice.ts";
import {
  PORT_NAME,
  PORT_NUMBER,
  PORT_PROTOCOL,
  PORT_STRIDE,
  SERVICE_HEADER,
  SERVICE_PORTS,
  SERVICE_SIZE,
} from "../../asm/layout/service.ts";
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
  SLICE_ENDPOINTS,
  SLICE_FAMILY,
  SLICE_HEADER,
  SLICE_KEY,
  SLICE_PORT_NAME,
  SLICE_PORT_NUMBER,
  SLICE_PORT_PROTOCOL,
  SLICE_PORT_STRIDE,
  SLICE_PORTS,
  SLICE_SERVICE,
  SLICE_SIZE,
} from "../../asm/layout/slice.ts";
import { type TestCore, withBytesInCore } from "../../harness/core/test-core.ts";
import type {
  ModelChoice,
  ModelEndpoint,
  ModelService,
  ModelSlice,
} from "../../harness/specification/select.ts";
import type { ServiceId } from "../../src/model/service.ts";

const FLAGS = {
  ready: ENDPOINT_READY,
  serving: ENDPOINT_SERVING,
  terminating: ENDPOINT_TERMINATING,
  local: ENDPOINT_LOCAL,
};

const text = new TextEncoder();

/** Sets this node's zone to `here`; other endpoints may be `there`. */
export function enterZone(core: TestCore): void {
  withBytesInCore(core.wasm, text.encode("here"), core.wasm.exports.setHintZone);
}

/** Replaces the Service and its slices. */
export function putService(core: TestCore, key: string, service: ModelService): ServiceId {
  const { exports } = core.wasm;
  const id = core.service(key);
  for (let slice = exports.firstSlice(id); slice; slice = exports.firstSlice(id))
    exports.unlinkSlice(slice);
  exports.setServiceBlock(id, writeService(core, service));
  for (const [index, slice] of service.slices.entries())
    exports.linkSlice(writeSlice(core, id, `${key}-${index}`, slice));
  return id;
}

/** The core's choices, in the model's terms. */
export function readChoices(
  core: TestCore,
  ids: readonly ServiceId[],
): { readonly choices: ModelChoice[]; readonly localReady: number }[] {
  const results: { choices: ModelChoice[]; localReady: number }[] = [];
  core.select(ids, (_id, choices, localReady) => {
    results.push({
      localReady,
      choices: choices.map(({ portIndex, family, cluster, local, usable }) => ({
        portIndex,
        family,
        usable,
        cluster: readSpan(core, family, cluster.pointer, cluster.count),
        local: readSpan(core, family, local.pointer, local.count),
      })),
    });
  });
  return results;
}

function readSpan(core: TestCore, family: 4 | 6, pointer: number, count: number): string[] {
  const [stride, port] =
    family === 4 ? [ENDPOINT4_STRIDE, ENDPOINT4_PORT] : [ENDPOINT6_STRIDE, ENDPOINT6_PORT];
  const bytes = port + 2;
  return Array.from({ length: count }, (_, index) => {
    const at = pointer + index * stride;
    const record = core.wasm.u8().slice(at, at + stride);
    if (record.subarray(bytes).some((byte) => byte !== 0)) throw new Error("padding is not zero");
    return record.subarray(0, bytes).toHex();
  });
}

function writeService(core: TestCore, { ports }: ModelService): number {
  const size = SERVICE_HEADER + ports.length * PORT_STRIDE;
  const names = ports.map(({ name }) => hold(core, name));
  const block = core.wasm.exports.allocate(size) >>> 0;
  core.wasm.u8().fill(0, block, block + size);
  const view = core.wasm.view();
  view.setUint32(block + SERVICE_SIZE, size, true);
  view.setUint16(block + SERVICE_PORTS, ports.length, true);
  for (const [index, port] of ports.entries()) {
    const at = block + SERVICE_HEADER + index * PORT_STRIDE;
    view.setUint32(at + PORT_NAME, names[index] ?? 0, true);
    view.setUint16(at + PORT_NUMBER, 80 + index, true);
    view.setUint8(at + PORT_PROTOCOL, port.protocol);
  }
  return block;
}

function writeSlice(core: TestCore, service: number, key: string, slice: ModelSlice): number {
  const stride = ENDPOINT_HEADER + (slice.family === 4 ? 4 : 16);
  const rows = SLICE_HEADER + slice.ports.length * SLICE_PORT_STRIDE;
  const size = rows + slice.endpoints.length * stride;
  const name = hold(core, key);
  const ports = slice.ports.map((port) => hold(core, port.name));
  const hints = slice.endpoints.map((endpoint) => holdHints(core, endpoint));
  const block = core.wasm.exports.allocate(size) >>> 0;
  core.wasm.u8().fill(0, block, block + size);
  const view = core.wasm.view();
  view.setUint32(block + SLICE_SERVICE, service, true);
  view.setUint32(block + SLICE_KEY, name, true);
  view.setUint32(block + SLICE_SIZE, size, true);
  view.setUint8(block + SLICE_FAMILY, slice.family);
  view.setUint16(block + SLICE_PORTS, slice.ports.length, true);
  view.setUint32(block + SLICE_ENDPOINTS, slice.endpoints.length, true);
  for (const [index, port] of slice.ports.entries()) {
    const at = block + SLICE_HEADER + index * SLICE_PORT_STRIDE;
    view.setUint32(at + SLICE_PORT_NAME, ports[index] ?? 0, true);
    view.setUint16(at + SLICE_PORT_NUMBER, port.port, true);
    view.setUint8(at + SLICE_PORT_PROTOCOL, port.protocol);
  }
  for (const [index, endpoint] of slice.endpoints.entries()) {
    const at = block + rows + index * stride;
    view.setUint32(at + ENDPOINT_HINTS, hints[index] ?? 0, true);
    view.setUint32(at + ENDPOINT_FLAGS, flagsOf(endpoint), true);
    core.wasm.u8().set(endpoint.address, at + ENDPOINT_IP);
  }
  return block;
}

function flagsOf(endpoint: ModelEndpoint): number {
  let flags = 0;
  for (const trait of ["ready", "serving", "terminating", "local"] as const)
    if (endpoint[trait]) flags |= FLAGS[trait];
  return flags;
}

function holdHints(core: TestCore, { nodes, zones }: ModelEndpoint): number {
  const count = zones === "none" ? 0 : 1;
  const zone = count ? hold(core, zones === "this" ? "here" : "there") : 0;
  const bits = nodes === "none" ? 0 : nodes === "this" ? HINT_NODES | HINT_THIS_NODE : HINT_NODES;
  return withBytesInCore(core.wasm, new Uint8Array(new Uint32Array([zone]).buffer), (at) =>
    core.wasm.exports.holdHints(at, count, bits),
  );
}

function hold(core: TestCore, name: string): number {
  return withBytesInCore(core.wasm, text.encode(name), core.wasm.exports.nameHold);
}
