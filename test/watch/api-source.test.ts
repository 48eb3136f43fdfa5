import { describe, expect, test } from "bun:test";
import { FakeClock } from "../../harness/fakes/fake-clock.ts";
import { encode, FakeCore, list } from "../../harness/fakes/fake-core.ts";
import { bookmark, event } from "../../harness/fakes/watch-lines.ts";
import { flushPromises } from "../../harness/waiting.ts";
import { messageOf } from "../../src/base/errors.ts";
import type { JsonObject } from "../../src/base/json.ts";
import { NODE_WAIT_MS, POD_CIDRS_WAIT_MS } from "../../src/base/limits.ts";
import { ProblemRegistry } from "../../src/problems/problem-registry.ts";
import { ApiSource } from "../../src/watch/api-source.ts";
import { FakeTransport } from "./fake-transport.ts";

const JSON_TYPE = "application/json";
const ADDRESSES = { status: { addresses: [{ type: "InternalIP", address: "10.0.0.1" }] } };

function setup(watchList = false, needsPodCidrs = false) {
  const core = new FakeCore();
  const clock = new FakeClock();
  const transports: FakeTransport[] = [];
  const calls: string[] = [];
  const registry = new ProblemRegistry(() => {});
  const source = new ApiSource({
    access: {
      server: "https://api.test",
      identity: () => Promise.reject(),
      credentialsRefused() {},
    },
    core,
    encode,
    nodeName: "here",
    clock,
    random: () => 0,
    watchList,
    needsPodCidrs,
    events: {
      onChange() {},
      onNode: (node) => calls.push(node === undefined ? "no node" : "node"),
      onServiceCidrs: () => calls.push("cidrs"),
      onProblems: (events) => registry.report(events),
      onFatal: (error) => calls.push(messageOf(error)),
      onSynced: () => calls.push("synced"),
    },
    openTransport() {
      const transport = new FakeTransport();
      transports.push(transport);
      return transport;
    },
  });
  source.start();
  const [, services, slices, nodes, cidrs] = transports;
  if (!services || !slices || !nodes || !cidrs) throw new Error("four reflectors are expected");
  const answerNode = (items: readonly JsonObject[]) =>
    nodes.last.answer(JSON.stringify({ metadata: { resourceVersion: "1" }, items }), JSON_TYPE);
  return {
    source,
    clock,
    calls,
    problems: () => registry.list().map(({ code, message }) => `${code}: ${message}`),
    services,
    slices,
    nodes,
    cidrs,
    answerNode,
    answerServices: () => services.last.answer(list(1, [])),
    answerSlices: () => slices.last.answer(list(1, [])),
    answerNoCidrs: () => cidrs.last.refuse(404),
  };
}

const HERE = { metadata: { name: "here" }, ...ADDRESSES };

describe("the Node", () => {
  const MISSING =
    "NODE_MISSING: read Node here: the API server has no Node with this name (does hostnameOverride name this node?)";
  const NO_ADDRESS =
    "NODE_MISSING: read Node here: it has no address (the kubelet or a cloud controller sets status.addresses)";

  test.each<[string, readonly JsonObject[], readonly string[]]>([
    ["is there", [HERE], []],
    ["is missing", [], [MISSING]],
    ["has another name", [{ ...HERE, metadata: { name: "other" } }], [MISSING]],
    ["has no address", [{ metadata: { name: "here" } }], [NO_ADDRESS]],
  ])("%s", async (_what, items, problems) => {
    const world = setup();
    expect(world.problems()).toEqual([]);
    await world.answerNode(items);
    expect(world.problems()).toEqual([...problems]);
  });

  test("that appears later ends the problem, and its deletion begins it again", async () => {
    const world = setup();
    await world.answerNode([]);
    const watch = world.nodes.last.start(JSON_TYPE);
    for (const [type, object, problems] of [
      ["ADDED", { metadata: { name: "here" } }, [NO_ADDRESS]],
      ["MODIFIED", HERE, []],
      ["DELETED", HERE, [MISSING]],
    ] as const) {
      watch.data(event(type, object));
      expect(world.problems()).toEqual([...problems]);
    }
  });
});

