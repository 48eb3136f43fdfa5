/** Foreign changes to the table are repaired exactly, and nothing else is written. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { pipe, run } from "../../../harness/commands.ts";
import { rememberingCore } from "../../../harness/core/made-operations.ts";
import { useFreshNetns } from "../../../harness/fresh-netns.ts";
import {
  type DriftedWorld,
  driftedWorld,
  kernel,
  putServices,
  SKELETON_OPTIONS,
} from "../../../harness/sync/drifted-world.ts";
import { service, slice } from "../../../harness/sync/sync-world.ts";
import type { DriftObject } from "../../../src/backend/drift.ts";
import type { SkeletonOptions } from "../../../src/backend/skeleton-options.ts";
import { SluiceError } from "../../../src/base/errors.ts";
import { tableId } from "../../../src/model/tables.ts";
import { type Cidr, parseCidr } from "../../../src/net/address.ts";
import { NETLINK_NETFILTER, NFNL_MSG_BATCH_BEGIN } from "../../../src/netlink/constants.ts";
import { NetlinkSocket } from "../../../src/netlink/socket.ts";
import { createNftablesBackend } from "../../../src/nftables/nftables-backend.ts";
import { readTableElements } from "../../../src/nftables/read/read-table.ts";
import { readGeneration } from "../../../src/nftables/wire/request.ts";

useFreshNetns();

let world: DriftedWorld;
let whole: readonly string[];
beforeEach(async () => {
  world = driftedWorld();
  putServices(world);
  expect(await world.sync()).toBe(true);
  whole = kernel();
});
afterEach(() => {
  world.close();
  run("nft", "flush", "ruleset");
});

const SLOT = "10.96.0.1 . tcp . 80 . 0";
const list = (command: string, ...keys: string[]) =>
  keys.map((key) => command.replace("KEY", key)).join("\n");

describe("is repaired:", () => {
  test.each<[string, string, { readonly [kind in DriftObject]?: number }, number]>([
    [
      "an element that was deleted",
      `delete element inet sluice endpoints4 { ${SLOT} }`,
      { element: 1 },
      1,
    ],
    [
      "an element that was added",
      "add element inet sluice cluster-ips4 { 10.96.0.99 }",
      { element: 1 },
      1,
    ],
    [
      "an element with another value",
      `delete element inet sluice endpoints4 { ${SLOT} }
       add element inet sluice endpoints4 { ${SLOT} : 10.9.9.9 . 9 }`,
      { element: 1 },
      2,
    ],
    [
      "an action that means nothing",
      `delete element inet sluice frontends4 { 10.96.0.1 . tcp . 80 }
       add element inet sluice frontends4 { 10.96.0.1 . tcp . 80 : ffff:1 }`,
      { element: 1 },
      2,
    ],
    [
      "elements of two Services",
      list("delete element inet sluice cluster-ips4 { KEY }", "10.96.0.1", "10.96.0.2"),
      { element: 2 },
      2,
    ],
    [
      "an element of a range that was deleted",
      "delete element inet sluice allowed-sources4 { 192.0.2.1 . tcp . 80 . 203.0.113.0/24 }",
      { element: 1 },
      1,
    ],
    [
      "an element of a range that was added",
      "add element inet sluice allowed-sources6 { 2001:db8:1::1 . tcp . 80 . 2001:db9::/32 }",
      { element: 1 },
      1,
    ],
    [
      "a range that was added",
      "add element inet sluice service-cidrs4 { 10.99.0.0/16 }",
      { element: 1 },
      1,
    ],
    [
      "an element for what no other one matches",
      "add element inet sluice frontends4 { * : 0:1 }",
      { element: 1 },
      0,
    ],
    ["a map that was flushed", "flush map inet sluice endpoints4", { map: 1 }, 12],
    [
      "maps that were flushed",
      "flush map inet sluice frontends4; flush map inet sluice nodeports6",
      { map: 2 },
      10,
    ],
    ["a chain that was flushed", "flush chain inet sluice services4", { chain: 1 }, 0],
    ["a rule that was inserted", "insert rule inet sluice services4 accept", { chain: 1 }, 0],
    ["a rule that was added", "add rule inet sluice pick4-2 counter", { chain: 1 }, 0],
    [
      "a base chain that was deleted",
      "flush chain inet sluice nat-output; delete chain inet sluice nat-output",
      { chain: 1 },
      0,
    ],
    ["a policy", "chain inet sluice nat-output { policy drop; }", { chain: 1 }, 0],
    ["maps of actions that were flushed", "flush map inet sluice choices4", { chain: 1 }, 0],
    ["an action of nobody", "add element inet sluice learning4 { 7 : accept }", { chain: 1 }, 0],
    [
      "an action for what no other one matches",
      "add element inet sluice choices4 { * : accept }",
      { chain: 1 },
      0,
    ],
    ["a table put to sleep", "table inet sluice { flags dormant; }", { table: 1 }, 0],
    [
      "a chain and an element",
      `flush chain inet sluice learn6; delete element inet sluice endpoints4 { ${SLOT} }`,
      { chain: 1, element: 1 },
      1,
    ],
    ["the rules of hairpins", "flush chain inet sluice hairpin6", { chain: 1 }, 0],
    ["a table that was deleted", "delete table inet sluice", { table: 1 }, -1],
    ["a ruleset that was flushed", "flush ruleset", { table: 1 }, -1],
    [
      "a ruleset that was flushed for another one",
      `flush ruleset
       table inet firewalld { chain input { type filter hook input priority 10; policy accept; }; }
       table ip nat { chain prerouting { type nat hook prerouting priority -100; }; }`,
      { table: 1 },
      -1,
    ],
    [
      "a map that was deleted with all that led to it",
      "flush chain inet sluice unserved4; delete set inet sluice service-cidrs4",
      { table: 1 },
      -1,
    ],
  ])("%s", async (_, command, kinds, operations) => {
    await world.nft(command);
    expect(kernelOrNothing()).not.toEqual(whole);
    const report = await world.repair();
    expect(report?.driftedCounts).toEqual(kinds);
    expect(report?.change.by).toStartWith("nft (pid ");
    expect(kernel()).toEqual(whole);
    if (operations >= 0) expect(world.reports.at(-1)).toMatchObject({ operations });
    // Checks that no work is left, and that the committed state is correct.
    expect(await world.repair()).toBeUndefined();
    expect(world.reports.at(-1)).toMatchObject({ outcome: "nothing" });
  });

  test("a map that was deleted and created again, empty", async () => {
    const [definition = ""] =
      /set service-cidrs4 \{[^}]*/.exec(run("nft", "list", "table", "inet", "sluice")) ?? [];
    const rule = "ip daddr @service-cidrs4 fib daddr type != local drop";
    await world.nft(`flush chain inet sluice unserved4; delete set inet sluice service-cidrs4
       table inet sluice { ${definition.replace(/elements.*/s, "")} }; }
       add rule inet sluice unserved4 ${rule}`);
    expect((await world.repair())?.driftedCounts).toEqual({ table: 1 });
    expect(kernel()).toEqual(whole);
  });

  test("the set of equal bytes, which changes only while no rule uses it", async () => {
    await world.nft("flush chain inet sluice hairpin4; flush chain inet sluice hairpin6");
    await world.nft("delete element inet sluice equal-bytes { 0x0 . 0x0 }");
    expect((await world.repair())?.driftedCounts).toEqual({ table: 1 });
    expect(kernel()).toEqual(whole);
  });

  test("another table with our comment", async () => {
    const [comment = ""] = /comment ".*"/.exec(run("nft", "list", "ruleset")) ?? [];
    await world.nft(
      `flush ruleset\ntable inet sluice { ${comment}; chain services4 { accept; }; }`,
    );
    expect((await world.repair())?.driftedCounts).toEqual({ table: 1 });
    expect(kernel()).toEqual(whole);
  });

  test("a table that was deleted and created again like ours, without elements", async () => {
    await world.nft("delete table inet sluice");
    const other = createNftablesBackend(SKELETON_OPTIONS);
    expect(other.start(rememberingCore().core)).toMatchObject({ outcome: "fresh" });
    other.close();
    expect((await world.repair())?.driftedCounts).toEqual({ table: 1 });
    expect(kernel()).toEqual(whole);
  });

  test("two changes at once, and one on top of the other", async () => {
    await world.nft(`delete element inet sluice endpoints4 { ${SLOT} }`);
    await world.nft("flush chain inet sluice services4");
    await world.nft("flush map inet sluice endpoints4");
    const report = await world.repair();
    expect(report).toMatchObject({ changes: 3, driftedCounts: { chain: 1, map: 1 } });
    expect(report?.change.what).toBe("elements of endpoints4");
    expect(kernel()).toEqual(whole);
  });
});

