/**
 * Runs a whole proxy without I/O: the real core, plan and loop, an in-memory dataplane, and a clock
 * that advances only on demand.
 */

import { readFileSync } from "node:fs";
import { compileCore } from "../../build/compile-core.ts";
import type { Backend } from "../../src/backend/backend.ts";
import type { JsonObject } from "../../src/base/json.ts";
import type { Core, ObjectKind } from "../../src/core/core.ts";
import { createCore } from "../../src/core/create.ts";
import { encodeWatchEvent } from "../../src/source/watch-frames.ts";
import { FrontendClaims } from "../../src/state/claims.ts";
import { SyncLoop, type SyncReport } from "../../src/sync/loop.ts";
import { PlanInputs } from "../../src/sync/plan-inputs.ts";
import { FakeBackend } from "../fakes/fake-backend.ts";
import { FakeClock } from "../fakes/fake-clock.ts";
import { RecordedProblems } from "../fakes/recorded-problems.ts";

const module = new WebAssembly.Module(readFileSync(await compileCore("release")));

export interface SyncWorld<B = FakeBackend> {
  readonly core: Core;
  readonly backend: B;
  readonly clock: FakeClock;
  readonly inputs: PlanInputs;
  readonly reports: SyncReport[];
  readonly problems: RecordedProblems;
  /**
   * The dumps that connections ask for since the last call, as `UDP4`. Empty if the loop reported
   * none.
   */
  flowDumps(): string[];
  /** How often the loop requested another run. */
  wakes(): number;
  put(kind: ObjectKind, object: JsonObject): void;
  remove(kind: ObjectKind, object: JsonObject): void;
  /** Another program changed the table. */
  verify(): void;
  /** Runs one sync, and the timers that it needs. */
  sync(): Promise<boolean>;
}

/** `backend` comes from another world, to simulate a restart. */
export function syncWorld(backend = new FakeBackend()): SyncWorld {
  const touch = () => {
    backend.touched ??= { what: "some elements", by: "nft (pid 7)", objects: [] };
  };
  return worldOf(backend, touch);
}

/** The same with any dataplane. `touch` is called before the loop checks foreign changes. */
export function worldOf<B extends Backend>(
  backend: B,
  touch = () => {},
  clock = new FakeClock(),
): SyncWorld<B> {
  const core = createCore(module, { seed: 42, nodeName: "node-a" });
  backend.start(core);
  const claims = new FrontendClaims((id) => core.serviceKey(id));
  const problems = new RecordedProblems();
  const inputs = new PlanInputs({
    problems: problems.report,
    core,
    claims,
    nodeName: "node-a",
    bindAddress: "0.0.0.0",
    nodePortAddresses: { primary: false, cidrs: [] },
    externalIPs: true,
  });
  const reports: SyncReport[] = [];
  let flowsChanged = false;
  let wakes = 0;
  const loop = new SyncLoop({
    core,
    backend,
    clock,
    claims,
    context: () => inputs.context(),
    nodeVersion: () => inputs.version(),
    selected: () => {},
    flowsChanged: () => {
      flowsChanged = true;
    },
    report: (report) => reports.push(report),
    problems: problems.report,
    wake: () => wakes++,
  });
  const streams = {
    Service: core.openStream("Service", "watch"),
    EndpointSlice: core.openStream("EndpointSlice", "watch"),
  };
  let version = 0;
  const feed = (kind: ObjectKind, type: "ADDED" | "DELETED", object: JsonObject) => {
    const metadata = { ...(object["metadata"] as object), resourceVersion: String(++version) };
    const frame = encodeWatchEvent(kind, type, { ...object, metadata });
    streams[kind].reserve(frame.length).set(frame);
    streams[kind].feed(frame.length);
  };
  return {
    core,
    backend,
    clock,
    inputs,
    reports,
    problems,
    flowDumps() {
      if (!flowsChanged) return [];
      flowsChanged = false;
      const dumps = core.flows.begin([]);
      core.flows.finish(false);
      return dumps.map(({ protocol, family }) => `${protocol}${family}`);
    },
    wakes: () => wakes,
    put: (kind, object) => feed(kind, "ADDED", object),
    remove: (kind, object) => feed(kind, "DELETED", object),
    verify() {
      touch();
      loop.verify();
    },
    async sync() {
      let ended = false;
      const run = loop.run().finally(() => {
        ended = true;
      });
      // Its error is awaited below. Until then the rejection must not count as unhandled.
      run.catch(() => {});
      while (!ended) {
        await clock.advance(0);
        // A real dataplane pauses by the machine's own clock.
        await new Promise(setImmediate);
      }
      return run;
    },
  };
}

/** A Service with one port, 80, unless `spec` differs. `created` is in seconds. */
export function service(name: string, ip: string, spec: JsonObject = {}, created = 1): JsonObject {
  return {
    metadata: {
      namespace: "default",
      name,
      creationTimestamp: new Date(created * 1000).toISOString(),
    },
    spec: {
      type: "ClusterIP",
      clusterIP: ip,
      clusterIPs: [ip],
      ports: [{ name: "http", protocol: "TCP", port: 80 }],
      ...spec,
    },
  };
}

/** A slice with port http 8080; addresses ending in `!` are on this node. */
export function slice(name: string, of: string, addresses: readonly string[]): JsonObject {
  return {
    metadata: {
      namespace: "default",
      name,
      labels: { "kubernetes.io/service-name": of },
    },
    addressType: addresses.some((address) => address.includes(":")) ? "IPv6" : "IPv4",
    ports: [{ name: "http", protocol: "TCP", port: 8080 }],
    endpoints: addresses.map((text) => ({
      addresses: [text.replace("!", "")],
      conditions: { ready: true },
      nodeName: text.endsWith("!") ? "node-a" : "node-b",
    })),
  };
}
