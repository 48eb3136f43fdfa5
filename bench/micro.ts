/**
 * Measures the gain of the Wasm core over plain TypeScript, piece by piece, without network or
 * kernel. The core (release build) and TypeScript do the same work. The TypeScript is
 * straightforward code or the model of the tests.
 *
 * usage: npm run bench -- --micro [--sizes 10000]
 */
import { readFileSync } from "node:fs";
import {
  DESIRED_ELEMENT,
  DESIRED_HEADER,
  DESIRED_KIND,
  DESIRED_OWNER,
  DESIRED_TABLE,
} from "../asm/layout/desired.ts";
import { OP_ADD, OP_KIND } from "../asm/layout/operation.ts";
import { compileCore } from "../build/compile-core.ts";
import { makeService, makeSlice, NAMESPACE } from "../harness/cluster/many-objects.ts";
import { type ApiSlice, modelSlice } from "../harness/specification/ingest.ts";
import { choose, type ModelService } from "../harness/specification/select.ts";
import type { JsonObject } from "../src/base/json.ts";
import type { Core, ObjectKind } from "../src/core/core.ts";
import { createCore } from "../src/core/create.ts";
import { keySize, tableId, valueSize } from "../src/model/tables.ts";
import { encodeWatchEvent } from "../src/source/watch-frames.ts";
import { quantile } from "./measures.ts";

const ROUNDS = 7;
const CHUNK = 64 * 1024;
const NODE = "node-1";
const FRONTENDS = tableId("frontends", 4);

/** One line of the result. */
export interface Piece {
  readonly about: string;
  /** Milliseconds, median of the rounds. */
  readonly wasm: number;
  readonly typescript: number;
}

/** Measures every piece on this many Services. */
export async function measurePieces(services: number, endpoints: number): Promise<Piece[]> {
  const module = new WebAssembly.Module(readFileSync(await compileCore("release")));
  return [
    decode(module, services, endpoints),
    select(module, services, endpoints),
    diffUnchanged(module, services),
  ];
}

function newCore(module: WebAssembly.Module): Core {
  return createCore(module, { seed: 1, nodeName: NODE });
}

function stored(index: number, object: object): JsonObject {
  const copy = JSON.parse(JSON.stringify(object)) as JsonObject & { metadata: JsonObject };
  const metadata = { ...copy.metadata, namespace: NAMESPACE, uid: crypto.randomUUID() };
  return { ...copy, metadata: { ...metadata, resourceVersion: `${index + 1}` } };
}

function feedAll(core: Core, kind: ObjectKind, bytes: Uint8Array): void {
  const stream = core.openStream(kind, "watch");
  for (let from = 0; from < bytes.length; from += CHUNK) {
    const chunk = bytes.subarray(from, from + CHUNK);
    stream.reserve(chunk.length).set(chunk);
    stream.feed(chunk.length);
  }
  stream.close();
}

function framesOf(kind: ObjectKind, objects: readonly JsonObject[]): Uint8Array {
  return Buffer.concat(objects.map((object) => encodeWatchEvent(kind, "ADDED", object)));
}

/**
 * Decodes a watch stream of slices into rows: protobuf in Wasm; JSON with JSON.parse and the model.
 */
function decode(module: WebAssembly.Module, services: number, endpoints: number): Piece {
  const slices = range(services).map((index) => stored(index, makeSlice(index, endpoints)));
  const protobuf = framesOf("EndpointSlice", slices);
  const lines = slices.map((object) => JSON.stringify({ type: "ADDED", object }));
  return {
    about: `decode ${services} slices (protobuf ${megabytes(protobuf.length)}, JSON ${megabytes(lines.join("\n").length)})`,
    wasm: median(() => feedAll(newCore(module), "EndpointSlice", protobuf)),
    typescript: median(() => {
      for (const line of lines) {
        const { object } = JSON.parse(line) as { object: ApiSlice };
        modelSlice(object, NODE, "");
      }
    }),
  };
}

