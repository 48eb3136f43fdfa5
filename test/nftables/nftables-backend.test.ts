import { afterEach, beforeEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { pipe, run } from "../../harness/commands.ts";
import {
  add,
  type Element,
  element,
  line,
  lines,
  named,
  operationList,
  rememberingCore,
  remove,
  type TestOperation,
} from "../../harness/core/made-operations.ts";
import { useFreshNetns } from "../../harness/fresh-netns.ts";
import { until } from "../../harness/waiting.ts";
import type { CounterSink } from "../../src/backend/parts.ts";
import type { SkeletonOptions } from "../../src/backend/skeleton-options.ts";
import { SluiceError } from "../../src/base/errors.ts";
import { tableId } from "../../src/model/tables.ts";
import { type Cidr, parseCidr } from "../../src/net/address.ts";
import { NETLINK_NETFILTER } from "../../src/netlink/constants.ts";
import { NetlinkSocket } from "../../src/netlink/socket.ts";
import {
  createNftablesBackend,
  type NftablesBackend,
} from "../../src/nftables/nftables-backend.ts";
import { readChains, readRules } from "../../src/nftables/read/read-objects.ts";
import { removeTable } from "../../src/nftables/remove-table.ts";
import { readGeneration } from "../../src/nftables/wire/request.ts";
import { WORLD } from "./every-table.ts";

// Bun's default of 5 s is too short on a busy machine for transactions of fifty thousand elements.
setDefaultTimeout(120_000);

useFreshNetns();

const OPTIONS: SkeletonOptions = {
  masqueradeBit: 14,
  masqueradeAll: false,
  dropInvalid: false,
  counters: true,
  detector: { kind: "cidr" },
};

const RANGE = parseCidr("10.244.0.0/20") as Cidr;
const RANGE6 = parseCidr("fd00:10:244::/60") as Cidr;

const opened: NftablesBackend[] = [];
function backendWith(options: Partial<SkeletonOptions> = {}): NftablesBackend {
  const backend = createNftablesBackend({ ...OPTIONS, ...options });
  opened.push(backend);
  return backend;
}

afterEach(() => {
  for (const backend of opened.splice(0)) backend.close();
  run("nft", "flush", "ruleset");
});

const WHAT = "table inet sluice";
const owners = {
  nameOf: (owner: number) => (owner === 0 ? "" : `default/service-${owner}`),
};
const apply = (backend: NftablesBackend, ...operations: TestOperation[][]) =>
  backend.apply(operationList(operations.flat()), owners);

function cleanUp(): ReturnType<typeof removeTable> {
  const socket = new NetlinkSocket(NETLINK_NETFILTER);
  try {
    return removeTable(socket);
  } finally {
    socket.close();
  }
}

describe("a namespace without our table", () => {
  test("gets it, empty", () => {
    expect(backendWith().start(rememberingCore().core)).toEqual({
      outcome: "fresh",
      what: WHAT,
      elements: 0,
    });
    expect(run("nft", "list", "tables")).toBe("table inet sluice\n");
  });

  test("gets it with the earlier options", () => {
    const backend = backendWith();
    expect(backend.reconfigure({ ...OPTIONS, masqueradeBit: 7 })).toBe(true);
    backend.start(rememberingCore().core);
    expect(run("nft", "list", "table", "inet", "sluice")).toContain("meta mark & 0x00000080");
  });

  test("is not changed by cleanup", () => {
    run("nft", "add", "table", "inet", "other");
    expect(cleanUp()).toBe("absent");
    expect(run("nft", "list", "tables")).toBe("table inet other\n");
  });
});

describe("elements", () => {
  let backend: NftablesBackend;
  beforeEach(() => {
    backend = backendWith();
    backend.start(rememberingCore().core);
  });

  test("of every table are read as they were written", () => {
    expect(apply(backend, add(1, ...WORLD))).toMatchObject({ ok: true });
    const { core, adopted } = rememberingCore();
    expect(backendWith().start(core)).toEqual({
      outcome: "adopted",
      what: WHAT,
      elements: WORLD.length,
    });
    expect(adopted()).toEqual(lines(WORLD));
  });

  test("of every table can be deleted again", () => {
    apply(backend, add(1, ...WORLD));
    expect(apply(backend, remove(1, ...WORLD))).toMatchObject({ ok: true });
    const { core, adopted } = rememberingCore();
    expect(backendWith().start(core)).toEqual({ outcome: "adopted", what: WHAT, elements: 0 });
    expect(adopted()).toEqual([]);
  });

  test("are what nft shows", () => {
    apply(backend, add(1, ...WORLD));
    const listed = JSON.parse(run("nft", "-j", "list", "table", "inet", "sluice"));
    const of = (name: string) => {
      type Listed = {
        set?: { name: string; elem?: unknown[] };
        map?: { name: string; elem?: unknown[] };
      };
      const found = (listed.nftables as Listed[]).find(
        (one) => (one.set ?? one.map)?.name === name,
      );
      return JSON.stringify((found?.set ?? found?.map)?.elem ?? []);
    };
    expect(of("endpoints4")).toContain('{"concat":["10.96.0.1","tcp",80,1]}');
    expect(of("endpoints4")).toContain('{"concat":["10.244.1.1",8080]}');
    expect(of("local-endpoints6")).toContain('{"concat":["fd00:96::1","udp",53,0]}');
    expect(of("allowed-sources4")).toContain('{"prefix":{"addr":"198.51.100.0","len":24}}');
    expect(of("allowed-sources6")).toContain('{"prefix":{"addr":"2001:db8:1::","len":48}}');
    expect(of("service-cidrs4")).toBe(
      '[{"prefix":{"addr":"10.96.0.0","len":16}},{"prefix":{"addr":"10.97.0.0","len":16}},{"prefix":{"addr":"255.255.0.0","len":16}}]',
    );
  });

  test("carry their owner's name if it helps a reader, cut at 127 bytes", () => {
    const [, , frontend] = WORLD;
    backend.apply(
      operationList(add(7, frontend as Element)),
      named(`namespace/${"ä".repeat(100)}`),
    );
    const listed = run("nft", "list", "map", "inet", "sluice", "frontends4");
    expect(listed).toContain(`comment "namespace/${"ä".repeat(58)}"`);
    expect(listed).not.toContain(`"namespace/${"ä".repeat(59)}`);
  });

  test("change their value by a delete and an add of one key, in any order of the tables", () => {
    const slot = element("endpoints", 4, ["10.96.0.1", "TCP", 80, 0], "10.244.0.1:8080");
    const moved = element("endpoints", 4, ["10.96.0.1", "TCP", 80, 0], "10.244.9.9:8080");
    apply(backend, add(1, ...WORLD));
    expect(apply(backend, remove(1, slot), add(1, moved))).toMatchObject({ ok: true });
    const { core, adopted } = rememberingCore();
    backendWith().start(core);
    const want = WORLD.map((one) =>
      line(one.table, one.key, one.value) === lines([slot])[0] ? moved : one,
    );
    expect(adopted()).toEqual(lines(want));
  });

  test("of an interval can be replaced in one transaction", () => {
    const before = element("allowed-sources", 4, ["192.0.2.1", "TCP", 80, "198.51.100.0/24"]);
    const after = element("allowed-sources", 4, ["192.0.2.1", "TCP", 80, "198.51.0.0/16"]);
    apply(backend, add(1, before));
    expect(apply(backend, remove(1, before), add(1, after))).toMatchObject({ ok: true });
  });

  test("of adjoining ranges can be added and removed one by one", () => {
    const first = element("service-cidrs", 4, ["10.96.0.0/16"]);
    const second = element("service-cidrs", 4, ["10.97.0.0/16"]);
    apply(backend, add(0, first, second));
    expect(apply(backend, remove(0, first))).toMatchObject({ ok: true });
    expect(apply(backend, add(0, first), remove(0, second))).toMatchObject({ ok: true });
    const { core, adopted } = rememberingCore();
    backendWith().start(core);
    expect(adopted()).toEqual(lines([first]));
  });

  test("are written by the fifty thousand in one transaction, each chain once", () => {
    const many: TestOperation[] = [];
    const action = { verb: "pick", slotTable: "endpoints", snat: "plain", count: 4 } as const;
    for (let i = 0; i < 10_000; i++) {
      const address = `10.96.${i >> 8}.${i & 255}`;
      many.push(...add(i + 1, element("frontends", 4, [address, "TCP", 80], action)));
      for (let slot = 0; slot < 4; slot++) {
        const endpoint = `10.244.${i >> 8}.${i & 255}:${8080 + slot}`;
        many.push(...add(i + 1, element("endpoints", 4, [address, "TCP", 80, slot], endpoint)));
      }
    }
    const list = operationList(many);
    expect(backend.capabilities.maxOperations).toBeGreaterThanOrEqual(list.count);
    const receipt = backend.apply(list, owners);
    expect(receipt).toMatchObject({ ok: true });
    expect(receipt.ok && receipt.bytes).toBeGreaterThan(2_000_000);
    const { core, adopted } = rememberingCore();
    expect(backendWith().start(core)).toEqual({ outcome: "adopted", what: WHAT, elements: 50_000 });
    expect(adopted()).toEqual(lines(many.map((one) => one.element)));
  });

  test("without any, nothing is sent", () => {
    expect(apply(backend)).toEqual({ ok: true, bytes: 0, kernelMs: 0 });
  });
});

describe("an element that the kernel refuses", () => {
  const slot = (owner: number, port: number, endpoint: string) =>
    element("endpoints", 4, [`10.96.0.${owner}`, "TCP", port, 0], endpoint);
  let backend: NftablesBackend;
  beforeEach(() => {
    backend = backendWith();
    backend.start(rememberingCore().core);
    apply(backend, add(1, slot(1, 80, "10.244.0.1:8080")));
  });

  test("is traced to its owner among hundreds in many messages, and nothing is applied", () => {
    const operations = [];
    for (let owner = 2; owner < 200; owner++) {
      for (let port = 1; port <= 10; port++) {
        operations.push(...add(owner, slot(owner, port, "10.244.0.1:8080")));
      }
    }
    // Owner 77 wants another value for a key that owner 1 already has.
    operations.splice(1500, 0, ...add(77, slot(1, 80, "10.244.0.2:8080")));
    const receipt = apply(backend, operations);
    expect(receipt).toMatchObject({ ok: false, owner: 77, transient: false, drifted: true });
    expect(!receipt.ok && receipt.error.message).toBe(
      "apply elements of default/service-77 to table inet sluice: file exists (EEXIST)",
    );
    const { core, adopted } = rememberingCore();
    backendWith().start(core);
    expect(adopted()).toEqual(lines([slot(1, 80, "10.244.0.1:8080")]));
  });

  test("because it no longer exists requests another read of the kernel", () => {
    run(..."nft delete element inet sluice endpoints4 { 10.96.0.1 . tcp . 80 . 0 }".split(" "));
    const receipt = apply(
      backend,
      add(2, slot(2, 80, "10.244.0.1:8080")),
      remove(1, slot(1, 80, "10.244.0.1:8080")),
    );
    expect(receipt).toMatchObject({ ok: false, owner: 1, drifted: true });
  });

  test("because its range overlaps another blames only its owner", () => {
    // Linux 6.1 does not detect overlaps of concatenated ranges.
    apply(backend, add(3, element("service-cidrs", 4, ["10.96.0.0/16"])));
    const receipt = apply(backend, add(3, element("service-cidrs", 4, ["10.96.1.0/24"])));
    expect(receipt).toMatchObject({ ok: false, owner: 3, transient: false, drifted: false });
  });

  test("because the table is gone blames no owner, and succeeds once the table is back", () => {
    run("nft", "flush", "ruleset");
    const operations = add(2, slot(2, 80, "10.244.0.1:8080"));
    const receipt = apply(backend, operations);
    expect(receipt).toMatchObject({ ok: false, transient: true, drifted: true });
    expect(receipt).not.toHaveProperty("owner");
    backend.start(rememberingCore().core);
    expect(apply(backend, operations)).toMatchObject({ ok: true });
  });

  test("also reverts the chains created for it, so that the next transaction creates them", () => {
    const action = { verb: "pick", slotTable: "endpoints", snat: "plain", count: 9 } as const;
    const frontend = element("frontends", 4, ["10.96.0.5", "TCP", 80], action);
    expect(apply(backend, add(5, frontend, slot(1, 80, "10.244.0.2:8080")))).toMatchObject({
      ok: false,
      owner: 5,
    });
    expect(apply(backend, add(5, frontend))).toMatchObject({ ok: true });
    expect(run("nft", "list", "chain", "inet", "sluice", "pick4-9")).toContain("mod 9 map");
  });
});

describe("a table of an earlier run", () => {
  beforeEach(() => {
    const before = backendWith();
    before.start(rememberingCore().core);
    apply(before, add(1, ...WORLD));
  });

  const ruleset = () => run("nft", "list", "ruleset").replace(/rules [0-9a-f]{8}/, "rules");

  function adopt(options: Partial<SkeletonOptions> = {}) {
    const backend = backendWith(options);
    const { core, adopted } = rememberingCore();
    return { ...backend.start(core), adopted: adopted(), backend };
  }

  /** The first elements replace a table with another layout. */
  function adoptReplaced(): void {
    const { backend, outcome } = adopt();
    expect(outcome).toBe("replaced");
    expect(apply(backend, add(1, ...WORLD))).toMatchObject({ ok: true });
  }

  test("is adopted without a change, and stays in use", () => {
    const before = run("nft", "-a", "list", "ruleset");
    const { outcome, adopted, backend } = adopt();
    expect([outcome, adopted]).toEqual(["adopted", lines(WORLD)]);
    expect(run("nft", "-a", "list", "ruleset")).toBe(before);
    expect(apply(backend, remove(1, ...WORLD))).toMatchObject({ ok: true });
  });

  test.each<[string, Partial<SkeletonOptions>, string]>([
    ["another masquerade bit", { masqueradeBit: 7 }, "mark set meta mark | 0x00000080"],
    ["everything masqueraded", { masqueradeAll: true }, "@cluster-ips4 meta mark set"],
    [
      "another detector",
      { detector: { kind: "interface", name: "cni0", prefix: false } },
      'iifname != "cni0" fib',
    ],
    ["invalid packets dropped", { dropInvalid: true }, "ct state invalid drop"],
  ])("with %s gets other rules and keeps its elements", (_name, options, rule) => {
    const { outcome, adopted } = adopt(options);
    expect([outcome, adopted]).toEqual(["adopted", lines(WORLD)]);
    const after = ruleset();
    expect(after).toContain(rule);
    run("nft", "flush", "ruleset");
    const fresh = backendWith(options);
    fresh.start(rememberingCore().core);
    apply(fresh, add(1, ...WORLD));
    expect(sortedChains(after)).toEqual(sortedChains(ruleset()));
  });

  test.each<[string, Partial<SkeletonOptions>]>([
    ["everything masqueraded", { masqueradeAll: true }],
    ["the highest masquerade bit", { masqueradeBit: 31 }],
    ["an interface", { detector: { kind: "interface", name: "cni0", prefix: false } }],
    ["a prefix of interfaces", { detector: { kind: "interface", name: "veth", prefix: true } }],
    ["ranges", { detector: { kind: "cidr", ipv4: RANGE, ipv6: RANGE6 } }],
    ["no counters", { counters: false }],
    ["invalid packets dropped", { dropInvalid: true }],
  ])("is recognized as intact with %s", (_name, options) => {
    const { backend: first, outcome } = adopt(options);
    apply(first, outcome === "replaced" ? [] : remove(1, ...WORLD), add(1, ...WORLD));
    const before = run("nft", "-a", "list", "ruleset");
    expect(adopt(options).outcome).toBe("adopted");
    expect(run("nft", "-a", "list", "ruleset")).toBe(before);
  });

  /** Chains by name with their rules. Chains created on demand may be in another order. */
  function sortedChains(text: string): string[] {
    return [...text.matchAll(/\tchain (?:.*\n)(?:\t\t.*\n)*\t\}/g)].map(([chain]) => chain).sort();
  }

  test.each([
    ["a chain that was flushed", "flush chain inet sluice services4"],
    ["a rule that was added", "insert rule inet sluice services4 counter accept"],
    ["a chain made on demand that was flushed", "flush chain inet sluice pick4-2"],
    [
      "a rule that was changed",
      `flush chain inet sluice reject-connection
       add rule inet sluice reject-connection drop`,
    ],
    [
      "a rule with an inverted test",
      `flush chain inet sluice hairpin4
       add rule inet sluice hairpin4 @nh,120,8 . @nh,152,8 @equal-bytes return
       add rule inet sluice hairpin4 @nh,112,8 . @nh,144,8 != @equal-bytes return
       add rule inet sluice hairpin4 @nh,104,8 . @nh,136,8 != @equal-bytes return
       add rule inet sluice hairpin4 @nh,96,8 . @nh,128,8 != @equal-bytes return
       add rule inet sluice hairpin4 masquerade fully-random`,
    ],
    [
      "a chain made on demand that does something else",
      `flush chain inet sluice pick4-2
       add rule inet sluice pick4-2 accept
       add rule inet sluice pick4-2 drop`,
    ],
    ["a policy that was changed", "chain inet sluice nat-output { policy drop; }"],
    [
      "base chains that were deleted",
      "flush chain inet sluice nat-output; delete chain inet sluice nat-output",
    ],
  ])("is repaired: %s", (_name, damage) => {
    const whole = sortedChains(ruleset());
    pipe(damage, "nft", "-f", "-");
    expect(sortedChains(ruleset())).not.toEqual(whole);
    const { outcome, adopted } = adopt();
    expect([outcome, adopted]).toEqual(["adopted", lines(WORLD)]);
    expect(sortedChains(ruleset())).toEqual(whole);
  });

  test("is repaired if an action was deleted from its map", () => {
    pipe("delete element inet sluice choices4 { 0:2 }", "nft", "-f", "-");
    expect(adopt().outcome).toBe("adopted");
    expect(run("nft", "list", "map", "inet", "sluice", "choices4")).toContain("0:2 : goto pick4-2");
  });

  test.each([
    ["refusals that were flushed", "flush map inet sluice refusals4"],
    [
      "a refusal that lets through",
      "delete element inet sluice refusals6 { f000:1 }; add element inet sluice refusals6 { f000:1 : accept }",
    ],
    ["an action of every table that is gone", "delete element inet sluice choices6 { BUILTIN }"],
    [
      "an action that leads elsewhere",
      "delete element inet sluice choices4 { 0:2 }; add element inet sluice choices4 { 0:2 : drop }",
    ],
    ["an action that Sluice does not have", "add element inet sluice learning4 { 7 : accept }"],
  ])("is repaired: %s", (_name, damage) => {
    const maps = () =>
      ["choices", "refusals", "learning"].flatMap((kind) =>
        [4, 6].map((family) => {
          const text = run("nft", "list", "map", "inet", "sluice", `${kind}${family}`);
          return [...text.matchAll(/[0-9a-f]+:[0-9a-f]+ : [^,}]*/g)]
            .map(([one]) => one.trim())
            .sort();
        }),
      );
    const whole = maps();
    const builtIn = whole[1]?.find((one) => one.includes("leave-untranslated"))?.split(" ")[0];
    const drop = whole[3]?.find((one) => one.endsWith("drop"))?.split(" ")[0];
    const text = damage.replace("BUILTIN", `${builtIn}`).replaceAll("f000:1", `${drop}`);
    pipe(text, "nft", "-f", "-");
    expect(maps()).not.toEqual(whole);
    expect(adopt().adopted).toEqual(lines(WORLD));
    expect(maps()).toEqual(whole);
  });

  test("is hooked again if another program made it dormant", () => {
    pipe("table inet sluice { flags dormant; }", "nft", "-f", "-");
    expect(ruleset()).toContain("flags dormant");
    expect(adopt().adopted).toEqual(lines(WORLD));
    expect(ruleset()).not.toContain("flags dormant");
  });

  test("loses a foreign catch-all element", () => {
    const before = ruleset();
    pipe("add element inet sluice frontends4 { * : 0:2 }", "nft", "-f", "-");
    pipe("add element inet sluice choices6 { * : drop }", "nft", "-f", "-");
    expect(adopt().adopted).toEqual(lines(WORLD));
    expect(sortedChains(ruleset())).toEqual(sortedChains(before));
    expect(ruleset()).not.toContain("* :");
  });

  test("is not misled by an invalid action", () => {
    pipe("add element inet sluice choices4 { f000:1 : accept }", "nft", "-f", "-");
    expect(adopt().adopted).toEqual(lines(WORLD));
  });

  test("keeps additions under foreign names", () => {
    pipe("add chain inet sluice mine; add rule inet sluice mine counter", "nft", "-f", "-");
    expect(adopt().outcome).toBe("adopted");
    expect(run("nft", "list", "chain", "inet", "sluice", "mine")).toContain("counter");
  });

  test("with other sets is replaced", () => {
    const { backend, ...start } = adopt({ counters: false });
    expect(start).toMatchObject({ outcome: "replaced", elements: 0 });
    expect(apply(backend, add(1, ...WORLD))).toMatchObject({ ok: true });
    expect(run("nft", "list", "map", "inet", "sluice", "frontends4")).not.toContain("counter");
  });

  const UNUSED = "flush chain inet sluice hairpin4; flush chain inet sluice hairpin6";
  test.each([
    ["a pair of bytes that was deleted", "delete element inet sluice equal-bytes { 0x5 . 0x5 }"],
    [
      "a pair of other bytes",
      `delete element inet sluice equal-bytes { 0x5 . 0x5 }
       add element inet sluice equal-bytes { 0x5 . 0x6 }`,
    ],
  ])("is replaced because of %s", (_, damage) => {
    // While rules use the set, the kernel refuses every change.
    expect(() => pipe(damage, "nft", "-f", "-")).toThrow("busy");
    const whole = run("nft", "list", "set", "inet", "sluice", "equal-bytes");
    pipe(UNUSED, "nft", "-f", "-");
    pipe(damage, "nft", "-f", "-");
    adoptReplaced();
    expect(run("nft", "list", "set", "inet", "sluice", "equal-bytes")).toBe(whole);
    expect(ruleset()).toContain("@nh,120,8 . @nh,152,8 != @equal-bytes return");
  });

  test("with a base chain on another hook is replaced", () => {
    pipe(
      `flush chain inet sluice nat-input; delete chain inet sluice nat-input
       add chain inet sluice nat-input { type nat hook input priority 5; }`,
      ...["nft", "-f", "-"],
    );
    adoptReplaced();
    const socket = new NetlinkSocket(NETLINK_NETFILTER);
    const chain = readChains(socket).find(({ name }) => name === "nat-input");
    socket.close();
    expect(chain?.hook?.priority).toBe(-199);
  });

  test("is deleted by cleanup", () => {
    expect(cleanUp()).toBe("removed");
    expect(run("nft", "list", "tables")).toBe("");
  });

  test("gets and loses the rule for invalid packets in one transaction each, and keeps its elements", () => {
    const client = "add element inet sluice affinity4-17 { 198.51.100.7 timeout 1h : 0:1 }";
    pipe(client, "nft", "-f", "-");
    const socket = new NetlinkSocket(NETLINK_NETFILTER);
    const without = sortedChains(ruleset());
    for (const dropInvalid of [true, false]) {
      const before = readGeneration(socket);
      expect(adopt({ dropInvalid })).toMatchObject({ outcome: "adopted", adopted: lines(WORLD) });
      expect(readGeneration(socket)).toBe(before + 1);
      expect(ruleset().includes("ct state invalid drop")).toBe(dropInvalid);
    }
    expect(sortedChains(ruleset())).toEqual(without);
    expect(run("nft", "list", "map", "inet", "sluice", "affinity4-17")).toContain("198.51.100.7");
    socket.close();
  });

  test.each([
    "add chain inet sluice filter-forward { type filter hook forward priority 0; policy drop; }",
    "add rule inet sluice filter-forward drop",
    "flush chain inet sluice filter-forward",
    "flush chain inet sluice filter-output; delete chain inet sluice filter-output",
  ])("loses a foreign change of a filter chain: %s", (damage) => {
    const whole = sortedChains(ruleset());
    pipe(damage, "nft", "-f", "-");
    expect(adopt()).toMatchObject({ outcome: "adopted", adopted: lines(WORLD) });
    expect(sortedChains(ruleset())).toEqual(whole);
  });

  test("of a later version is replaced", () => {
    run("nft", "flush", "ruleset");
    pipe('table inet sluice { comment "sluice: layout 99, sets 01234567"; }', "nft", "-f", "-");
    adoptReplaced();
    const socket = new NetlinkSocket(NETLINK_NETFILTER);
    expect(readRules(socket).length).toBeGreaterThan(0);
    socket.close();
  });
});

