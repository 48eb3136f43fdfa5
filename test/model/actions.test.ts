import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { assertProperty } from "../../harness/property.ts";
import {
  type Action,
  type ActionCode,
  AFFINITY_MAPS,
  decodeAction,
  encodeAction,
  printAction,
  type SlotTable,
  type SnatMode,
} from "../../src/model/actions.ts";

const NAMED: readonly [string, Action][] = [
  ["pick endpoints 5", { verb: "pick", slotTable: "endpoints", snat: "plain", count: 5 }],
  [
    "recall local-endpoints 2 masquerade",
    { verb: "recall", slotTable: "local-endpoints", snat: "masquerade", count: 2 },
  ],
  [
    "pick nodeport-endpoints 1048575 short-circuit",
    { verb: "pick", slotTable: "nodeport-endpoints", snat: "short-circuit", count: 1_048_575 },
  ],
  ["learn 10800s", { verb: "learn", nodePort: false, map: 17, seconds: 10800 }],
  ["learn 1s", { verb: "learn", nodePort: true, map: 17, seconds: 1 }],
  ["accept", { verb: "accept" }],
  ["drop", { verb: "drop" }],
  ["reject", { verb: "reject" }],
  ["drop-outside", { verb: "drop-outside" }],
];

const arbitraryAction: fc.Arbitrary<Action> = fc.oneof(
  fc.record({
    verb: fc.constantFrom("pick" as const, "recall" as const),
    slotTable: fc.constantFrom<SlotTable>(
      "endpoints",
      "local-endpoints",
      "nodeport-endpoints",
      "nodeport-local-endpoints",
    ),
    snat: fc.constantFrom<SnatMode>("plain", "masquerade", "short-circuit"),
    count: fc.integer({ min: 1, max: 0xfffff }),
  }),
  fc.record({
    verb: fc.constant("learn" as const),
    nodePort: fc.boolean(),
    map: fc.integer({ min: 0, max: AFFINITY_MAPS - 1 }),
    seconds: fc.integer({ min: 1, max: 86_400 }),
  }),
  fc.record({
    verb: fc.constantFrom(
      "accept" as const,
      "drop" as const,
      "reject" as const,
      "drop-outside" as const,
    ),
  }),
);

describe("an action", () => {
  test.each(NAMED)("reads %s", (text, action) => {
    expect(printAction(decodeAction(encodeAction(action)))).toBe(text);
  });

  test("is a u32 that unpacks to itself", () => {
    assertProperty(
      "action-code",
      fc.property(arbitraryAction, (action) => {
        const code = encodeAction(action);
        expect(code >>> 0).toBe(code);
        expect(decodeAction(code)).toEqual(action);
      }),
    );
  });

  const tooLarge: readonly [string, Action][] = [
    [
      "count 1048576: must be at most 1048575",
      { verb: "pick", slotTable: "endpoints", snat: "plain", count: 0x100000 },
    ],
    ["map 2048: must be at most 2047", { verb: "learn", nodePort: true, map: 2048, seconds: 1 }],
    [
      "seconds 131072: must be at most 131071",
      { verb: "learn", nodePort: false, map: 0, seconds: 131_072 },
    ],
  ];

  test.each(tooLarge)("with a number that does not fit is refused: %s", (reason, action) => {
    expect(() => encodeAction(action)).toThrow(`encode action: invalid ${reason}`);
  });

  test.each([0xf0000000, 0x0f000000, 0x00f00000])("of number %p is refused by name", (code) => {
    expect(() => decodeAction(code as ActionCode)).toThrow(`0x${code.toString(16)}`);
  });
});
