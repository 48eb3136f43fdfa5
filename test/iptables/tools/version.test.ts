import { expect, test } from "bun:test";
import { readVersion } from "../../../src/iptables/tools/find-tools.ts";
import { capabilitiesOf } from "../../../src/iptables/tools/version.ts";

test.each([
  ["1.4.19", []],
  ["1.6.1", []],
  ["1.6.2", ["restoreWait", "randomFully"]],
  ["1.8", ["restoreWait", "randomFully"]],
  ["1.10.0", ["restoreWait", "randomFully"]],
  ["2.0", ["restoreWait", "randomFully"]],
  ["", ["restoreWait", "randomFully"]],
])("version %p can do what kubernetes expects of it", (version, can) => {
  const has = Object.entries(capabilitiesOf(version)).flatMap(([name, is]) => (is ? [name] : []));
  expect(has).toEqual(can);
});

test.each([
  ["iptables v1.8.9 (nf_tables)\n", "nft", "1.8.9"],
  ["iptables v1.8.11 (legacy)\n", "legacy", "1.8.11"],
  ["iptables v1.8 (legacy)\n", "legacy", "1.8"],
  ["iptables v1.6.1\n", "legacy", "1.6.1"],
  ["", "legacy", ""],
] as const)("%p is read", (printed, variant, version) => {
  expect(readVersion(printed)).toEqual({ variant, version });
});
