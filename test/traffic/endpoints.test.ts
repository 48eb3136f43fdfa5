/** Traffic follows changes of endpoints. Established connections stay. */
import { describe, expect, test } from "bun:test";
import { FAMILIES, type Family } from "../../harness/netns/addresses.ts";
import { answers, connect, nameOf, outcome, type Target } from "../../harness/netns/connections.ts";
import { commonObjects, slices } from "../../harness/netns/world-objects.ts";
import { describeBackends, type Endpoints, Fixture } from "./traffic-fixture.ts";

describeBackends((backend) => {
  const fixture = new Fixture({ backend });

  /** Creates a Service for one test; pod a3 calls its clusterIP. */
  async function given(endpoints: Endpoints) {
    const made = await fixture.given({}, endpoints);
    return { ...made, at: (family: Family): Target => made.reach(family, "clusterIP", "a3") };
  }

  describe.each([...FAMILIES])("IPv%i", (family) => {
    test("a new endpoint gets its share of connections", async () => {
      const { at, updateEndpoints } = await given(["a1"]);
      expect(await answers(fixture.world, at(family))).toEqual(["a1"]);
      await updateEndpoints(["a1", "b1", "a2"]);
      expect(await answers(fixture.world, at(family))).toEqual(["a1", "a2", "b1"]);
    });

    test("a removed endpoint gets no connections", async () => {
      const { at, updateEndpoints } = await given(["a1", "a2", "b1"]);
      for (const left of [["a2", "b1"], ["b1"]] as const) {
        await updateEndpoints(left);
        expect(await answers(fixture.world, at(family))).toEqual([...left]);
      }
      await updateEndpoints([]);
      expect(await outcome(fixture.world, at(family))).toBe("refused");
      await updateEndpoints(["a1"]);
      expect(await answers(fixture.world, at(family))).toEqual(["a1"]);
    });

    test("an unready endpoint gets no connections until it is ready again", async () => {
      const { at, updateEndpoints } = await given(["a1", "b1"]);
      await updateEndpoints([{ at: "a1", ready: false }, "b1"]);
      expect(await answers(fixture.world, at(family))).toEqual(["b1"]);
      await updateEndpoints(["a1", "b1"]);
      expect(await answers(fixture.world, at(family))).toEqual(["a1", "b1"]);
    });

    test("when the port of an endpoint changes, connections use the new one", async () => {
      const { at, updateEndpoints } = await given(["a1", "b1"]);
      await updateEndpoints(["a1", "b1"], [{ target: 8081 }]);
      expect(await answers(fixture.world, at(family), { withPort: true })).toEqual([
        "a1:8081",
        "b1:8081",
      ]);
    });

    test("adding or removing a slice adds or removes its endpoints", async () => {
      const { at, name } = await given(["a1"]);
      const second = slices(name, ["b1"], { suffix: "second" });
      await fixture.put(...second);
      expect(await answers(fixture.world, at(family))).toEqual(["a1", "b1"]);
      await fixture.remove(...second);
      expect(await answers(fixture.world, at(family))).toEqual(["a1"]);
    });

    test("a slice that becomes headless loses its endpoints", async () => {
      const { at, name } = await given(["a1"]);
      await fixture.put(...slices(name, ["b1"], { suffix: "own" }));
      const labels = { "service.kubernetes.io/headless": "" };
      await fixture.put(...slices(name, ["b1"], { suffix: "own", labels }));
      expect(await answers(fixture.world, at(family))).toEqual(["a1"]);
    });

    test("hints take effect when they change, and when the zone of the node does", async () => {
      const { at, updateEndpoints } = await given(["a1", "b1"]);
      await updateEndpoints([
        { at: "a1", zones: ["z1"] },
        { at: "b1", zones: ["z2"] },
      ]);
      expect(await answers(fixture.world, at(family))).toEqual(["a1"]);
      const node = JSON.stringify(commonObjects().find((each) => each.kind === "Node"));
      await fixture.put(JSON.parse(node.replace('"z1"', '"z2"')));
      expect(await answers(fixture.world, at(family))).toEqual(["b1"]);
      await fixture.put(JSON.parse(node));
      expect(await answers(fixture.world, at(family))).toEqual(["a1"]);
    });

    test("terminating endpoints serve until one is ready", async () => {
      const ending = { ready: false, serving: true, terminating: true };
      const { at, updateEndpoints } = await given(["a1"]);
      await updateEndpoints([{ at: "a1", ...ending }]);
      expect(await answers(fixture.world, at(family))).toEqual(["a1"]);
      await updateEndpoints([{ at: "a1", ...ending }, "b1"]);
      expect(await answers(fixture.world, at(family))).toEqual(["b1"]);
      await updateEndpoints([{ at: "a1", ...ending, serving: false }]);
      expect(await outcome(fixture.world, at(family))).toBe("refused");
    });

    test("a pod reaches itself, while its slice changes what it says about the node", async () => {
      const { updateEndpoints, reach } = await fixture.given(
        { type: "LoadBalancer", externalPolicy: "Local" },
        ["a1"],
      );
      const itself = reach(family, "clusterIP", "a1");
      const outside = reach(family, "vip", "outside");
      const { handle } = await connect(fixture.world, itself, { hold: true });
      for (const nodeName of ["absent", "node1", "", "node2", "NODE1", "node1"]) {
        await updateEndpoints([{ at: "a1", nodeName }]);
        expect(await answers(fixture.world, itself)).toEqual(["a1"]);
        const isLocal = nodeName === "node1";
        expect(await outcome(fixture.world, outside)).toBe(isLocal ? "a1" : "timeout");
        expect(nameOf(await fixture.world.switchboard.ask(handle))).toBe("a1");
      }
      await fixture.world.switchboard.hangup(handle);
    });

    test("an established connection survives any change of its Service", async () => {
      const { at, updateEndpoints, remove } = await given(["a1"]);
      const { handle } = await connect(fixture.world, at(family), { hold: true });
      for (const next of [["a1", "b1"], ["b1"], []] as const) {
        await updateEndpoints(next);
        expect(nameOf(await fixture.world.switchboard.ask(handle))).toBe("a1");
      }
      await remove();
      expect(nameOf(await fixture.world.switchboard.ask(handle))).toBe("a1");
      await fixture.world.switchboard.hangup(handle);
    });
  });
});