const kernelOrNothing = () => {
  try {
    return kernel();
  } catch {
    return [];
  }
};

describe("needs no repair:", () => {
  test.each([
    ["a chain under a name of one's own", "add chain inet sluice mine"],
    ["a counter", "add counter inet sluice mine"],
    [
      "an element deleted and added again",
      `delete element inet sluice endpoints4 { ${SLOT} }
       add element inet sluice endpoints4 { ${SLOT} : 10.1.0.1 . 8080 }`,
    ],
  ])("%s", async (_, command) => {
    await world.nft(command.replace("10.1.0.1 . 8080", readValue(SLOT)));
    const transactions = run("nft", "-a", "list", "chain", "inet", "sluice", "services4");
    const report = await world.repair();
    expect(report?.driftedCounts).toEqual({});
    expect(world.reports.at(-1)).toMatchObject({ outcome: "nothing", operations: 0 });
    expect(run("nft", "-a", "list", "chain", "inet", "sluice", "services4")).toBe(transactions);
  });

  const readValue = (key: string) =>
    run("nft", "get", "element", "inet", "sluice", "endpoints4", `{ ${key} }`).match(
      / : (\S+ \. \d+)/,
    )?.[1] ?? "";

  test("an event that was reverted before the check", async () => {
    const value = readValue(SLOT);
    await world.nft(`delete element inet sluice endpoints4 { ${SLOT} }`);
    await world.nft(`add element inet sluice endpoints4 { ${SLOT} : ${value} }`);
    expect(await world.repair()).toMatchObject({ changes: 2, driftedCounts: {} });
    expect(kernel()).toEqual(whole);
  });
});