/** Selects the endpoints of every Service again. */
function select(module: WebAssembly.Module, services: number, endpoints: number): Piece {
  const core = newCore(module);
  const numbers = range(services);
  feedAll(
    core,
    "Service",
    framesOf(
      "Service",
      numbers.map((index) => stored(index, makeService(index))),
    ),
  );
  feedAll(
    core,
    "EndpointSlice",
    framesOf(
      "EndpointSlice",
      numbers.map((index) => stored(index, makeSlice(index, endpoints))),
    ),
  );
  const ids = core.takeDirty(services + 1);
  let chosen = 0;
  const wasm = median(() =>
    core.select(ids, (_, choices) => {
      chosen += choices.length;
    }),
  );
  if (chosen === 0) throw new Error("Nothing was selected, so the measurement is meaningless");
  const models = numbers.map((index) => modelOf(index, endpoints));
  return {
    about: `select for ${services} Services`,
    wasm,
    typescript: median(() => {
      for (const model of models) choose(model);
    }),
  };
}

function modelOf(index: number, endpoints: number): ModelService {
  return {
    ports: [{ name: "http", protocol: 6 }],
    slices: [
      {
        family: 4,
        ports: [{ name: "http", protocol: 6, port: 8080 }],
        endpoints: (makeSlice(index, endpoints).endpoints ?? []).map(({ addresses, nodeName }) => ({
          address: Uint8Array.from((addresses[0] ?? "").split(".").map(Number)),
          ready: true,
          serving: true,
          terminating: false,
          local: nodeName === NODE,
          nodes: "none",
          zones: "none",
        })),
      },
    ],
  };
}

/** Compares desired with committed elements without a difference: one frontend for each Service. */
function diffUnchanged(module: WebAssembly.Module, services: number): Piece {
  const key = keySize(FRONTENDS);
  const value = valueSize(FRONTENDS);
  const record = DESIRED_HEADER + key + value;
  const desired = Buffer.alloc(services * record);
  const core = newCore(module);
  const objects = range(services).map((index) => stored(index, makeService(index)));
  feedAll(core, "Service", framesOf("Service", objects));
  const owners = core.takeDirty(services);
  for (const [index, owner] of owners.entries()) {
    const at = index * record;
    desired[at + DESIRED_KIND] = DESIRED_ELEMENT;
    desired[at + DESIRED_TABLE] = FRONTENDS;
    desired.writeUInt32LE(owner, at + DESIRED_OWNER);
    desired.writeUInt32BE(owner, at + DESIRED_HEADER);
    desired.writeUInt32LE(5, at + DESIRED_HEADER + key);
  }
  const run = () => {
    core.reserveDesired(desired.length).set(desired);
    return core.diff(desired.length, owners);
  };
  if (run().region[OP_KIND] !== OP_ADD)
    throw new Error("Nothing was added, so the measurement is meaningless");
  core.commit();

  // A straightforward version: a Map by the key's bytes, and the keys of each owner.
  const committed = new Map<string, number>();
  const keysOf = new Map<number, string[]>();
  const compare = (): number => {
    let operations = 0;
    const wanted = new Set<string>();
    for (let at = 0; at < desired.length; at += record) {
      const name = desired.toString("latin1", at + DESIRED_HEADER, at + DESIRED_HEADER + key);
      wanted.add(name);
      const now = desired.readUInt32LE(at + DESIRED_HEADER + key);
      if (committed.get(name) === now) continue;
      operations++;
      committed.set(name, now);
      keysOf.set(desired.readUInt32LE(at + DESIRED_OWNER), [name]);
    }
    for (const owner of owners) {
      for (const name of keysOf.get(owner) ?? []) if (!wanted.has(name)) operations++;
    }
    return operations;
  };
  compare();
  return {
    about: `diff ${services} unchanged frontends`,
    wasm: median(() => {
      if (run().count !== 0) throw new Error("Something changed");
    }),
    typescript: median(() => {
      if (compare() !== 0) throw new Error("Something changed");
    }),
  };
}

function range(count: number): number[] {
  return Array.from({ length: count }, (_, index) => index);
}

/** The median of all rounds but the first, which warms up. */
function median(work: () => void): number {
  const times: number[] = [];
  for (let round = 0; round <= ROUNDS; round++) {
    const begun = performance.now();
    work();
    if (round > 0) times.push(performance.now() - begun);
  }
  return quantile(times, 0.5);
}

function megabytes(bytes: number): string {
  return `${(bytes / 1e6).toFixed(1)} MB`;
}
