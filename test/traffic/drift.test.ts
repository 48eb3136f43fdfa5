/** Rules that somebody else removes are put back. */
import { expect, test } from "bun:test";
import { FAMILIES } from "../netns/addresses.ts";
import { Fixture } from "./fixture.ts";
import { frontend } from "./scenario.ts";
import { answers, eventually, trial } from "./steps.ts";

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