describe("a foreign table with our name", () => {
  const FOREIGN = 'table inet sluice {\n\tcomment "mine"\n\tchain keep {\n\t}\n}\n';
  beforeEach(() => {
    pipe(FOREIGN, "nft", "-f", "-");
  });

  test("is named and not changed by start", () => {
    const start = () => backendWith().start(rememberingCore().core);
    expect(start).toThrow(
      new SluiceError(
        "TABLE_FOREIGN",
        'adopt table inet sluice: another program owns it: its comment is "mine" (delete the table if nothing needs it)',
      ),
    );
    expect(run("nft", "list", "ruleset")).toBe(FOREIGN);
  });

  test("is not changed by cleanup", () => {
    expect(cleanUp()).toBe("foreign");
    expect(run("nft", "list", "ruleset")).toBe(FOREIGN);
  });
});

describe("the map of a frontend's clients", () => {
  const learn = (map: number, seconds = 3600) =>
    ({ verb: "learn", nodePort: false, map, seconds }) as const;
  const web = (map: number, seconds?: number) =>
    element("learn", 4, ["10.96.0.1", "TCP", 80], learn(map, seconds));
  const dns = (map: number) => element("learn", 4, ["10.96.0.1", "TCP", 53], learn(map));
  const remembers = (map: number) =>
    run("nft", "list", "map", "inet", "sluice", `affinity4-${map}`).includes("198.51.100.7");

  function remember(map: number): void {
    const client = `add element inet sluice affinity4-${map} { 198.51.100.7 timeout 1h : 0:1 }`;
    pipe(client, "nft", "-f", "-");
    expect(remembers(map)).toBe(true);
  }

  test.each<[string, TestOperation[], boolean]>([
    ["is emptied if it loses affinity", remove(1, web(7)), false],
    ["stays if the timeout changes", [...remove(1, web(7)), ...add(1, web(7, 60))], true],
    ["stays if another frontend loses affinity", remove(1, dns(8)), true],
    ["is emptied if it gets another map", [...remove(1, web(7)), ...add(1, web(9))], false],
  ])("%s", (_, change, stays) => {
    const backend = backendWith();
    backend.start(rememberingCore().core);
    apply(backend, add(1, web(7), dns(8)));
    remember(7);
    apply(backend, change);
    expect(remembers(7)).toBe(stays);
  });

  test("survives a restart and the removal of its chains by another program", async () => {
    const first = backendWith();
    first.start(rememberingCore().core);
    apply(first, add(1, web(7)));
    remember(7);
    first.close();
    const { core, adopted } = rememberingCore([web(7)]);
    const second = backendWith();
    expect(second.start(core)).toMatchObject({ outcome: "adopted" });
    expect(adopted()).toEqual(lines([web(7)]));
    second.watch(() => {});
    pipe(
      `flush chain inet sluice learn4-7-3600
       flush map inet sluice learning4
       flush chain inet sluice remembered4-7`,
      ...["nft", "-f", "-"],
    );
    await until("a repair", async () => (await second.verify(core)) !== undefined);
    expect(run("nft", "list", "chain", "inet", "sluice", "learn4-7-3600")).toContain(
      "update @affinity4-7 { ip saddr timeout 1h : meta priority }",
    );
    expect(remembers(7)).toBe(true);
  });
});

