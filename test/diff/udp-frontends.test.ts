import { expect, test } from "bun:test";
import { collectUdpFrontends, type FrontendText } from "../../src/diff/udp-frontends.ts";
import { add, element, operationList, remove } from "../apply/operations.ts";

const PICK = { verb: "pick", source: "endpoints", reach: "plain", count: 2 } as const;

function collect(...operations: ReturnType<typeof add>[]): string[] {
  const found = new Set<FrontendText>();
  collectUdpFrontends(operationList(operations.flat()).region, found);
  return [...found];
}

test("operations on frontends of UDP and on their endpoints name the frontend once", () => {
  expect(
    collect(
      add(1, element("endpoints", 4, ["10.96.0.1", "UDP", 53, 0], "10.1.0.1:5353")),
      add(1, element("endpoints", 4, ["10.96.0.1", "UDP", 53, 1], "10.1.0.2:5353")),
      add(1, element("frontends", 4, ["10.96.0.1", "UDP", 53], PICK)),
      remove(1, element("no-endpoints", 4, ["10.96.0.1", "UDP", 53], { verb: "reject" })),
    ),
  ).toEqual(["40a600001" + "11000000" + "00350000"]);
});

test("node ports are told from addresses, and families from each other", () => {
  expect(
    collect(
      remove(1, element("nodeport-endpoints", 4, ["UDP", 30053, 0], "10.1.0.1:5353")),
      remove(1, element("nodeports", 6, ["UDP", 30053], PICK)),
      add(1, element("local-endpoints", 6, ["fd00::1", "UDP", 53, 7], "[fd00:1::1]:5353")),
    ),
  ).toEqual([
    "4" + "11000000" + "75650000",
    "6" + "11000000" + "75650000",
    "6fd000000000000000000000000000001" + "11000000" + "00350000",
  ]);
});

test("what is not UDP, or leads nowhere, is left out", () => {
  expect(
    collect(
      add(1, element("frontends", 4, ["10.96.0.1", "TCP", 53], PICK)),
      add(1, element("nodeports", 4, ["SCTP", 30053], PICK)),
      add(1, element("cluster-ips", 4, ["17.17.17.17"])),
      add(1, element("hairpin", 4, ["17.17.17.17", "17.17.17.17"])),
      add(1, element("guarded", 4, ["192.0.2.1", "UDP", 53])),
      add(
        1,
        element("learn", 4, ["10.96.0.1", "UDP", 53], {
          verb: "learn",
          nodePort: false,
          seconds: 9,
        }),
      ),
    ),
  ).toEqual([]);
});
