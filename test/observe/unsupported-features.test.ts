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
  nodeIPs: Object.fromEntries(
    families.map((family) => [family, parseAddress(family === 4 ? "10.0.0.1" : "fd00::1")]),
  ),
  zone: "",
  podCidrs: [],
  eligible: true,
});
/** A core without committed elements. */
const EMPTY_CORE = { elementCount: () => 0 };

test("an unserved family is a problem and a notice while the node uses it", () => {
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
  ["the configuration has a pod range of it", [parseCidr("fd01::/64") as Cidr], 0],
  ["a Service of it is committed", [], 1],
])("an unserved family without a node address is a problem if %s", (_, clusterCIDRs, committed) => {
  const reported = new UnsupportedFeatures({
    capabilities: { unserved: [NO_TOOL], unsupported: [] },
    core: { elementCount: (id) => (id === tableId("cluster-ips", 6) ? committed : 0) },
    problems: () => {},
  });
  reported.update({ clusterCIDRs }, nodeOf(4));
  expect(reported.notices()).toHaveLength(1);
});

test("an unsupported feature of a served family is always a notice", () => {
  const unsupported = ["IPv4: session affinity does not work, because the kernel lacks xt_recent"];
  const reported = new UnsupportedFeatures({
    capabilities: { unserved: [], unsupported },
    core: EMPTY_CORE,
    problems: () => {},
  });
  reported.update(CONFIG, nodeOf(4, 6));
  expect(reported.notices()).toEqual(unsupported);
});

test("a backend without limits has no notices", () => {
  const reported = new UnsupportedFeatures({
    capabilities: { unserved: [], unsupported: [] },
    core: EMPTY_CORE,
    problems: () => {
      throw new Error("unexpected problem event");
    },
  });
  reported.update(CONFIG, nodeOf(4, 6));
  expect(reported.notices()).toEqual([]);
});
