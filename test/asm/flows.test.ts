import { describe, expect, setDefaultTimeout, test } from "bun:test";
import fc from "fast-check";
import { parseRange } from "../../harness/plan/plan-text.ts";
import { assertProperty, IS_FUZZ, PROPERTY_LIMIT_MS } from "../../harness/property.ts";
import {
  checkChunk,
  type FlowsWorld,
  type ModelFlowsResult,
} from "../../harness/specification/flows.ts";
import { encodeAction } from "../../src/model/actions.ts";
import { OWNER_ADOPTED, OWNER_NODE, type OwnerId } from "../../src/model/owner.ts";
import type { ServiceId } from "../../src/model/service.ts";
import { tableId } from "../../src/model/tables.ts";
import { lastAddress } from "../../src/net/cidr.ts";
import { DesiredWriter } from "../../src/plan/desired.ts";
import { frontendsOf } from "../../src/state/frontends.ts";
import { corrupt, corruption, doneMessage, type Entry, entryMessage } from "./flow-entries.ts";
import { BUILDS, createTestCore, type TestCore } from "./ingest-core.ts";

type Family = 4 | 6;
const FAMILIES = [4, 6] as const;
setDefaultTimeout(PROPERTY_LIMIT_MS);
let version = 0;
const REJECT = encodeAction({ verb: "reject" });
/** Local ranges that serve node ports: two of each family, in the order that the core gets them. */
const LOCAL = ["fd00::1/128", "203.0.113.0/24", "198.51.100.1/32", "fd01::/64"].map(parseRange);
/** Its frontends were read from the kernel and have no owner yet. */
const ADOPTED = 3;

/** One endpoint of a Service: `number` is the last byte of its address. */
interface Endpoint {
  readonly number: number;
  readonly family: Family;
  readonly ready: boolean;
  readonly serving: boolean;
  readonly terminating: boolean;
}

/** A Service with UDP and TCP, both on port 53 and on node port 30053. */
interface Given {
  readonly exists: boolean;
  readonly nodePort: boolean;
  readonly endpoints: readonly Endpoint[];
  /** Its frontends are in the kernel, and all of them changed. */
  readonly committed: boolean;
  readonly changed: "no" | "udp" | "tcp" | "both";
}

const endpoint = fc.record({
  number: fc.integer({ min: 1, max: 4 }),
  family: fc.constantFrom(...FAMILIES),
  ready: fc.boolean(),
  serving: fc.boolean(),
  terminating: fc.boolean(),
});
const given: fc.Arbitrary<Given> = fc.record({
  exists: fc.oneof({ weight: 4, arbitrary: fc.constant(true) }, fc.constant(false)),
  nodePort: fc.boolean(),
  endpoints: fc.array(endpoint, { maxLength: 6 }),
  committed: fc.oneof({ weight: 4, arbitrary: fc.constant(true) }, fc.constant(false)),
  changed: fc.constantFrom("no", "udp", "tcp", "both", "both"),
});

/**
 * Values for destinations and sources, few enough that entries often match a frontend and an
 * endpoint.
 */
const ADDRESSES = {
  4: [
    ...["0a600001", "0a600002", "0a600003", "0a010001", "0a010002", "0a010003"],
    ...["c6336401", "cb0071ff"],
  ],
  6: [
    ...[1, 2, 3].map((number) => address(6, "96", number)),
    ...[1, 2, 3].map((number) => address(6, "01", number)),
    ...["fd000000000000000000000000000001", "fd01000000000000ffffffffffffffff"],
  ],
};
const entry: fc.Arbitrary<Entry> = fc.constantFrom(...FAMILIES).chain((family) =>
  fc.record({
    family: fc.constant(family),
    protocol: fc.constantFrom(17, 17, 6, 6, 132),
    destination: fc.constantFrom(...ADDRESSES[family]),
    destinationPort: fc.constantFrom(53, 53, 30_053, 80),
    source: fc.constantFrom(...ADDRESSES[family]),
    sourcePort: fc.constantFrom(5353, 5353, 53, 30_053),
    tcpState: fc.constantFrom(1, 1, 1, 2, 3),
    status: fc.constantFrom(0x28, 0x28, 0x2a, 0x2e),
    zone: fc.constantFrom(0, 0, 7),
    id: fc.nat(0xffff_ffff),
  }),
);

function address(family: Family, group: string, number: number): string {
  if (family === 4) return `0a${group}00${number.toString(16).padStart(2, "0")}`;
  return `fd00${group.padStart(4, "0")}${"0".repeat(22)}${number.toString(16).padStart(2, "0")}`;
}

function textOf(hex: string): string {
  const bytes = [...Uint8Array.fromHex(hex)];
  if (bytes.length === 4) return bytes.join(".");
  return (hex.match(/.{4}/g) ?? []).join(":");
}

