import { expect, test } from "bun:test";
import { countsOf } from "../../src/observe/counts.ts";
import type { Action } from "../../src/plan/actions.ts";
import { Committed } from "./committed.ts";

const DROP: Action = { verb: "drop" };
const REJECT: Action = { verb: "reject" };

function counted(committed: Committed) {
  return countsOf({
    serviceCount: () => 1,
    sliceCount: () => 2,
    endpointCount: () => 3,
    memoryBytes: () => 65536,
    elementCount: (table) => committed.elementCount(table),
    eachElement: (table, each) => committed.eachElement(table, each),
    ownerOf: (table, key) => committed.ownerOf(table, key),
  });
}

test("elements are counted by table, both families together", () => {
  const committed = new Committed();
  committed.set("cluster-ips", 1, "10.96.0.1");
  committed.set("cluster-ips", 1, "fd00::1");
  expect(counted(committed)).toMatchObject({
    services: 1,
    slices: 2,
    endpoints: 3,
    coreBytes: 65536,
    elements: { "cluster-ips": 2, frontends: 0 },
  });
});

test("ports of a Local policy without a local endpoint are counted once each", () => {
  const committed = new Committed();
  committed.set("cluster-ips", 1, "10.96.0.1");
  committed.set("no-endpoints", 1, "10.96.0.1 TCP 80", DROP);
  committed.set("no-endpoints", 1, "10.96.0.1 TCP 443", REJECT);
  committed.set("no-endpoints", 1, "1.2.3.4 TCP 80", DROP);
  committed.set("no-endpoints", 1, "1.2.3.5 TCP 80", DROP);
  committed.set("nodeports-no-endpoints", 1, "TCP 30080", DROP);
  committed.set("nodeports-no-endpoints", 2, "TCP 30081", DROP);
  committed.set("nodeports-no-endpoints", 3, "TCP 30082", REJECT);
  committed.set("no-endpoints", 1, "fd00::9 TCP 80", DROP);
  expect(counted(committed).noLocalEndpoints).toEqual([
    { policy: "internal", family: 4, count: 1 },
    { policy: "external", family: 4, count: 2 },
    { policy: "internal", family: 6, count: 0 },
    { policy: "external", family: 6, count: 1 },
  ]);
});