test("a chain that our rules reference cannot be deleted", async () => {
  await world.nft("add chain inet sluice mine");
  await expect(world.nft("delete chain inet sluice pick4-2")).rejects.toThrow("busy");
});

test("maps that packets fill may be filled and flushed by others", async () => {
  const [, map = ""] = /map (affinity4-\d+)/.exec(run("nft", "list", "ruleset")) ?? [];
  await world.nft(`add element inet sluice ${map} { 198.51.100.7 timeout 1h : 0:9 }`);
  await world.nft(`flush map inet sluice ${map}`);
  expect(await world.repair()).toMatchObject({ changes: 2, driftedCounts: {} });
});

test("a thousand elements, deleted at once or one by one, are added again", async () => {
  const ips = Array.from({ length: 1200 }, (_, i) => `10.2.${i >> 8}.${i & 255}`);
  world.put("Service", service("many", "10.96.1.1"));
  world.put("EndpointSlice", slice("many-1", "many", ips.slice(0, 600)));
  world.put("EndpointSlice", slice("many-2", "many", ips.slice(600)));
  await world.sync();
  whole = kernel();
  const slots = (from: number, to: number) =>
    Array.from({ length: to - from }, (_, i) => `10.96.1.1 . tcp . 80 . ${from + i}`);
  for (const [from, to] of [
    [0, 1000],
    [0, 1199],
    [100, 1200],
  ] as const) {
    await world.nft(`delete element inet sluice endpoints4 { ${slots(from, to).join(", ")} }`);
    expect((await world.repair())?.driftedCounts).toEqual({ element: to - from });
    expect(kernel()).toEqual(whole);
  }
  for (let i = 0; i < 1000; i += 100) {
    await world.nft(list("delete element inet sluice endpoints4 { KEY }", ...slots(i, i + 100)));
  }
  expect(await world.repair()).toMatchObject({ changes: 10, driftedCounts: { element: 1000 } });
  expect(kernel()).toEqual(whole);
});

