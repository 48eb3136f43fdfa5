/** Rules that somebody else removes are put back. */
import { expect, test } from "bun:test";
import { FAMILIES } from "../netns/addresses.ts";
import type { ConnectOptions } from "../netns/world.ts";
import { Fixture } from "./fixture.ts";
import { frontend } from "./scenario.ts";
import { answers, connect, eventually, trial } from "./steps.ts";

const fixture = new Fixture();
const SERVED = /^(a1|b1)$/;

test.each([
  { command: "flush ruleset" },
  { command: "delete table inet sluice" },
  { command: "flush map inet sluice frontends4; flush map inet sluice frontends6" },
  { command: "flush map inet sluice endpoints4; flush map inet sluice endpoints6" },
  { command: "flush chain inet sluice services4; flush chain inet sluice services6" },
  { command: "insert rule inet sluice services4 drop; insert rule inet sluice services6 drop" },
  { command: "flush map inet sluice choices4; flush map inet sluice choices6" },
  { command: "add table inet sluice { flags dormant; }" },
  {
    command:
      "flush ruleset; add table inet firewalld; add chain inet firewalld input { type filter hook input priority 10; }",
  },
])("nft $command", async ({ command }) => {
  const made = await fixture.given({ type: "LoadBalancer" }, ["a1", "b1"]);
  await fixture.world.run("node1", ["nft", command]);
  for (const family of FAMILIES) {
    for (const to of ["clusterIP", "vip", "node port"] as const) {
      const target = made.reach(family, to, "outside");
      const name = () => trial(fixture.world, target);
      expect(await eventually(name, (each) => SERVED.test(each))).toMatch(SERVED);
      expect(await answers(fixture.world, target)).toEqual(["a1", "b1"]);
    }
  }
});

test("an element that is removed comes again", async () => {
  const made = await fixture.given({}, ["a1", "b1"]);
  const target = made.reach(4, "clusterIP", "outside");
  const { address } = frontend(target.to, target.number, 4);
  const element = `delete element inet sluice frontends4 { ${address} . tcp . 80 }`;
  await fixture.world.run("node1", ["nft", element]);
  const name = () => trial(fixture.world, target);
  expect(await eventually(name, (each) => SERVED.test(each))).toMatch(SERVED);
});

test.each(FAMILIES)(
  "what begins while the rules are gone gets through after the repair (IPv%p)",
  async (family) => {
    const ports = [
      { name: "web", port: 80, target: 8080 },
      { name: "dns", port: 53, target: 8080, protocol: "UDP" },
    ] as const;
    const made = await fixture.given({ type: "LoadBalancer", ports }, ["a1", "b1"]);
    const target = made.reach(family, "vip", "outside");
    const begin = (options: ConnectOptions, port: number) =>
      connect(fixture.world, { ...target, port }, { ...options, patience: 100 });
    process.kill(fixture.program.pid, "SIGSTOP");
    try {
      // With the hooks still there, the kernel decides for good that these are not to be translated.
      const flush = "flush chain inet sluice services4; flush chain inet sluice services6";
      await fixture.world.run("node1", ["nft", flush]);
      const source = 21_000 + family;
      expect((await begin({ transport: "udp", sourcePort: source }, 53)).outcome).not.toBe(
        "answered",
      );
      // A SYN is repeated by the kernel; what nobody answers would be in the way for minutes.
      const patient = connect(fixture.world, { ...target, port: 80 }, { patience: 20_000 });
      await eventually(
        () => fixture.world.run("node1", ["conntrack", "-L", "-p", "tcp", "--state", "SYN_SENT"]),
        (text) => text.includes("[UNREPLIED]"),
      );
      process.kill(fixture.program.pid, "SIGCONT");
      expect((await patient).outcome).toBe("answered");
      const again = () => begin({ transport: "udp", sourcePort: source }, 53);
      const { outcome } = await eventually(again, (reply) => reply.outcome === "answered");
      expect(outcome).toBe("answered");
    } finally {
      process.kill(fixture.program.pid, "SIGCONT");
    }
  },
);