/**
 * Adds the Services to the core, commits their elements, and records the changes; the same for the
 * model.
 */
function build(core: TestCore, services: readonly Given[]): FlowsWorld {
  const held = new Map<string, ReadonlySet<string> | undefined>();
  const changed = new Set<string>();
  const ids = services.map((_, index) => feed(core, services, index));
  const writer = new DesiredWriter((bytes) => core.reserveDesired(bytes));
  const owners: OwnerId[] = [];
  for (const [index, id] of ids.entries()) {
    const own = services[index] as Given;
    const service = core.readService(id);
    if (service === undefined || !own.committed || index === ADOPTED) continue;
    owners.push(id);
    for (const frontend of frontendsOf(service)) {
      const name = frontend.address === undefined ? "nodeports-no-endpoints" : "no-endpoints";
      writer.action(tableId(name, frontend.family), id, frontend, REJECT);
    }
  }
  core.diff(writer.bytes, owners);
  core.commit();
  adopt(core);
  for (const [index, own] of services.entries()) {
    const id = ids[index] as ServiceId;
    if (!own.exists) core.remove("Service", "default", `s${index + 1}`);
    const udp = own.changed === "udp" || own.changed === "both";
    const tcp = own.changed === "tcp" || own.changed === "both";
    if (index === ADOPTED) core.flows.recordOwner(OWNER_ADOPTED, { udp, tcp });
    else core.flows.recordOwner(id, { udp, tcp });
    for (const family of FAMILIES) {
      for (const protocol of [17, 6]) {
        const frontends = [`${family} ${address(family, "60", index + 1)} ${protocol} 53`];
        if (family === 6) frontends[0] = `6 ${address(6, "96", index + 1)} ${protocol} 53`;
        if (index === 0 && own.nodePort) frontends.push(`${family} * ${protocol} 30053`);
        const endpoints = own.exists ? serving(own, family) : new Set<string>();
        const there = own.committed || index === ADOPTED;
        for (const frontend of frontends) {
          if (there) held.set(frontend, index === ADOPTED ? undefined : endpoints);
          if (there && (protocol === 17 ? udp : tcp)) changed.add(frontend);
        }
      }
    }
  }
  const nodePortRanges = LOCAL.map((range) => ({
    family: range.family,
    first: range.bytes.toHex(),
    last: lastAddress(range).toHex(),
  }));
  return { changed, held, nodePortRanges };
}

function serving({ endpoints }: Given, family: Family): Set<string> {
  return new Set(
    endpoints
      .filter((each) => each.family === family && (each.ready || each.serving))
      .map(({ number }) => `${address(family, "01", number)} 5353`),
  );
}

/** Of the last of four Services, only the frontends exist. */
function adopt(core: TestCore): void {
  for (const family of FAMILIES) {
    const group = family === 4 ? "60" : "96";
    for (const protocol of [17, 6]) {
      const key = `${address(family, group, ADOPTED + 1)}${protocol.toString(16).padStart(2, "0")}00000000350000`;
      core.adopt(tableId("frontends", family), Uint8Array.fromHex(`${key}00000000`), 1);
    }
  }
}

function feed(core: TestCore, services: readonly Given[], index: number): ServiceId {
  const { nodePort, endpoints } = services[index] as Given;
  const name = `s${index + 1}`;
  const clusterIPs = [textOf(address(4, "60", index + 1)), textOf(address(6, "96", index + 1))];
  const own = index === 0 && nodePort;
  core.put("Service", {
    metadata: { namespace: "default", name, resourceVersion: String(++version) },
    spec: {
      type: own ? "NodePort" : "ClusterIP",
      clusterIP: clusterIPs[0] ?? "",
      clusterIPs,
      ports: ["UDP", "TCP"].map((protocol) => ({
        name: protocol,
        protocol,
        port: 53,
        ...(own && { nodePort: 30_053 }),
      })),
    },
  });
  for (const family of FAMILIES) {
    core.put("EndpointSlice", {
      metadata: {
        namespace: "default",
        name: `${name}-${family}`,
        labels: { "kubernetes.io/service-name": name },
        resourceVersion: String(++version),
      },
      addressType: `IPv${family}`,
      ports: ["UDP", "TCP"].map((protocol) => ({ name: protocol, protocol, port: 5353 })),
      endpoints: endpoints
        .filter((each) => each.family === family)
        .map(({ number, ready, serving, terminating }) => ({
          addresses: [textOf(address(family, "01", number))],
          conditions: { ready, serving, terminating },
        })),
    });
  }
  return core.findService(`default/${name}`) as ServiceId;
}

