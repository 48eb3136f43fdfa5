/** Another program's table with our name: Sluice says so, and is back as soon as it is gone. */
import { expect, test } from "bun:test";
import { answers, connectOnce } from "../../harness/netns/connections.ts";
import { pollUntil, until } from "../../harness/waiting.ts";
import { describeBackends, Fixture } from "./traffic-fixture.ts";

/** Health turns bad within this time. */
const UNHEALTHY_MS = 10_000;
/** The retry after this comes 12 s later, which `pollUntil` does not wait for. */
const STAYS_MS = 13_000;

describeBackends(
  (backend) => {
    const fixture = new Fixture({ backend });
    const nft = (command: string) => fixture.world.run("node1", ["nft", command]);
    const probe = async (path: string) => (await fixture.program.get(path, 10256)).status;

    test("makes health bad, and its end is noticed at once", async () => {
      const web = await fixture.given({}, ["a1"]);
      const target = web.reach(4, "clusterIP", "a2");
      const began = performance.now();
      await nft('delete table inet sluice; add table inet sluice { comment "mine"; }');
      await until("unhealthy", async () => (await probe("/healthz")) === 503, {
        limitMs: UNHEALTHY_MS,
        pollMs: 50,
      });
      console.log(`unhealthy after ${(performance.now() - began).toFixed(0)} ms`);
      expect(await probe("/livez")).toBe(503);
      expect(await fixture.program.problems()).toMatchObject([
        { code: "TABLE_FOREIGN", subject: "table inet sluice" },
      ]);
      expect(await nft("list tables")).toContain("table inet sluice");
      await until("the retries are rare", () => performance.now() - began > STAYS_MS, {
        limitMs: 2 * STAYS_MS,
        pollMs: 50,
      });
      await nft("delete table inet sluice");
      const ended = performance.now();
      const name = () => connectOnce(fixture.world, target);
      expect(await pollUntil(name, (each) => each === "a1")).toBe("a1");
      console.log(`repaired ${(performance.now() - ended).toFixed(0)} ms after it was deleted`);
      expect(await answers(fixture.world, target)).toEqual(["a1"]);
      expect(
        await pollUntil(
          () => probe("/healthz"),
          (code) => code === 200,
        ),
      ).toBe(200);
      expect(await fixture.program.problems()).toEqual([]);
    }, 60_000);
  },
  ["nftables"],
);
