import { describe, expect, test } from "bun:test";
import { useFreshNetns } from "../../../harness/fresh-netns.ts";
import { readRefusal, toolMessage } from "../../../src/iptables/tools/restore-errors.ts";
import { toolsOf } from "./fake-tools.ts";

useFreshNetns();

/**
 * Text after `*nat` and a chain A, and the lines that each variant names. "COMMIT" means that the
 * whole table was refused.
 */
const FAULTS: readonly (readonly [
  name: string,
  rules: readonly string[],
  legacy: readonly number[] | "COMMIT",
  nft: readonly number[] | "COMMIT",
])[] = [
  ["an unknown option", ["-A A --wrong 5"], [3], [3]],
  ["an unknown match", ["-A A", "-A A -m nosuch -j ACCEPT"], [4], [4]],
  ["an unknown target", ["-A A -j NOSUCH", "-A A"], [3], "COMMIT"],
  ["a bad address", ["-A A -d 1.2.3.400/32 -j ACCEPT"], [3], [3]],
  ["a bad port", ["-A A -p tcp -m tcp --dport 99999 -j ACCEPT"], [3], [3]],
  ["a chain that is not there", ["-A B -j ACCEPT"], [3], [3]],
  ["a target of another hook", ["-A A", "-A PREROUTING -j MASQUERADE", "-A A"], "COMMIT", [4]],
  ["targets of another table", ["-A A -j REJECT", "-A A", "-A A -j REJECT"], "COMMIT", [3, 5]],
  ["a loop", [":B - [0:0]", "-A A -j B", "-A B -j A", "-A OUTPUT -j A"], "COMMIT", [6]],
  ["deleting a chain in use", [":B - [0:0]", "-A A -j B", "-X B"], [5], [5]],
  ["deleting a chain that is not there", ["-X NOPE"], [3], [3]],
  ["deleting a rule that is not there", ["-D PREROUTING -j ACCEPT"], [3], [3]],
  ["a long name", [`:${"B".repeat(40)} - [0:0]`], [3], [3]],
  ["a port without a protocol", ["-A A -j DNAT --to-destination 1.2.3.4:80"], [3], [3]],
  ["a probability above 1", ["-A A -m statistic --mode random --probability 7"], [3], [3]],
  ["a bad mark", ["-A A -j MARK --set-xmark zz"], [3], [3]],
  [
    "a value too large for the kernel",
    ["-A A -m recent --name x --rcheck --hitcount 70000"],
    "COMMIT",
    [3],
  ],
];

describe.each(["legacy", "nft"] as const)("%s names the lines at fault:", (variant) => {
  test.each(FAULTS)("%s", async (_name, rules, legacy, nft) => {
    const text = ["*nat", ":A - [0:0]", ...rules, "COMMIT", ""].join("\n");
    const tools = await toolsOf(4, variant);
    const expected = variant === "legacy" ? legacy : nft;
    const lines = expected === "COMMIT" ? [] : expected;
    const result = await tools.restore(text);
    expect(result).toMatchObject({ ok: false, kind: "line", lines, table: "nat" });
    if (result.ok) return;
    expect(result.line).toBe(lines[0]);
    expect(result.message).toMatch(/^iptables-(legacy|nft)-restore: .*iptables/);
    expect(result.message).not.toContain("\n");
    expect(result.message).not.toContain("--help");
    expect(await tools.save("nat")).not.toContain(":A ");
  });

  test("the second table", async () => {
    const text = "*nat\n:A - [0:0]\nCOMMIT\n*filter\n:B - [0:0]\n-A B -d x.invalid/33\nCOMMIT\n";
    const tools = await toolsOf(4, variant);
    expect(await tools.restore(text)).toMatchObject({ kind: "line", line: 6, table: "filter" });
    expect(await tools.save("nat")).toContain(":A ");
    await tools.restore("*nat\n:A - [0:0]\n-X A\nCOMMIT\n");
  });

  test("after many valid lines", async () => {
    const tools = await toolsOf(6, variant);
    const chains = Array.from({ length: 3000 }, (_, index) => `KUBE-SVC-${index}`);
    const rules = chains.map(
      (chain) => `-A ${chain} -d fd00::1/128 -m comment --comment "a b" -j ACCEPT`,
    );
    const head = ["*nat", ...chains.map((chain) => `:${chain} - [0:0]`), ...rules];
    const text = [...head, "-A KUBE-SVC-7 -m nosuch", "COMMIT", ""].join("\n");
    expect(await tools.restore(text)).toMatchObject({ kind: "line", line: head.length + 1 });
  });

  test.each([
    ["a table that is not there", "*nosuch\n:A - [0:0]\nCOMMIT\n"],
    ["no end", "*nat\n:A - [0:0]\n"],
    ["no table", "hello\n"],
  ])("but none of %s", async (_name, text) => {
    const result = await (await toolsOf(4, variant)).restore(text);
    expect(result).toMatchObject({ ok: false, kind: "failed", lines: [] });
    expect(result).not.toHaveProperty("line");
  });
});

const TEXT = "*nat\n:A - [0:0]\n-A A -j ACCEPT\nCOMMIT\n";

/** Messages of versions that may not be on this machine. */
test.each([
  [
    "Another app is currently holding the xtables lock. Stopped waiting after 5s.",
    { kind: "locked", lines: [] },
  ],
  [
    "Can't lock /run/xtables.lock: Resource temporarily unavailable\nAnother app is currently holding the xtables lock. Stopped waiting after 5s.",
    { kind: "locked", lines: [] },
  ],
  ["iptables-restore: line 4 failed: Resource temporarily unavailable.", { kind: "locked" }],
  [
    "Another app is currently holding the xtables lock; still 4s 0us time ahead to have a chance to grab the lock...\nBad argument `x'\nError occurred at line: 3",
    { kind: "line", line: 3 },
  ],
  [
    "iptables-restore v1.6.1: Couldn't load target `X':No such file or directory\n\nError occurred at line: 3\nTry `iptables-restore -h' or 'iptables-restore --help' for more information.",
    { kind: "line", line: 3, table: "nat" },
  ],
  ["iptables-restore: line 4 failed: Invalid argument.", { kind: "line", lines: [], table: "nat" }],
  [
    "iptables-restore v1.8.2 (nf_tables): \nline 2: CHAIN_USER_DEL failed (Device or resource busy): chain A",
    { kind: "line", line: 2 },
  ],
  [
    "iptables-restore v1.8.7 (nf_tables): Could not fetch rule set generation id: Permission denied (you must be root)",
    { kind: "failed" },
  ],
  [
    "Fatal: can't open lock file /run/xtables.lock: Read-only file system",
    { kind: "failed", lines: [] },
  ],
  ["", { kind: "failed", lines: [] }],
])("%p is understood", (stderr, expected) => {
  expect(readRefusal("/sbin/iptables-restore", stderr, TEXT)).toMatchObject(expected);
});

test("the message is one short line, without hints at other tables and at help", () => {
  expect(toolMessage("# Warning: iptables-legacy tables present\nbad\n\nTry `x -h'")).toBe("bad");
  expect(toolMessage("x\n".repeat(1000)).length).toBe(500);
});
