import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { run } from "../../../harness/commands.ts";
import {
  add,
  element,
  named,
  operationList,
  rememberingCore,
  remove,
} from "../../../harness/core/made-operations.ts";
import { useFreshNetns } from "../../../harness/fresh-netns.ts";
import type { ForeignChange } from "../../../src/backend/drift.ts";
import {
  createNftablesBackend,
  type NftablesBackend,
} from "../../../src/nftables/nftables-backend.ts";
import type { TouchedObjects } from "../../../src/nftables/repair/touched.ts";
import { TransactionReader } from "../../../src/nftables/repair/watch-table.ts";

useFreshNetns();

let backend: NftablesBackend;
let received: ForeignChange[];
let wake = () => {};

/** All events up to the end of this command, which is announced last. */
async function heardUntil(command: string): Promise<readonly ForeignChange[]> {
  const reported = new Promise<void>((resolve) => {
    wake = resolve;
  });
  run("nft", command);
  await reported;
  return received;
}

beforeEach(() => {
  received = [];
  backend = createNftablesBackend({
    masqueradeBit: 14,
    masqueradeAll: false,
    dropInvalid: false,
    counters: true,
    detector: { kind: "cidr" },
  });
  backend.start(rememberingCore().core);
  const learn = { verb: "learn", nodePort: false, map: 17, seconds: 3600 } as const;
  const affinity = element("learn", 4, ["10.96.0.1", "TCP", 80], learn);
  expect(backend.apply(operationList(add(1, affinity)), named("default/a")).ok).toBe(true);
  backend.watch((change) => {
    received.push(change);
    wake();
  });
});

afterEach(() => {
  backend.close();
  run("nft", "flush", "ruleset");
});

describe("foreign changes to our table are reported once for each transaction", () => {
  const KEY = element("cluster-ips", 4, ["10.96.0.9"]);
  const key = `${KEY.table} ${Buffer.from(KEY.key).toString("hex")}`;

  test.each([
    ["flush chain inet sluice services4", "rules of services4", undefined],
    ["add chain inet sluice mine", "chain mine", undefined],
    ["add element inet sluice cluster-ips4 { 10.96.0.9 }", "elements of cluster-ips4", key],
    ["add map inet sluice mine { type ipv4_addr : verdict; }", "map mine", undefined],
    ["add counter inet sluice mine", "another object", undefined],
    [
      "add element inet sluice affinity4-17 { 198.51.100.7 timeout 1h : 0:1 }",
      "elements of affinity4-17",
      undefined,
    ],
    [
      "add element inet sluice not-remembered4 { 10.96.0.1 . tcp . 80 timeout 1h }",
      "elements of not-remembered4",
      undefined,
    ],
  ])("nft %s", async (command, what, object = what) => {
    const changes = await heardUntil(command);
    const by = expect.stringMatching(/^nft \(pid \d+\)$/);
    expect(changes).toEqual([{ what, by, objects: [object] }]);
  });

  test.each(["flush ruleset", "delete table inet sluice"])("nft %s", async (command) => {
    expect(await heardUntil(command)).toMatchObject([
      { what: "table deleted", objects: ["the table"] },
    ]);
  });

  test("many objects: only some are named", async () => {
    const chains = Array.from({ length: 20 }, (_, i) => `add chain inet sluice mine${i};`);
    const [change] = await heardUntil(chains.join(" "));
    expect(change?.what).toMatch(/^chain mine0, .*chain mine7, \.\.\.$/);
  });

  test("many elements, by the name of their map", async () => {
    const list = Array.from({ length: 100 }, (_, i) => `10.97.0.${i}`);
    const [change] = await heardUntil(`add element inet sluice cluster-ips4 { ${list} }`);
    expect(change?.objects).toEqual([`${KEY.table}`]);
  });
});

test("our own transactions and other tables are not reported", async () => {
  const one = element("cluster-ips", 4, ["10.96.0.1"]);
  for (const operations of [add(1, one), remove(1, one)]) {
    expect(backend.apply(operationList(operations), named("default/a")).ok).toBe(true);
  }
  run("nft", "add table ip sluice; add chain ip sluice services4");
  run("nft", "add table inet other; add chain inet other services4");
  const changes = await heardUntil("add chain inet sluice last");
  expect(changes.map(({ what }) => what)).toEqual(["chain last"]);
});

test("nothing is reported after the backend was closed", async () => {
  const before = received;
  backend.close();
  backend = createNftablesBackend({
    masqueradeBit: 14,
    masqueradeAll: false,
    dropInvalid: false,
    counters: true,
    detector: { kind: "cidr" },
  });
  received = [];
  backend.watch((change) => {
    received.push(change);
    wake();
  });
  await heardUntil("add chain inet sluice last");
  expect(before).toEqual([]);
});

test("a loss of events is reported as a change of anything", () => {
  const heardOf: (readonly [ForeignChange, TouchedObjects])[] = [];
  new TransactionReader((...change) => heardOf.push(change)).eventsLost();
  expect(heardOf).toMatchObject([[{ by: "unknown" }, { everything: true }]]);
});

test("truncated input is not read beyond its end", () => {
  const changes: ForeignChange[] = [];
  const reader = new TransactionReader((change) => changes.push(change));
  for (let length = 0; length < 40; length++) reader.read(new Uint8Array(length).fill(255));
  reader.read(new Uint8Array(40));
  expect(changes).toEqual([]);
});
