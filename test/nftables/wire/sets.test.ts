import { expect, test } from "bun:test";
import { tableComment } from "../../../src/nftables/ruleset/install.ts";
import { allSets } from "../../../src/nftables/wire/sets.ts";

const OPTIONS = {
  masqueradeBit: 14,
  masqueradeAll: false,
  dropInvalid: false,
  detector: { kind: "cidr" },
  counters: false,
} as const;

test("no set exists for ports that only iptables accepts", () => {
  const names = allSets(false).map(({ name }) => name);
  expect(names).toContain("service-cidrs4");
  expect(names.filter((name) => name.startsWith("health-check-ports"))).toEqual([]);
});

test("the sets keep their layout, so that an update does not replace the table of running nodes", () => {
  expect(tableComment(OPTIONS)).toBe("sluice: layout 2, sets 35d3758e");
  expect(tableComment({ ...OPTIONS, counters: true })).toBe("sluice: layout 2, sets bd2a0e6e");
});
