import { expect, test } from "bun:test";
import { findLeftovers } from "../../src/takeover/removable-chains.ts";

test("the rules of removed chains are never read", async () => {
  const asked: string[] = [];
  const chains = ["OUTPUT", "KUBE-SERVICES", "KUBE-SVC-A", "OTHER"].map((name) => ({
    name,
    base: name === "OUTPUT",
    drops: false,
  }));
  await findLeftovers("nat", chains, async (chain) => {
    asked.push(chain);
    return [];
  });
  expect(asked).toEqual(["OUTPUT", "OTHER"]);
});
