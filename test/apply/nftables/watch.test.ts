import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import type { Backend, ForeignChange } from "../../../src/apply/backend.ts";
import { createNftablesBackend } from "../../../src/apply/nftables/backend.ts";
import { TransactionReader } from "../../../src/apply/nftables/watch.ts";
import { inFreshNetns, run } from "../netns.ts";
import { add, element, operationList, rememberingCore, remove } from "../operations.ts";

inFreshNetns();

let backend: Backend;
let heard: ForeignChange[];
let wake = () => {};

/** Everything that was told until the end of this command, which is told last. */
async function heardUntil(command: string): Promise<readonly ForeignChange[]> {
  const told = new Promise<void>((resolve) => {
    wake = resolve;
  });
  run("nft", command);
  await told;
  return heard;
}

beforeEach(() => {
  heard = [];
  backend = createNftablesBackend({
    masqueradeBit: 14,
    masqueradeAll: false,
    dropInvalid: false,
    counters: true,
    detector: { kind: "cidr" },
  });
  backend.start(rememberingCore().core);
  backend.watch((change) => {
    heard.push(change);
    wake();
  });
});

afterEach(() => {
  backend.close();
  run("nft", "flush", "ruleset");
});

describe("what somebody else does to our table is told once for each transaction", () => {
  test.each([
    ["flush chain inet sluice services4", "rules of services4"],
    ["add chain inet sluice mine", "chain mine"],
    ["add element inet sluice cluster-ips4 { 10.96.0.9 }", "elements of cluster-ips4"],
    ["add map inet sluice mine { type ipv4_addr : verdict; }", "map mine"],
    ["add counter inet sluice mine", "another object"],
  ])("nft %s", async (command, what) => {
    const changes = await heardUntil(command);
    expect(changes).toEqual([{ what, by: expect.stringMatching(/^nft \(pid \d+\)$/) }]);
  });

  test.each(["flush ruleset", "delete table inet sluice"])("nft %s", async (command) => {
    const [change, ...more] = await heardUntil(command);
    expect(more).toEqual([]);
    // The kernel tells first what goes with it: more than one line holds.
    expect(change?.what).toEndWith(", ...");
  });
});

test("our own transactions are not told, nor those on other tables", async () => {
  const one = element("cluster-ips", 4, ["10.96.0.1"]);
  for (const operations of [add(1, one), remove(1, one)]) {
    expect(backend.apply(operationList(operations), () => "default/a").ok).toBe(true);
  }
  run("nft", "add table ip sluice; add chain ip sluice services4");
  run("nft", "add table inet other; add chain inet other services4");
  const changes = await heardUntil("add chain inet sluice last");
  expect(changes.map(({ what }) => what)).toEqual(["chain last"]);
});

test("nothing is told after the backend was closed", async () => {
  const before = heard;
  backend.close();
  backend = createNftablesBackend({
    masqueradeBit: 14,
    masqueradeAll: false,
    dropInvalid: false,
    counters: true,
    detector: { kind: "cidr" },
  });
  heard = [];
  backend.watch((change) => {
    heard.push(change);
    wake();
  });
  await heardUntil("add chain inet sluice last");
  expect(before).toEqual([]);
});

test("a loss of events is told as a change of anything", () => {
  const changes: ForeignChange[] = [];
  new TransactionReader((change) => changes.push(change)).lost();
  expect(changes).toMatchObject([{ by: "unknown" }]);
});

test("what is cut off is not read beyond its end", () => {
  const changes: ForeignChange[] = [];
  const reader = new TransactionReader((change) => changes.push(change));
  for (let length = 0; length < 40; length++) reader.read(new Uint8Array(length).fill(255));
  reader.read(new Uint8Array(40));
  expect(changes).toEqual([]);
});
