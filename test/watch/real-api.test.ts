/**
 * Runs the API source and the real core against a real API server, through restarts and a store
 * that went back in time.
 */

import { afterAll, beforeAll, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { compileCore } from "../../build/compile-core.ts";
import {
  type ControlPlane,
  missingControlPlane,
  startControlPlane,
} from "../../harness/cluster/control-plane.ts";
import {
  createNode,
  createObjects,
  serviceName,
  slicePath,
} from "../../harness/cluster/many-objects.ts";
import { RecordedProblems } from "../../harness/fakes/recorded-problems.ts";
import { until as waitUntil } from "../../harness/waiting.ts";
import { openAccess } from "../../src/api-client/open-access.ts";
import { systemClock } from "../../src/base/clock.ts";
import type { JsonObject } from "../../src/base/json.ts";
import type { Core } from "../../src/core/core.ts";
import { createCore } from "../../src/core/create.ts";
import type { ServiceId } from "../../src/model/service.ts";
import type { Problem } from "../../src/problems/problem.ts";
import { metadataOf } from "../../src/source/object-fields.ts";
import { encodeWatchEvent } from "../../src/source/watch-frames.ts";
import { ApiSource } from "../../src/watch/api-source.ts";

const why = await missingControlPlane();
if (why !== undefined) console.log(`skip: the API source against a real API server: ${why}`);

const MINUTE = 60_000;
let plane: ControlPlane;
let module: WebAssembly.Module;

beforeAll(async () => {
  if (why !== undefined) return;
  module = new WebAssembly.Module(readFileSync(await compileCore("release")));
  plane = await startControlPlane();
  await createNode(plane.api, "here", "10.0.0.1");
  await createObjects(plane.api, 0, 20, 3);
}, 5 * MINUTE);

afterAll(() => plane?.stop());

interface World {
  readonly core: Core;
  readonly source: ApiSource;
  readonly problems: Problem[];
  readonly nodes: string[];
  readonly cidrs: JsonObject[][];
  /** Names in the core, without the API server's own objects. */
  names(): string[];
}

async function open(kubeconfig: string, watchList = false): Promise<World> {
  const core = createCore(module, { seed: 1, nodeName: "here" });
  const reported = new RecordedProblems();
  const nodes: string[] = [];
  const cidrs: JsonObject[][] = [];
  const source = new ApiSource({
    access: await openAccess({ kubeconfig, master: "", environment: {} }),
    core,
    encode: encodeWatchEvent,
    nodeName: "here",
    clock: systemClock,
    random: Math.random,
    watchList,
    events: {
      onChange() {},
      onNode: (node) => nodes.push(node === undefined ? "" : metadataOf(node).name),
      onServiceCidrs: (all) => cidrs.push([...all]),
      onProblems: reported.report,
      onFatal: (error) => {
        throw error;
      },
      onSynced() {},
    },
  });
  source.start();
  await until("it is synced", () => source.synced);
  const names = () => {
    core.markAllDirty();
    return core
      .takeDirty(100_000)
      .filter((id: ServiceId) => core.readService(id) !== undefined)
      .map((id) => core.serviceKey(id).replace("default/", ""))
      .filter((name) => name !== "kubernetes")
      .sort();
  };
  return { core, source, problems: reported.begun, nodes, cidrs, names };
}

function until(what: string, isSo: () => boolean): Promise<void> {
  return waitUntil(what, isSo, { limitMs: MINUTE, pollMs: 5 });
}

const servicePath = (index: number) => `/api/v1/namespaces/default/services/${serviceName(index)}`;
const numbers = (...all: number[]) => all.map(serviceName);
const twenty = numbers(...Array.from({ length: 20 }, (_, index) => index));

for (const watchList of [false, true]) {
  test.skipIf(why !== undefined)(
    `the initial state comes through ${watchList ? "WatchList" : "a list"}, with kube-proxy's own role`,
    async () => {
      const { core, source, problems, nodes, cidrs, names } = await open(
        plane.kubeconfigs.proxy,
        watchList,
      );
      expect(names()).toEqual(twenty);
      expect(core.endpointCount()).toBe(20 * 3 + 1);
      expect(nodes).toEqual(["here"]);
      expect(cidrs.at(-1)).toHaveLength(1);
      expect(problems).toEqual([]);
      source.stop();
    },
    2 * MINUTE,
  );
}

test.skipIf(why !== undefined)(
  "a list and WatchList have the same result",
  async () => {
    const states = [];
    for (const watchList of [false, true]) {
      const { core, source, nodes, cidrs } = await open(plane.kubeconfigs.proxy, watchList);
      core.markAllDirty();
      const services = core
        .takeDirty(100_000)
        .map((id) => ({ ...core.readService(id), id: 0 }))
        .sort((a, b) => String(a.name).localeCompare(String(b.name)));
      const counts = [core.serviceCount(), core.sliceCount(), core.endpointCount()];
      states.push({ services, counts, nodes, cidrs: cidrs.at(-1)?.map(({ spec }) => spec) });
      source.stop();
    }
    expect(states[0]?.services).toHaveLength(21);
    expect(states[1]).toEqual(states[0]);
  },
  2 * MINUTE,
);

test.skipIf(why !== undefined)(
  "changes are followed, by client certificate",
  async () => {
    const { core, source, problems, names } = await open(plane.kubeconfigs.certificate);
    await createObjects(plane.api, 20, 21, 3);
    await until("the new Service is here", () => names().length === 21);
    await until("its endpoints are here", () => core.endpointCount() === 21 * 3 + 1);
    await plane.api.request("DELETE", servicePath(20));
    await plane.api.request("DELETE", slicePath(20));
    await until("the Service is gone", () => names().length === 20);
    await until("its endpoints are gone", () => core.endpointCount() === 20 * 3 + 1);
    expect(problems).toEqual([]);
    source.stop();
  },
  2 * MINUTE,
);

test.skipIf(why !== undefined)(
  "a restarted server is found again, with its changes",
  async () => {
    const { core, source, names, problems } = await open(plane.kubeconfigs.proxy);
    await plane.restartApiserver();
    await plane.api.request("DELETE", slicePath(0));
    await plane.api.request("DELETE", servicePath(0));
    await until("the Service is gone", () => names().length === 19);
    await until("its endpoints are gone", () => core.endpointCount() === 19 * 3 + 1);
    await until("all is well", () => source.status().connected && source.status().lastError === "");
    expect(problems.length).toBeGreaterThan(0);
    source.stop();
  },
  3 * MINUTE,
);

test.skipIf(why !== undefined)(
  "a store that starts over is read again: objects that it does not have are removed",
  async () => {
    const { core, source, names } = await open(plane.kubeconfigs.proxy);
    // Far ahead of the new store's first version.
    await createObjects(plane.api, 100, 200, 1);
    await until("they are here", () => names().length === 119);
    await plane.resetStore();
    await createNode(plane.api, "here", "10.0.0.1");
    await createObjects(plane.api, 0, 2, 1);
    // Sooner than a silent watch would tell.
    await until("the old ones are gone", () => names().length === 2);
    expect(names()).toEqual(numbers(0, 1));
    await until("their endpoints too", () => core.endpointCount() === 2 + 1);
    source.stop();
  },
  5 * MINUTE,
);