test("a recreated table is complete from its first transaction on, if one is enough", async () => {
  await world.nft("delete table inet sluice");
  const socket = new NetlinkSocket(NETLINK_NETFILTER);
  const before = readGeneration(socket);
  await world.repair();
  expect(readGeneration(socket) - before).toBe(1);
  socket.close();
  expect(world.reports.at(-1)).toMatchObject({ transactions: 1 });
  expect(kernel()).toEqual(whole);
});

test("with small transactions a repair takes several, and has the same result", async () => {
  world.close();
  world = driftedWorld({}, 4000);
  expect(world.backend.capabilities.maxOperations).toBe(11);
  putServices(world);
  await world.sync();
  for (const command of ["flush map inet sluice endpoints6", "flush ruleset"]) {
    await world.nft(command);
    await world.repair();
    expect(kernel()).toEqual(whole);
  }
  expect(world.reports.at(-1)?.transactions).toBeGreaterThan(10);
});

test("of several transactions, those that lead to slots come last", async () => {
  world.close();
  world = driftedWorld({}, 4000);
  putServices(world);
  await world.sync();
  await world.nft("flush map inet sluice frontends4; flush map inet sluice endpoints4");
  const { socket } = world;
  const send = socket.send.bind(socket);
  const counts: string[] = [];
  const others = new NetlinkSocket(NETLINK_NETFILTER);
  socket.send = (...message) => {
    const answer = send(...message);
    const [slots, frontends] = (["endpoints", "frontends"] as const).map(
      (name) => readTableElements(others, tableId(name, 4)).count,
    );
    counts.push(`${slots} ${frontends}`);
    return answer;
  };
  await world.repair();
  others.close();
  expect(kernel()).toEqual(whole);
  expect([...new Set(counts)]).toEqual(["0 0", "11 0", "12 6"]);
});

test("changes during a repair are kept when it fails", async () => {
  world.close();
  world = driftedWorld({}, 4000);
  putServices(world);
  await world.sync();
  const maps = ["frontends4", "frontends6", "endpoints4", "endpoints6", "local-endpoints6"];
  await world.nft(list("flush map inet sluice KEY", ...maps));
  const { socket } = world;
  const send = socket.send.bind(socket);
  let batches = 0;
  socket.send = (...message) => {
    const [bytes] = message;
    if (bytes[4] === NFNL_MSG_BATCH_BEGIN && ++batches === 1) {
      run("nft", "flush", "chain", "inet", "sluice", "services4");
    }
    // The first change was announced before the repair began.
    if (world.noticed.length < 2) return send(...message);
    socket.send = send;
    throw new SluiceError("NETLINK_SOCKET", "not now");
  };
  // This is announced between that and the next transaction.
  const soon = world.clock.soon.bind(world.clock);
  world.clock.soon = (run) => {
    if (batches === 0) soon(run);
    else void world.untilNoticed(() => world.noticed.length > 1).then(run);
  };
  world.verify();
  expect(await world.sync()).toBe(false);
  world.clock.soon = soon;
  expect(world.reports.at(-1)).toMatchObject({ outcome: "failed", repair: undefined });
  expect(await world.repair()).toMatchObject({ changes: 2 });
  expect(kernel()).toEqual(whole);
  expect(await world.repair()).toBeUndefined();
});

const isElement = (line: string) => !line.startsWith("\t");
/** `5`: the kernel gives a recreated table another handle. */
const tableHandle = () =>
  /table inet sluice # handle (\d+)/.exec(run("nft", "-a", "list", "tables"))?.[1];