describe("frontends that cannot remember clients", () => {
  const full = (packets: number) =>
    `add element inet sluice not-remembered4 { 10.96.0.1 . tcp . 80 counter packets ${packets} bytes 0 timeout 5m }
     add element inet sluice nodeports-not-remembered6 { udp . 30080 counter packets 1 bytes 0 timeout 5m }`;

  test("are read from the kernel, also by the next process", () => {
    const first = backendWith();
    first.start(rememberingCore().core);
    expect(first.fullFrontends.read()).toEqual([]);
    pipe(full(7), "nft", "-f", "-");
    const learn = { verb: "learn", nodePort: false, map: 7, seconds: 60 } as const;
    const { table, key } = element("learn", 4, ["10.96.0.1", "TCP", 80], learn);
    const found = [
      { table, key, connections: 7 },
      expect.objectContaining({ table: tableId("nodeports-learn", 6), connections: 1 }),
    ];
    expect(first.fullFrontends.read()).toEqual(found);
    first.close();
    const second = backendWith();
    expect(second.start(rememberingCore().core)).toMatchObject({ outcome: "adopted" });
    expect(second.fullFrontends.read()).toEqual(found);
  });

  test("are read without counts if connections are not counted", () => {
    const backend = backendWith({ counters: false });
    backend.start(rememberingCore().core);
    pipe(
      "add element inet sluice not-remembered4 { 10.96.0.1 . tcp . 80 timeout 5m }",
      ...["nft", "-f", "-"],
    );
    expect(backend.fullFrontends.read()).toMatchObject([{ connections: 0 }]);
  });
});

