import { describe, expect, test } from "bun:test";
import { type Action, encodeAction } from "../../../src/model/actions.ts";
import type { Family } from "../../../src/net/address.ts";
import { chainName } from "../../../src/nftables/wire/object-names.ts";

const TABLE: readonly (readonly [string, Action, Family])[] = [
  ["pick4-5", { verb: "pick", slotTable: "endpoints", snat: "plain", count: 5 }, 4],
  ["pick-local6-1", { verb: "pick", slotTable: "local-endpoints", snat: "plain", count: 1 }, 6],
  [
    "recall-nodeport4-2",
    { verb: "recall", slotTable: "nodeport-endpoints", snat: "plain", count: 2 },
    4,
  ],
  [
    "masquerade-pick-nodeport-local4-17",
    { verb: "pick", slotTable: "nodeport-local-endpoints", snat: "masquerade", count: 17 },
    4,
  ],
  [
    "short-circuit-recall6-1048575",
    { verb: "recall", slotTable: "endpoints", snat: "short-circuit", count: 1_048_575 },
    6,
  ],
  ["learn4-17-10800", { verb: "learn", nodePort: false, map: 17, seconds: 10_800 }, 4],
  ["learn-nodeport6-17-86400", { verb: "learn", nodePort: true, map: 17, seconds: 86_400 }, 6],
];

describe("the chain of an action", () => {
  test.each(TABLE)("%s describes it", (name, action, family) => {
    expect(chainName(action, family)).toBe(name);
  });

  test("is different for every action and family", () => {
    const names = new Set<string | undefined>();
    const codes = new Set<number>();
    const sources = [
      "endpoints",
      "local-endpoints",
      "nodeport-endpoints",
      "nodeport-local-endpoints",
    ] as const;
    for (const verb of ["pick", "recall"] as const) {
      for (const slotTable of sources) {
        for (const snat of ["plain", "masquerade", "short-circuit"] as const) {
          for (const count of [1, 12, 112]) {
            const action: Action = { verb, slotTable, snat, count };
            codes.add(encodeAction(action));
            names.add(chainName(action, 4));
            names.add(chainName(action, 6));
          }
        }
      }
    }
    expect(names.size).toBe(2 * codes.size);
  });

  test.each(["accept", "drop", "reject"] as const)("does not exist for %s", (verb) => {
    expect(chainName({ verb }, 4)).toBeUndefined();
  });
});