describe("our own change that meets a foreign one", () => {
  test("that is announced later does not recreate a table that was just repaired", async () => {
    await world.nft("add chain inet sluice mine");
    await world.repair();
    run("nft", "delete", "table", "inet", "sluice");
    world.remove("Service", service("s1", "10.96.0.1"));
    expect(await world.sync()).toBe(true);
    expect(world.reports.at(-1)?.repair).toMatchObject({ driftedCounts: { table: 1 } });
    const handle = tableHandle();
    await world.untilNoticed(({ what }) => what === "table deleted");
    expect(await world.repair()).toMatchObject({ driftedCounts: {} });
    expect(world.reports.at(-1)).toMatchObject({ outcome: "nothing", operations: 0 });
    expect(tableHandle()).toBe(handle);
  });

  test("and so is the next one, if that deleted the table again", async () => {
    await world.nft("add chain inet sluice mine");
    await world.repair();
    run("nft", "delete", "table", "inet", "sluice");
    world.remove("Service", service("s4", "10.96.0.4"));
    await world.sync();
    run("nft", "delete", "table", "inet", "sluice");
    await world.nft('table inet sluice { comment "sluice: layout 1, sets 0"; }');
    expect(await world.repair()).toMatchObject({ driftedCounts: { table: 1 } });
    putServices(world);
    await world.sync();
    expect(kernel().filter(isElement)).toHaveLength(whole.filter(isElement).length);
  });

  test("is made anyway, and the log names the other program", async () => {
    await world.nft("delete element inet sluice cluster-ips4 { 10.96.0.1 }");
    world.remove("Service", service("s1", "10.96.0.1"));
    expect(await world.sync()).toBe(true);
    expect(world.reports.at(-1)?.repair).toMatchObject({
      driftedCounts: { element: 1 },
      change: { by: expect.stringContaining("nft (pid") },
    });
    putServices(world);
    await world.sync();
    expect(kernel().filter(isElement)).toHaveLength(whole.filter(isElement).length);
  });

  test.each([
    "flush ruleset",
    "flush map inet sluice frontends4",
    "flush map inet sluice endpoints6; add element inet sluice frontends4 { 10.96.0.50 . tcp . 80 : 0:7 }",
  ])("also before the announcement: %s", async (command) => {
    Bun.spawnSync(["nft", command]);
    world.put("Service", service("new", "10.96.0.50"));
    world.put("EndpointSlice", slice("new-1", "new", ["10.1.0.1", "10.1.0.2"]));
    world.remove("Service", service("s1", "10.96.0.1"));
    expect(await world.sync()).toBe(true);
    expect(world.reports.at(-1)?.repair?.change).toMatchObject({
      by: "unknown: the kernel refused a change by Sluice",
    });
    world.remove("Service", service("new", "10.96.0.50"));
    world.remove("EndpointSlice", slice("new-1", "new", []));
    // Not announced yet.
    await world.nft("add chain inet sluice mine");
    world.verify();
    putServices(world);
    expect(await world.sync()).toBe(true);
    expect(kernel().filter(isElement)).toHaveLength(whole.filter(isElement).length);
  });
});

describe("unknown changes", () => {
  test("before the watch are searched everywhere, and repaired", async () => {
    run("nft", "delete", "element", "inet", "sluice", "endpoints4", `{ ${SLOT} }`);
    run("nft", "add", "element", "inet", "sluice", "cluster-ips6", "{ fd00:96::99 }");
    run("nft", "insert", "rule", "inet", "sluice", "services6", "accept");
    await world.nft("add chain inet sluice mine");
    const report = await world.repair();
    expect(report?.driftedCounts).toEqual({ chain: 1, element: 2 });
    expect(world.reports.at(-1)).toMatchObject({ operations: 2 });
    run("nft", "delete", "chain", "inet", "sluice", "mine");
    expect(kernel()).toEqual(whole);
  });
});

test("beyond the kernel's queue are searched everywhere", async () => {
  await world.nft("add chain inet sluice mine");
  await world.repair();
  const addresses = Array.from(
    { length: 100_000 },
    (_, i) => `10.${100 + (i >> 16)}.${(i >> 8) & 255}.${i & 255}`,
  );
  pipe(
    `add element inet sluice cluster-ips4 { ${addresses.join(", ")} }
     delete element inet sluice cluster-ips4 { ${addresses.join(", ")} }
     delete element inet sluice endpoints4 { ${SLOT} }`,
    ...["nft", "-f", "-"],
  );
  await world.untilNoticed(({ by }) => by === "unknown");
  expect(await world.repair()).toMatchObject({ driftedCounts: { element: 1 } });
  run("nft", "delete", "chain", "inet", "sluice", "mine");
  expect(kernel()).toEqual(whole);
}, 60_000);