function resultOf(core: TestCore, bytes: Uint8Array): ModelFlowsResult {
  const { deletions, ...result } = core.flows.check(bytes);
  return { ...result, deletions: deletions.toHex() };
}

describe.each([...BUILDS])("flows (%s)", (build_) => {
  const worlds = fc.array(given, { minLength: 4, maxLength: 4 });
  const numRuns = build_ === "debug" ? 60 : 200;

  test("entries are checked as by the model", () => {
    let entries = 0;
    let stale = 0;
    const chunks = fc.array(fc.array(entry, { maxLength: 30 }), { minLength: 1, maxLength: 3 });
    assertProperty(
      "flow-entries",
      fc.property(worlds, chunks, (services, datagrams) => {
        const core = createTestCore(build_);
        const world = build(core, services);
        core.flows.begin(LOCAL);
        for (const datagram of datagrams) {
          const bytes = Buffer.concat([...datagram.map(entryMessage), doneMessage(0)]);
          const expected = checkChunk(bytes, world);
          expect(resultOf(core, bytes)).toEqual(expected);
          entries += expected.entries;
          stale += expected.stale;
        }
        core.flows.finish(false);
        expect(core.flows.hasChanges()).toBe(false);
      }),
      { numRuns, variant: build_ },
    );
    console.log(`  ${stale} of ${entries} entries stale (${build_})`);
    if (!IS_FUZZ) expect(stale).toBeGreaterThan(entries / 50);
  });

  test("malformed bytes are checked as by the model, without reading outside them", () => {
    let entries = 0;
    let cut = 0;
    assertProperty(
      "flow-corruption",
      fc.property(worlds, fc.array(entry, { maxLength: 8 }), corruption, (services, all, how) => {
        const core = createTestCore(build_);
        const world = build(core, services);
        core.flows.begin(LOCAL);
        // Earlier contents of this memory must not show through.
        core.flows.check(Buffer.concat(Array.from({ length: 12 }, () => entryMessage(WHOLE))));
        const bytes = corrupt(Buffer.concat([...all.map(entryMessage), doneMessage(0)]), how);
        const expected = checkChunk(bytes, world);
        expect(resultOf(core, bytes)).toEqual(expected);
        entries += expected.entries;
        cut += Number(expected.cut);
      }),
      { numRuns: numRuns * 2, variant: build_ },
    );
    console.log(`  ${entries} entries survived, ${cut} datagrams were cut (${build_})`);
    if (IS_FUZZ) return;
    expect(entries).toBeGreaterThan(numRuns);
    expect(cut).toBeGreaterThan(numRuns / 20);
  });

  test("an entry that is cut at any byte is ignored, and never read beyond its end", () => {
    const core = createTestCore(build_);
    const world = build(core, ALL_CHANGED);
    core.flows.begin(LOCAL);
    const bytes = entryMessage(WHOLE);
    for (let length = 0; length < bytes.length; length++) {
      const cut = bytes.slice(0, length);
      expect(resultOf(core, cut)).toEqual(checkChunk(cut, world));
      // The same with a header that has the length of the cut.
      if (length < 16) continue;
      new DataView(cut.buffer).setUint32(0, length, true);
      expect(resultOf(core, cut)).toEqual(checkChunk(cut, world));
    }
    expect(resultOf(core, bytes)).toMatchObject({ entries: 1, stale: 1 });
  });

  test.each([
    ["c6336400", false],
    ["c6336401", true],
    ["c6336402", false],
    ["cb0070ff", false],
    ["cb007100", true],
    ["cb0071ff", true],
    ["cb007200", false],
    ["0a000001", false],
    ["fd000000000000000000000000000000", false],
    ["fd000000000000000000000000000001", true],
    ["fd000000000000000000000000000002", false],
    ["fd010000000000000000000000000000", true],
    ["fd01000000000000ffffffffffffffff", true],
    ["fd010000000000010000000000000000", false],
    ["c6336401000000000000000000000000", false],
  ] as const)("a connection to the node port at %s ends: %p", (destination, ends) => {
    const core = createTestCore(build_);
    build(core, ALL_CHANGED);
    core.flows.begin(LOCAL);
    const family = destination.length === 8 ? 4 : 6;
    const source = address(family, "01", 1);
    const bytes = entryMessage({ ...WHOLE, family, destination, destinationPort: 30_053, source });
    expect(resultOf(core, bytes).stale).toBe(Number(ends));
  });

  test("without local ranges, no connection to a node port ends", () => {
    const core = createTestCore(build_);
    build(core, ALL_CHANGED);
    core.flows.begin(LOCAL);
    core.flows.finish(true);
    core.flows.begin([]);
    const bytes = entryMessage({ ...WHOLE, destination: "c6336401", destinationPort: 30_053 });
    expect(resultOf(core, bytes).stale).toBe(0);
  });

  test("further addresses for node ports record every node port of the family, and nothing else", () => {
    const core = createTestCore(build_);
    build(core, ALL_CHANGED);
    core.flows.begin(LOCAL);
    core.flows.finish(false);
    const plan = (...ranges: readonly string[]) => {
      const writer = new DesiredWriter((bytes) => core.reserveDesired(bytes));
      for (const range of ranges.map(parseRange)) {
        writer.range(tableId("node-port-ranges", range.family), range);
      }
      core.diff(writer.bytes, [OWNER_NODE]);
      core.commit();
      core.flows.recordCommit();
    };
    plan("198.51.100.0/24");
    expect(core.flows.begin(LOCAL).map(({ protocol, family }) => protocol + family)).toEqual([
      "UDP4",
      "TCP4",
    ]);
    const to = (destination: string, destinationPort: number) =>
      resultOf(core, entryMessage({ ...WHOLE, destination, destinationPort })).stale;
    expect([to("c6336401", 30_053), to("0a600001", 53)]).toEqual([1, 0]);
    core.flows.finish(false);
    plan("198.51.100.0/24", "fd00::/64");
    expect(core.flows.begin(LOCAL)).toEqual([
      { family: 6, protocol: "UDP" },
      { family: 6, protocol: "TCP" },
    ]);
    core.flows.finish(false);
    plan("198.51.100.0/24");
    expect(core.flows.hasChanges()).toBe(false);
  });

  test("the node ports of a family are recorded on demand, if there are any", () => {
    const core = createTestCore(build_);
    core.flows.recordNodePorts(4);
    expect(core.flows.hasChanges()).toBe(false);
    build(core, ALL_CHANGED);
    core.flows.begin(LOCAL);
    core.flows.finish(false);
    core.flows.recordNodePorts(6);
    expect(core.flows.begin(LOCAL)).toEqual([
      { family: 6, protocol: "UDP" },
      { family: 6, protocol: "TCP" },
    ]);
    core.flows.finish(false);
  });

  test("the endpoints of a frontend are looked up again after every change", () => {
    const core = createTestCore(build_);
    build(core, ALL_CHANGED);
    core.flows.begin(LOCAL);
    const bytes = entryMessage(WHOLE);
    expect(resultOf(core, bytes).stale).toBe(1);
    const [first, ...others] = ALL_CHANGED;
    const ready = { ready: true, serving: true, terminating: false };
    const endpoints = [{ number: 1, family: 4 as const, ...ready }];
    feed(core, [{ ...(first as Given), endpoints }, ...others], 0);
    core.flows.recordCommit();
    expect(resultOf(core, bytes).stale).toBe(0);
  });

  test("a failed pass is requested again, and the new one has the same dumps", () => {
    const core = createTestCore(build_);
    build(core, ALL_CHANGED);
    const dumps = core.flows.begin(LOCAL);
    expect(dumps.map(({ protocol, family }) => protocol + family)).toEqual([
      "UDP4",
      "TCP4",
      "UDP6",
      "TCP6",
    ]);
    core.flows.finish(true);
    expect(core.flows.hasChanges()).toBe(true);
    expect(core.flows.begin(LOCAL)).toEqual(dumps);
    core.flows.finish(false);
    expect(core.flows.hasChanges()).toBe(false);
    expect(core.flows.begin(LOCAL)).toEqual([]);
  });

  test.each([1, 105])(
    "the error %i that ends a dump is reported, and so is an interruption",
    (errno) => {
      const core = createTestCore(build_);
      core.flows.begin(LOCAL);
      expect(core.flows.check(doneMessage(errno, 0x12))).toMatchObject({
        end: true,
        errno,
        interrupted: true,
        cut: false,
      });
    },
  );

  test("passes leak no memory", () => {
    const core = createTestCore(build_);
    const once = () => {
      build(core, ALL_CHANGED);
      core.flows.begin(LOCAL);
      core.flows.check(entryMessage(WHOLE));
      core.flows.finish(false);
    };
    for (let i = 0; i < 3; i++) once();
    const used = core.exports.heapUsed();
    for (let i = 0; i < 20; i++) once();
    expect(core.exports.heapUsed()).toBe(used);
  });
});

const ALL_CHANGED: readonly Given[] = Array.from({ length: 4 }, () => ({
  exists: true,
  nodePort: true,
  endpoints: [],
  committed: true,
  changed: "both",
}));

/** A flow to the first Service, translated to an endpoint that the Service does not have. */
const WHOLE: Entry = {
  family: 4,
  protocol: 17,
  destination: "0a600001",
  destinationPort: 53,
  source: "0a010001",
  sourcePort: 5353,
  tcpState: 0,
  status: 0x28,
  zone: 7,
  id: 0xdeadbeef,
};
