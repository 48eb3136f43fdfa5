import { expect, test } from "bun:test";
import type { UnservedFamily } from "../../src/backend/capabilities.ts";
import type { Config } from "../../src/config/config.ts";
import type { NodeFacts } from "../../src/model/node-facts.ts";
import { tableId } from "../../src/model/tables.ts";
import { type Cidr, type Family, parseAddress, parseCidr } from "../../src/net/address.ts";
import { UnsupportedFeatures } from "../../src/observe/unsupported-features.ts";
import { ProblemRegistry } from "../../src/problems/problem-registry.ts";

const NO_TOOL: UnservedFamily = {
  family: 6,
  code: "TOOL_FAILED",
  reason: "ip6tables is not installed",
};

const CONFIG = { clusterCIDRs: [] };
/** A node with addresses of these families. */
const nodeOf = (...families: readonly Family[]): NodeFacts => ({
  name: "n",
  uid: "",
  primary: Object.fromEntries(
    families.map((family) => [family, parseAddress(family === 4 ? "10.0.0.1" : "fd00::1")]),
  ),
  zone: "",
  podCidrs: [],
  eligible: true,
});
/** Nothing of either family is committed. */
const EMPTY_CORE = { elementCount: () => 0 };

test("a family that is not served is a problem and a notice while somebody wants it", () => {
  const problems = new ProblemRegistry(() => {});
  const reported = new UnsupportedFeatures({
    capabilities: { unserved: [NO_TOOL], unsupported: [] },
    core: EMPTY_CORE,
    problems: (events) => problems.report(events),
  });
  reported.update(CONFIG, nodeOf(4));
  expect([problems.list(), reported.notices()]).toEqual([[], []]);

  reported.update(CONFIG, nodeOf(4, 6));
  const message =
    "IPv6 is not served: ip6tables is not installed (existing IPv6 rules stay unchanged)";
  expect(problems.list()).toEqual([{ subject: "IPv6", code: "TOOL_FAILED", field: "", message }]);
  expect(reported.notices()).toEqual([message]);

  reported.update(CONFIG, nodeOf(4));
  expect([problems.list(), reported.notices()]).toEqual([[], []]);
});

test.each<[string, Config["clusterCIDRs"], number]>([
  ["the configuration has pods of it", [parseCidr("fd01::/64") as Cidr], 0],
  ["Services of it are committed", [], 1],
])("so it is where the node has no address of it, but %s", (_, clusterCIDRs, committed) => {
  const reported = new UnsupportedFeatures({
    capabilities: { unserved: [NO_TOOL], unsupported: [] },
    core: { elementCount: (id) => (id === tableId("cluster-ips", 6) ? committed : 0) },
    problems: () => {},
  });
  reported.update({ clusterCIDRs }, nodeOf(4));
  expect(reported.notices()).toHaveLength(1);
});

test("what is lacking of a family that is served is a notice, whoever wants it", () => {
  const unsupported = ["IPv4: session affinity is not kept, for want of xt_recent"];
  const reported = new UnsupportedFeatures({
    capabilities: { unserved: [], unsupported },
    core: EMPTY_CORE,
    problems: () => {},
  });
  reported.update(CONFIG, nodeOf(4, 6));
  expect(reported.notices()).toEqual(unsupported);
});

test("a dataplane without limits has nothing to tell", () => {
  const reported = new UnsupportedFeatures({
    capabilities: { unserved: [], unsupported: [] },
    core: EMPTY_CORE,
    problems: () => {
      throw new Error("there is nothing to tell");
    },
  });
  reported.update(CONFIG, nodeOf(4, 6));
  expect(reported.notices()).toEqual([]);
});