describe("the gate before the first sync", () => {
  test("opens when everything was read, in any order, and once", async () => {
    const world = setup();
    await world.answerNoCidrs();
    await world.answerNode([HERE]);
    await world.answerSlices();
    expect(world.source.synced).toBe(false);
    await world.answerServices();
    expect(world.source.synced).toBe(true);
    await world.clock.advance(2 * NODE_WAIT_MS);
    expect(world.calls.filter((call) => call === "synced")).toHaveLength(1);
  });

  test.each([
    ["no Node", []],
    ["a Node without addresses", [{ metadata: { name: "here" } }]],
  ])("waits at most 30 s for %s", async (_what, items) => {
    const world = setup();
    await world.answerNoCidrs();
    await world.answerNode(items);
    await world.answerSlices();
    await world.answerServices();
    await world.clock.advance(NODE_WAIT_MS - 1);
    expect(world.source.synced).toBe(false);
    await world.clock.advance(1);
    expect(world.source.synced).toBe(true);
  });

  test("does not wait longer for a forbidden Node than for a missing one", async () => {
    const world = setup();
    await world.answerNoCidrs();
    await world.nodes.last.refuse(403);
    await world.answerSlices();
    await world.answerServices();
    await world.clock.advance(NODE_WAIT_MS);
    expect(world.source.synced).toBe(true);
  });

  test("requires a request for ServiceCIDRs, not their existence", async () => {
    const world = setup();
    await world.answerNode([HERE]);
    await world.answerSlices();
    await world.answerServices();
    expect(world.source.synced).toBe(false);
    await world.cidrs.last.refuse(403);
    expect(world.source.synced).toBe(true);
  });
});

describe("the gate if the Node's podCIDRs are needed", () => {
  /** Everything was read, and the Node has no podCIDRs. */
  async function waiting() {
    const world = setup(false, true);
    await world.answerNoCidrs();
    await world.answerNode([{ ...HERE, spec: { podCIDRs: ["nonsense"] } }]);
    await world.answerSlices();
    await world.answerServices();
    await world.clock.advance(2 * NODE_WAIT_MS);
    expect(world.source.synced).toBe(false);
    return world;
  }

  test.each([{ podCIDR: "10.1.0.0/24" }, { podCIDRs: ["10.1.0.0/24", "2001:db8::/64"] }])(
    "opens when they arrive: %p",
    async (spec) => {
      const { source, nodes, calls, clock } = await waiting();
      nodes.last.start(JSON_TYPE).data(event("MODIFIED", { ...HERE, spec }));
      expect(source.synced).toBe(true);
      await clock.advance(POD_CIDRS_WAIT_MS);
      expect(calls).toEqual(["node", "node", "synced"]);
    },
  );

  test("gives up after 5 minutes, naming the Node", async () => {
    const { source, clock, calls } = await waiting();
    await clock.advance(POD_CIDRS_WAIT_MS - 2 * NODE_WAIT_MS - 1);
    expect(calls).toEqual(["node"]);
    await clock.advance(1);
    expect(source.synced).toBe(false);
    expect(calls.at(-1)).toContain(
      "Node here: spec.podCIDRs: required value: still empty after 300 s",
    );
  });

  test("does not give up after it was stopped", async () => {
    const { source, clock, calls } = await waiting();
    source.stop();
    await clock.advance(POD_CIDRS_WAIT_MS);
    expect(calls).toEqual(["node"]);
  });
});

test("WatchLists that never end open the gate too", async () => {
  const { source, nodes, cidrs, services, slices } = setup(true);
  const here = event("ADDED", HERE);
  for (const each of [services, slices, cidrs]) each.last.start(JSON_TYPE).data(bookmark(1, true));
  nodes.last.start(JSON_TYPE).data(here + bookmark(1, true));
  await flushPromises();
  expect(source.synced).toBe(true);
});

test("the Node is chosen by name, if a cache ignores the field selector", async () => {
  const world = setup();
  await world.answerNode([{ ...HERE, metadata: { name: "elsewhere" } }]);
  world.nodes.last.start(JSON_TYPE).data(event("ADDED", HERE));
  expect(world.calls).toEqual(["no node", "node"]);
});

test("the Node is requested by name", () => {
  const world = setup();
  expect(world.nodes.last.parameter("fieldSelector")).toBe("metadata.name=here");
});

test("a server without ServiceCIDRs is connected anyway", async () => {
  const world = setup();
  await world.answerNoCidrs();
  expect(world.source.status().connected).toBe(false);
  await world.answerNode([HERE]);
  world.nodes.last.start(JSON_TYPE);
  expect(world.source.reflectors().map((each) => [each.resource, each.connected])).toEqual([
    ["services", false],
    ["endpointslices", false],
    ["nodes", true],
    ["servicecidrs", false],
  ]);
});
