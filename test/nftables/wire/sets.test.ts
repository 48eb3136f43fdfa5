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

test("there is no set of the ports that only iptables lets in", () => {
  const names = allSets(false).map(({ name }) => name);
  expect(names).toContain("service-cidrs4");
  expect(names.filter((name) => name.startsWith("health-check-ports"))).toEqual([]);
});

test("the sets are those of the first layout, or running nodes would have their table replaced by an update", () => {
  expect(tableComment(OPTIONS)).toBe("sluice: layout 1, sets 717443a0");
  expect(tableComment({ ...OPTIONS, counters: true })).toBe("sluice: layout 1, sets 1272e35c");
});