describe("other options for a table in use", () => {
  /** As proxy.ts does. */
  const reconfigure = (options: SkeletonOptions) => {
    const possible = world.backend.reconfigure(options);
    world.verify();
    return possible;
  };
  const counted = () =>
    run("nft", "list", "map", "inet", "sluice", "frontends4")
      .match(/\S+ \. \S+ \. \S+ .*/g)
      ?.sort();

  test.each([
    ["another masquerade bit", { masqueradeBit: 7 }, "meta mark & 0x00000080"],
    ["everything masqueraded", { masqueradeAll: true }, "@cluster-ips4 meta mark set"],
    [
      "another detector",
      { detector: { kind: "cidr", ipv4: parseCidr("10.244.0.0/20") as Cidr } },
      "10.244.0.0/20",
    ],
    ["invalid packets dropped", { dropInvalid: true }, "ct state invalid drop"],
  ] as const)("are applied without a change of any element: %s", async (_, options, rule) => {
    await world.nft("add chain inet sluice mine");
    await world.repair();
    const elements = counted();
    expect(reconfigure({ ...SKELETON_OPTIONS, ...options })).toBe(true);
    expect(await world.sync()).toBe(true);
    const monitored = world.reports.at(-1);
    expect(monitored).toMatchObject({ outcome: "nothing", operations: 0, repair: undefined });
    expect(run("nft", "-t", "list", "table", "inet", "sluice")).toContain(rule);
    expect(counted()).toEqual(elements);
    const changed = kernel();
    world.close();
    run("nft", "flush", "ruleset");
    const fresh = driftedWorld(options);
    putServices(fresh);
    await fresh.sync();
    run("nft", "add", "chain", "inet", "sluice", "mine");
    expect(changed).toEqual(kernel());
    world = fresh;
  });

  test("are refused if elements would have to change, without effect", async () => {
    expect(reconfigure({ ...SKELETON_OPTIONS, counters: false })).toBe(false);
    await world.sync();
    expect(kernel()).toEqual(whole);
  });

  test("reach all chains in one transaction", async () => {
    world.backend.reconfigure({ ...SKELETON_OPTIONS, masqueradeBit: 7 });
    const ports = [{ name: "http", protocol: "TCP", port: 80, nodePort: 30099 }];
    world.put("Service", service("new", "10.96.0.50", { type: "NodePort", ports }));
    const ips = ["10.1.0.1", "10.1.0.2", "10.1.0.3"];
    world.put("EndpointSlice", slice("new-1", "new", ips));
    // A sync that checked the kernel earlier creates new chains.
    expect(await world.sync()).toBe(true);
    const marks = () =>
      run("nft", "-t", "list", "table", "inet", "sluice").match(/0x000000?[48]0+\b|0x00004000/g);
    const chains = run("nft", "list", "chains", "inet");
    expect(chains).toContain("masquerade-pick-nodeport4-3");
    expect(new Set(marks())).toEqual(new Set(["0x00004000"]));
    world.verify();
    expect(await world.sync()).toBe(true);
    expect(new Set(marks())).toEqual(new Set(["0x00000080"]));
  });

  test("are the target of repairs from then on, and back", async () => {
    reconfigure({ ...SKELETON_OPTIONS, masqueradeBit: 7, dropInvalid: true });
    await world.sync();
    const changed = kernel();
    expect(changed).not.toEqual(whole);
    await world.nft(
      "flush chain inet sluice masquerade-marked; flush chain inet sluice filter-forward",
    );
    expect((await world.repair())?.driftedCounts).toEqual({ chain: 2 });
    expect(kernel()).toEqual(changed);
    reconfigure(SKELETON_OPTIONS);
    await world.sync();
    expect(kernel()).toEqual(whole);
  });
});
