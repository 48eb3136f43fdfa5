import { describe, expect, test } from "bun:test";
import { parseIp, parseRange } from "../../harness/plan/plan-text.ts";
import { printCidr } from "../../src/net/address.ts";
import { nodePortRanges } from "../../src/state/node-port-ranges.ts";

interface Case {
  readonly name: string;
  readonly option: "primary" | readonly string[];
  readonly primary?: readonly string[];
  readonly want: string;
}

const ALL = "0.0.0.0/0 ::/0";
const CASES: readonly Case[] = [
  { name: "an empty list is everything", option: [], want: ALL },
  { name: "0.0.0.0/0 and ::/0 are everything", option: ["0.0.0.0/0", "::/0"], want: ALL },
  {
    name: "a family without a range is served on all its addresses",
    option: ["192.168.0.0/24"],
    want: "192.168.0.0/24 ::/0",
  },
  {
    name: "each family has its ranges",
    option: ["fd00::/8", "192.168.0.10/32", "10.0.0.0/8"],
    want: "10.0.0.0/8 192.168.0.10/32 fd00::/8",
  },
  {
    name: "ranges inside others and repeated ranges are left out",
    option: ["10.1.0.0/16", "10.0.0.0/8", "10.0.0.0/8", "10.255.0.0/16", "11.0.0.0/8", "fd00::/8"],
    want: "10.0.0.0/8 11.0.0.0/8 fd00::/8",
  },
  {
    name: "everything contains every other range",
    option: ["192.168.0.0/24", "0.0.0.0/0", "128.0.0.0/1", "fd00::/8", "::/0"],
    want: ALL,
  },
  {
    name: "primary is the node's own address of each family",
    option: "primary",
    primary: ["192.168.0.10", "fd00:9::1"],
    want: "192.168.0.10/32 fd00:9::1/128",
  },
  {
    name: "primary of a node with addresses of one family serves none of the other",
    option: "primary",
    primary: ["192.168.0.10"],
    want: "192.168.0.10/32",
  },
  { name: "primary of an unknown node is everything", option: "primary", want: ALL },
  {
    name: "a primary address on loopback counts as unknown",
    option: "primary",
    primary: ["127.0.0.1", "fd00:9::1"],
    want: "fd00:9::1/128",
  },
  {
    name: "loopback as the only primary address is an unknown node",
    option: "primary",
    primary: ["127.0.0.1"],
    want: ALL,
  },
];

describe("ranges that serve node ports", () => {
  test.each(CASES.map((one) => [one.name, one] as const))("%s", (_, one) => {
    const option =
      one.option === "primary"
        ? { primary: true, cidrs: [] }
        : { primary: false, cidrs: one.option.map(parseRange) };
    const primary = Object.fromEntries(
      (one.primary ?? []).map(parseIp).map((own) => [own.family, own]),
    );
    expect(nodePortRanges(option, primary).map(printCidr).join(" ")).toBe(one.want);
  });
});