/** The server's data before it closes. */
function echo(hostname: string, port: number, text: string): Promise<string> {
  return new Promise((resolve, reject) => {
    let answer = "";
    const socket = {
      open: (one: { write(text: string): number }) => void one.write(text),
      data: (_: unknown, bytes: Uint8Array) => {
        answer += new TextDecoder().decode(bytes);
      },
      close: () => resolve(answer),
      connectError: (_: unknown, error: Error) => reject(error),
    };
    Bun.connect({ hostname, port, socket }).catch(reject);
  });
}

describe("counters", () => {
  /** Packets by table and key, of all elements passed to `each`. */
  const gather = () => {
    const counted = new Map<string, bigint>();
    const each: CounterSink = ({ table, keysAndPackets: bytes, count }) => {
      const stride = bytes.length / count;
      const view = new DataView(bytes.buffer, bytes.byteOffset);
      for (let i = 0; i < count; i++) {
        const key = bytes.subarray(i * stride, (i + 1) * stride - 8);
        const text = `${table} ${Buffer.from(key).toString("hex")}`;
        counted.set(text, view.getBigUint64((i + 1) * stride - 8, true));
      }
    };
    return { counted, each };
  };
  const read = async (backend: NftablesBackend) => {
    const { counted, each } = gather();
    expect(await backend.counters?.read(each)).toBe(true);
    return counted;
  };

  test("are read from every element that has one", async () => {
    const backend = backendWith();
    backend.start(rememberingCore(WORLD).core);
    apply(backend, add(1, ...WORLD));
    const wanted = WORLD.filter(({ table }) => /counter/.test(declaration(table)));
    const counted = await read(backend);
    expect(counted.size).toBe(wanted.length);
    expect([...counted.values()].every((packets) => packets === 0n)).toBe(true);
  });

  const declaration = (table: number) => {
    const labels = new Map(
      WORLD.map((one) => [one.table as number, line(one.table, one.key, one.value)]),
    );
    const label = labels.get(table)?.split(" ")[0] ?? "";
    const kind = run("nft", "-t", "list", "table", "inet", "sluice").includes(`map ${label} {`)
      ? "map"
      : "set";
    return run("nft", "-t", "list", kind, "inet", "sluice", label);
  };

  test("count a connection once, with any traffic, and are read once more before they are deleted", async () => {
    const action = { verb: "pick", slotTable: "endpoints", snat: "plain", count: 1 } as const;
    const backend = backendWith();
    const frontend = element("frontends", 4, ["10.96.0.1", "TCP", 80], action);
    backend.start(rememberingCore([frontend]).core);
    const deleted = gather();
    backend.counters?.onDelete(deleted.each);
    run("ip", "addr", "replace", "10.244.0.1/32", "dev", "lo");
    run("ip", "route", "replace", "10.96.0.0/16", "dev", "lo");
    const server = Bun.listen({
      hostname: "10.244.0.1",
      port: 8080,
      socket: { data: (socket, bytes) => void socket.end(bytes) },
    });
    apply(
      backend,
      add(1, frontend, element("endpoints", 4, ["10.96.0.1", "TCP", 80, 0], "10.244.0.1:8080")),
    );
    for (let i = 0; i < 3; i++) expect(await echo("10.96.0.1", 80, "hi")).toBe("hi");
    server.stop(true);
    const counted = await read(backend);
    expect(counted.get(`${tableId("frontends", 4)} 0a600001060000000050`.padEnd(26, "0"))).toBe(3n);
    expect(deleted.counted.size).toBe(0);
    apply(backend, remove(1, frontend), add(1, frontend));
    expect(deleted.counted).toEqual(counted);
  });

  test("that cannot be read are lost, but an assertion in the core is thrown", () => {
    const frontend = element("frontends", 4, ["10.96.0.1", "TCP", 80], { verb: "drop" });
    const backend = backendWith();
    backend.start(rememberingCore().core);
    let code: "NETLINK_SOCKET" | "CORE_ABORT" = "NETLINK_SOCKET";
    backend.counters?.onDelete(() => {
      throw new SluiceError(code, "count elements: refused");
    });
    apply(backend, add(1, frontend));
    expect(apply(backend, remove(1, frontend))).toMatchObject({ ok: true });
    apply(backend, add(1, frontend));
    code = "CORE_ABORT";
    expect(() => apply(backend, remove(1, frontend))).toThrow("count elements: refused");
  });

  test("are not read before the deletion of many", () => {
    const many = Array.from({ length: 201 }, (_, i) =>
      element("endpoints", 4, ["10.96.0.1", "TCP", 80, i], "10.244.0.1:8080"),
    );
    const backend = backendWith();
    backend.start(rememberingCore().core);
    const { counted, each } = gather();
    backend.counters?.onDelete(each);
    apply(backend, add(1, ...many));
    apply(backend, remove(1, ...many));
    expect(counted.size).toBe(0);
    apply(backend, add(1, ...many));
    apply(backend, remove(1, ...many.slice(1)));
    expect(counted.size).toBe(200);
  });

  test("are not used without the option", () => {
    const backend = backendWith({ counters: false });
    backend.start(rememberingCore().core);
    expect(apply(backend, add(1, ...WORLD))).toMatchObject({ ok: true });
    expect(backend.counters).toBeUndefined();
  });
});
