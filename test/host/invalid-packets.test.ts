import { expect, test } from "bun:test";
import { resolveDropInvalid } from "../../src/host/invalid-packets.ts";

test.each([
  ["auto", "5.15.0-173-generic", false, true],
  ["auto", "6.0.19", false, true],
  ["auto", "6.1.0-40-amd64", false, false],
  ["auto", "6.12.57+deb12-amd64", false, false],
  ["auto", "7.0.1", false, false],
  ["auto", "5.15.0", true, false],
  ["auto", "unknown", false, false],
  ["always", "6.18.0", true, true],
  ["never", "5.15.0", false, false],
] as const)("%s on Linux %s, be_liberal %p: drop is %p", (setting, release, liberal, drop) => {
  expect(resolveDropInvalid(setting, release, liberal)).toBe(drop);
});
