/** Tests one family over tools that accept or refuse input as scripted. */
import { describe, expect, test } from "bun:test";
import { FamilyRules } from "../../src/iptables/family-rules.ts";
import { compareFamilies } from "../../src/iptables/repair-chains.ts";
import type { RulesetOptions } from "../../src/iptables/rules/fixed-chains.ts";
import { RULE_TABLES, type RuleTable } from "../../src/iptables/syntax/known-chains.ts";
import type { RestoreResult } from "../../src/iptables/tools/tools.ts";
import type { Family } from "../../src/net/address.ts";
import { OPTIONS as WORLD } from "./iptables-world.ts";

const OPTIONS: RulesetOptions = {
  ...WORLD,
  randomFully: true,
  comments: true,
  recent: true,
  sctp: true,
};
const REFUSED = { ok: false, kind: "line", lines: [], message: "it says no" } as const;
const BUILT_IN = ["PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"];
const NO_OPERATIONS = {
  count: 0,
  bytes: 0,
  ignored: 0,
  region: new Uint8Array(),
  *[Symbol.iterator]() {},
};

function familyOf(family: Family = 4) {
  const restored: string[] = [];
  const state = {
    /** The outcome of the next restore. */
    result: { ok: true } as RestoreResult,
    empty: false,
    reading: Promise.resolve(),
  };
  const rules = new FamilyRules(
    {
      family,
      variant: "nft",
      path: "/sbin/iptables",
      version: "1.8.9",
      randomFully: true,
      async restore(text) {
        restored.push(text);
        return state.result;
      },
      async save(table) {
        const saved = state.empty
          ? blank(table)
          : blank(table) + printed(rules, table as RuleTable);
        await state.reading;
        return saved;
      },
      list: async () => "",
    },
    OPTIONS,
    async () => {},
  );
  return { rules, state, restored };
}

function blank(table: string): string {
  return [`*${table}`, ...BUILT_IN.map((chain) => `:${chain} ACCEPT [0:0]`), ""].join("\n");
}

/** As if everything wanted were in the kernel. */
function printed(rules: FamilyRules, table: RuleTable): string {
  const chains = [...rules.chains[table]];
  const lines = [":KUBE-PROXY-CANARY - [0:0]", ...chains.map(([chain]) => `:${chain} - [0:0]`)];
  for (const jump of rules.wanted.jumps) {
    if (jump.table === table) lines.push(`-A ${jump.from} ${jump.rule}`);
  }
  for (const [chain, text] of chains) {
    for (const rule of text.split("\n")) if (rule !== "") lines.push(`-A ${chain} ${rule}`);
  }
  return `${lines.join("\n")}\n`;
}

function gate() {
  let open = () => {};
  const closed = new Promise<void>((resolve) => {
    open = resolve;
  });
  return { closed, open: () => open() };
}

describe("a comparison", () => {
  test("without changes in between reports no difference", async () => {
    const { rules } = familyOf();
    expect(await compareFamilies([rules])).toMatchObject([
      { steps: [], missingTables: [], mangleCanaryMissing: false },
    ]);
  });

  test.each([
    [
      "other options",
      (rules: FamilyRules) => rules.reconfigure({ ...OPTIONS, masqueradeAll: true }),
    ],
    [
      "a change without steps",
      (rules: FamilyRules) => rules.stage(NO_OPERATIONS, () => undefined, false),
    ],
  ])("with %s in between reports nothing", async (_, meanwhile) => {
    const { rules, state } = familyOf();
    const { closed, open } = gate();
    state.reading = closed;
    const comparing = compareFamilies([rules]);
    meanwhile(rules);
    open();
    expect(await comparing).toBeUndefined();
  });

  test("keeps all pending writes", async () => {
    const { rules, state } = familyOf();
    await rules.read();
    const saved = printed(rules, "nat");
    rules.reconfigure({ ...OPTIONS, masqueradeAll: true });
    expect(rules.kernel.hasStale).toBe(true);
    const chains = rules
      .staleDifferences()
      .flatMap((step) => ("chain" in step ? [step.chain] : []));
    expect(chains.length).toBeGreaterThan(0);
    expect(printed(rules, "nat")).not.toBe(saved);
    state.empty = true;
    await rules.read();
    expect(rules.kernel.hasStale).toBe(true);
    expect(rules.staleDifferences()).toEqual(
      expect.arrayContaining(chains.map((chain) => expect.objectContaining({ chain }))),
    );
  });
});

describe("of a refused restore", () => {
  /** How often each jump of a table was inserted in total. */
  const jumps = (restored: readonly string[], table: RuleTable) =>
    restored.flatMap((text) => {
      const part = text.split("*").find((each) => each.startsWith(`${table}\n`)) ?? "";
      return part.match(/^-I .*/gm) ?? [];
    });

  test.each([
    ["the table before the faulty one is written", "filter", 1],
    ["no table is there if the first is at fault", "nat", 2],
  ] as const)("%s", async (_, table, times) => {
    const { rules, state, restored } = familyOf();
    state.empty = true;
    await rules.read();
    state.result = { ...REFUSED, table };
    const first = await rules.write(rules.kernel.differences(rules.wanted));
    expect(first.refused).toBeDefined();
    state.result = { ok: true };
    await rules.readUnknownJumps();
    await rules.write(rules.kernel.differences(rules.wanted));
    const wanted = rules.wanted.jumps.filter((jump) => jump.table === "nat").length;
    expect(jumps(restored, "nat")).toHaveLength(wanted * times);
    expect(rules.kernel.differences(rules.wanted)).toEqual([]);
  });

  test("after a killed restore the chains are read before the next attempt", async () => {
    const { rules, state, restored } = familyOf();
    state.empty = true;
    await rules.read();
    state.result = { ok: false, kind: "failed", lines: [], message: "killed" };
    await rules.write(rules.kernel.differences(rules.wanted));
    expect(rules.kernel.jumpsUnknown).toBe(true);
    // It had done everything.
    state.empty = false;
    state.result = { ok: true };
    restored.length = 0;
    await rules.readUnknownJumps();
    await rules.write(rules.kernel.differences(rules.wanted));
    expect(restored).toEqual([]);
    for (const table of RULE_TABLES) expect(jumps(restored, table)).toEqual([]);
  });
});

describe("the canary in mangle", () => {
  test.each([
    ["locked", true],
    ["failed", true],
    ["line", false],
  ] as const)("that is refused as %s is tried again: %p", async (kind, again) => {
    const { rules, state, restored } = familyOf();
    state.result = { ok: false, kind, lines: [], message: "it says no" };
    expect(await rules.placeMangleCanary()).toBe(again);
    state.result = { ok: true };
    expect(await rules.placeMangleCanary()).toBe(again);
    expect(restored).toHaveLength(again ? 2 : 1);
  });
});

test("the probe for any acceptance is not repeated at once", async () => {
  const { rules, restored } = familyOf();
  expect([await rules.acceptsAnyChange(1000), await rules.acceptsAnyChange(2000)]).toEqual([
    true,
    true,
  ]);
  expect(restored).toHaveLength(1);
  await rules.acceptsAnyChange(60_000);
  expect(restored).toHaveLength(2);
});
