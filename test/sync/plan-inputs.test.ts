import { expect, test } from "bun:test";
import { Problems } from "../../src/observe/problems.ts";
import { syncWorld } from "./world.ts";

/** What is wrong now, by subject and field. */
function wrong(told: ReturnType<typeof syncWorld>["problems"]): string[] {
  const problems = new Problems(() => {});
  problems.report(told.events);
  return problems.list().map(({ subject, field }) => `${subject} ${field}`);
}

test("problems of the Node end when it is mended, and when it is gone", () => {
  const { inputs, problems } = syncWorld();
  const node = (...podCIDRs: string[]) => ({ metadata: { name: "node-a" }, spec: { podCIDRs } });
  inputs.setNode(node("x", "y"));
  expect(wrong(problems)).toEqual(["Node node-a spec.podCIDRs[0]", "Node node-a spec.podCIDRs[1]"]);
  inputs.setNode(node("10.1.0.0/24", "y"));
  expect(wrong(problems)).toEqual(["Node node-a spec.podCIDRs[1]"]);
  inputs.setNode(undefined);
  expect(wrong(problems)).toEqual([]);
});

test("problems of ServiceCIDRs end when the object is mended, and when it is gone", () => {
  const { inputs, problems } = syncWorld();
  const cidr = (name: string, ...cidrs: string[]) => ({ metadata: { name }, spec: { cidrs } });
  inputs.setServiceCidrs([cidr("a", "x"), cidr("b", "y")]);
  expect(wrong(problems)).toEqual(["ServiceCIDR a spec.cidrs[0]", "ServiceCIDR b spec.cidrs[0]"]);
  inputs.setServiceCidrs([cidr("a", "10.96.0.0/16"), cidr("b", "y")]);
  expect(wrong(problems)).toEqual(["ServiceCIDR b spec.cidrs[0]"]);
  inputs.setServiceCidrs([cidr("a", "10.96.0.0/16")]);
  expect(wrong(problems)).toEqual([]);
});
