/** Runs the API source against a server over real TLS, through the events of a node's life. */
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  type Certificate,
  makeAuthority,
  makeCertificate,
} from "../../harness/cluster/certificates.ts";
import { unexpectedError } from "../../harness/expected-errors.ts";
import { type FakeApi, startFakeApi } from "../../harness/fakes/fake-api-server.ts";
import { FakeClock } from "../../harness/fakes/fake-clock.ts";
import { encode, FakeCore } from "../../harness/fakes/fake-core.ts";
import { RecordedProblems } from "../../harness/fakes/recorded-problems.ts";
import { until } from "../../harness/waiting.ts";
import { openAccess } from "../../src/api-client/open-access.ts";
import type { JsonObject } from "../../src/base/json.ts";
import { metadataOf } from "../../src/source/object-fields.ts";
import { ApiSource } from "../../src/watch/api-source.ts";

const SERVICES = "/api/v1/services";
const SLICES = "/apis/discovery.k8s.io/v1/endpointslices";
const NODES = "/api/v1/nodes";
const CIDRS = "/apis/networking.k8s.io/v1/servicecidrs";

let folder: string;
let authority: Certificate;
let certificate: Certificate;
let api: FakeApi;
let core: FakeCore;
let clock: FakeClock;
let source: ApiSource;
let tokenFile: string;
let nodes: (JsonObject | undefined)[];
let cidrs: string[][];
let reported: RecordedProblems;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "sluice-api-"));
  authority = await makeAuthority(folder, "ca");
  certificate = await makeCertificate(authority, folder, "server", "/CN=server", ["127.0.0.1"]);
});

afterAll(() => rmSync(folder, { recursive: true, force: true }));

beforeEach(async () => {
  api = await startFakeApi({ certificate });
  api.accepted = new Set(["Bearer one"]);
  api.put(SERVICES, "web");
  api.put(SLICES, "web-1");
  api.put(NODES, "here", { status: { addresses: [{ type: "InternalIP", address: "10.0.0.1" }] } });
  core = new FakeCore();
  clock = new FakeClock();
  nodes = [];
  cidrs = [];
  reported = new RecordedProblems();
  source = await open(api.port);
});

afterEach(async () => {
  source.stop();
  await api.stop();
});

async function open(port: number): Promise<ApiSource> {
  tokenFile = join(folder, "token");
  writeFileSync(tokenFile, "one\n");
  const kubeconfig = join(folder, "kubeconfig");
  const cluster = {
    server: `https://127.0.0.1:${port}`,
    "certificate-authority": authority.certificate,
  };
  writeFileSync(
    kubeconfig,
    JSON.stringify({
      "current-context": "c",
      contexts: [{ name: "c", context: { cluster: "c", user: "u" } }],
      clusters: [{ name: "c", cluster }],
      users: [{ name: "u", user: { tokenFile } }],
    }),
  );
  return new ApiSource({
    access: await openAccess({ kubeconfig, master: "", environment: {} }),
    core,
    encode,
    nodeName: "here",
    clock,
    random: () => 0,
    events: {
      onChange() {},
      onNode: (node) => nodes.push(node),
      onServiceCidrs: (all) => cidrs.push(all.map((each) => metadataOf(each).name)),
      onProblems: (events) => reported.report(events),
      onFatal: unexpectedError,
      onSynced() {},
    },
  });
}

function watches(path: string): number {
  return api.seen.filter((each) => each.path === path && each.parameters.has("watch")).length;
}

async function watching(): Promise<void> {
  source.start();
  await until("everything is watched", () => source.synced && source.status().connected);
  await until("services are watched", () => watches(SERVICES) === 1 && watches(SLICES) === 1);
}

test("lists, syncs, and follows changes", async () => {
  await watching();
  expect(core.names()).toEqual(["web", "web-1"]);
  expect(nodes.map((node) => node && metadataOf(node).name)).toEqual(["here"]);
  api.put(SERVICES, "db");
  api.remove(SLICES, "web-1");
  api.put(CIDRS, "kubernetes");
  await until("the changes are here", () => core.names().join() === "db,web");
  await until("the range is here", () => cidrs.at(-1)?.join() === "kubernetes");
  expect(reported.events).toEqual([]);
  api.remove(NODES, "here");
  await until("the node is gone", () => nodes.at(-1) === undefined);
});

test("resumes after its connections were cut", async () => {
  await watching();
  api.put(SERVICES, "seen");
  await until("a change is here", () => core.names().includes("seen"));
  api.disconnect();
  await until(
    "the break is noticed",
    () => !source.status().connected && reported.begun.length >= 3,
  );
  api.put(SERVICES, "missed");
  const before = core.log.length;
  await until("what was missed is here", () => core.names().includes("missed"), { clock });
  expect(core.log.slice(before).filter((line) => line.includes(" Service "))).toHaveLength(1);
  await until("the problem is resolved", () => source.status().lastError === "");
});

test("lists again after 410, and removes objects that vanished", async () => {
  await watching();
  api.disconnect();
  await until("the break is noticed", () =>
    reported.begun.some((each) => each.subject.includes("services")),
  );
  api.remove(SERVICES, "web");
  api.put(SERVICES, "new");
  api.compact();
  await until("the new state is here", () => core.names().join() === "new,web-1", { clock });
});

test("uses a rotated token, and recovers from a 401 without a delay", async () => {
  await watching();
  writeFileSync(tokenFile, "two\n");
  api.accepted = new Set(["Bearer two"]);
  api.disconnect();
  await until("the break is noticed", () => reported.begun.length >= 3);
  await until("the new token was shown", () => watches(SERVICES) === 2, { clock });
  expect(api.seen.at(-1)?.authorization).toBe("Bearer two");
  expect(reported.begun.filter((each) => each.message.includes(": 401"))).toEqual([]);
});

test("reports a rejected token, and recovers when it is replaced", async () => {
  api.accepted = new Set(["Bearer two"]);
  source.start();
  await until("the refusal is reported", () => source.status().lastError.includes(": 401"));
  expect(source.synced).toBe(false);
  writeFileSync(tokenFile, "two\n");
  await until("it is synced", () => source.synced, { clock });
  await until("the problem is resolved", () => source.status().lastError === "");
});

test("waits for a server that does not exist yet", async () => {
  const { port } = api;
  await api.stop();
  source.start();
  await until("the absence is reported", () => source.status().lastError.includes("ECONNREFUSED"));
  api = await startFakeApi({ certificate, port });
  api.put(SERVICES, "late");
  api.put(NODES, "here", { status: { addresses: [{ type: "InternalIP", address: "10.0.0.1" }] } });
  await until("it is synced", () => source.synced, { clock });
  expect(core.names()).toEqual(["late"]);
});
