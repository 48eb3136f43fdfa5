import { expect, test } from "bun:test";
import type { UnservedFamily } from "../../src/backend/capabilities.ts";
import { Shortcomings } from "../../src/observe/shortcomings.ts";
import { Problems } from "../../src/problems/problem-registry.ts";

const NO_TOOL: UnservedFamily = {
  family: 6,
  code: "TOOL_FAILED",
  reason: "ip6tables is not installed",
};

test("a family that is not served is a problem and a notice while somebody wants it", () => {
  const problems = new Problems(() => {});
  const told = new Shortcomings({ unserved: [NO_TOOL], unsupported: [] }, (events) =>
    problems.report(events),
  );
  told.update((family) => family === 4);
  expect([problems.list(), told.notices()]).toEqual([[], []]);

  told.update(() => true);
  const message =
    "Cannot serve IPv6 on this node: ip6tables is not installed; rules of IPv6 that an earlier process left stay as they are";
  expect(problems.list()).toEqual([{ subject: "IPv6", code: "TOOL_FAILED", field: "", message }]);
  expect(told.notices()).toEqual([message]);

  told.update((family) => family === 4);
  expect([problems.list(), told.notices()]).toEqual([[], []]);
});

test("what is lacking of a family that is served is a notice, whoever wants it", () => {
  const unsupported = ["IPv4: session affinity is not kept, for want of xt_recent"];
  const told = new Shortcomings({ unserved: [], unsupported }, () => {});
  told.update(() => true);
  expect(told.notices()).toEqual(unsupported);
});

test("a dataplane without limits has nothing to tell", () => {
  const told = new Shortcomings({ unserved: [], unsupported: [] }, () => {
    throw new Error("there is nothing to tell");
  });
  told.update(() => true);
  expect(told.notices()).toEqual([]);
});
