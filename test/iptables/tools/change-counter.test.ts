import { describe, expect, test } from "bun:test";
import { pipe, run } from "../../../harness/commands.ts";
import { useFreshNetns } from "../../../harness/fresh-netns.ts";
import { openChangeCounter } from "../../../src/iptables/tools/change-counter.ts";

useFreshNetns();

/** Each changes something that the previous one left. */
const CHANGES: readonly (readonly string[])[] = [
  ["iptables", "-t", "nat", "-N", "A"],
  ["iptables", "-t", "nat", "-A", "A", "-j", "ACCEPT"],
  ["iptables", "-t", "nat", "-A", "OUTPUT", "-j", "A"],
  ["iptables", "-t", "nat", "-D", "OUTPUT", "1"],
  ["iptables", "-t", "nat", "-F", "A"],
  ["iptables", "-t", "nat", "-X", "A"],
  ["iptables", "-t", "mangle", "-N", "A"],
  ["ip6tables", "-t", "filter", "-I", "FORWARD", "-j", "DROP"],
  ["ip6tables", "-t", "filter", "-P", "INPUT", "ACCEPT"],
];

describe.each(["legacy", "nft"] as const)("%s", (variant) => {
  test("every change shows, and reading is no change", () => {
    const counter = openChangeCounter(variant, [4, 6]);
    let before = counter.read();
    for (const [tool = "", ...args] of CHANGES) {
      run(`${tool}-${variant}`, ...args);
      const after = counter.read();
      // Setting the same policy again changes nothing in a legacy table.
      if (variant === "nft" || args[2] !== "-P") expect([args, after]).not.toEqual([args, before]);
      expect(counter.read()).toBe(after);
      run(`${tool}-${variant}-save`);
      expect(counter.read()).toBe(after);
      before = after;
    }
    counter.close();
  });

  test("an iptables-restore with different rules shows", () => {
    const counter = openChangeCounter(variant, [4]);
    const restore = (rule: string) =>
      pipe(`*nat\n:A - [0:0]\n${rule}\nCOMMIT\n`, `iptables-${variant}-restore`, "--noflush");
    restore("-A A -d 10.0.0.1/32 -j ACCEPT");
    const before = counter.read();
    restore("-A A -p tcp -m tcp --dport 80 -j ACCEPT");
    expect(counter.read()).not.toBe(before);
    counter.close();
  });
});

test("reading creates no legacy table", () => {
  const counter = openChangeCounter("legacy", [4, 6]);
  const names = () => run("cat", "/proc/net/ip_tables_names", "/proc/net/ip6_tables_names");
  const before = names();
  counter.read();
  expect(names()).toBe(before);
  expect(before).not.toContain("raw");
  counter.close();
});
