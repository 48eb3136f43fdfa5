/** The mode, and the settings and warnings that depend on it. */
import { describe, expect, test } from "bun:test";
import { resolveArgs, warningTexts } from "../../harness/resolve-config.ts";
import type { Config } from "../../src/config/config.ts";
import { warningsForMode } from "../../src/config/config-warnings.ts";

const LOOPBACK = "Node ports do not answer on loopback, unlike with kube-proxy's iptables mode:";
const IGNORED = "Ignored settings that have no effect together with the others:";

test.each<[string, Config["mode"]]>([
  ["", "auto"],
  ["mode: ''", "auto"],
  ["mode: auto", "auto"],
  ["mode: ipvs", "auto"],
  ["mode: nftables", "nftables"],
  ["mode: iptables", "iptables"],
])("the backend for %j is %s", async (body, mode) => {
  expect((await resolveArgs([], body)).config.mode).toBe(mode);
});

const ON = "iptables: {localhostNodePorts: true}";
test.each<[string, boolean]>([
  [`mode: iptables\n${ON}`, true],
  [ON, true],
  [`mode: auto\n${ON}`, true],
  [`mode: iptables\nnodePortAddresses: [127.0.0.1/32]\n${ON}`, true],
  [`mode: iptables\nnodePortAddresses: [10.0.0.0/8, 127.0.0.0/8]\n${ON}`, true],
  [`mode: iptables\nnodePortAddresses: [0.0.0.0/0]\n${ON}`, true],
  // A family without a range serves on all its addresses.
  [`mode: iptables\nnodePortAddresses: ['fd00::/8']\n${ON}`, true],
  [`mode: iptables\nnodePortAddresses: [10.0.0.0/8]\n${ON}`, false],
  [`mode: iptables\nnodePortAddresses: [primary]\n${ON}`, false],
  [`mode: nftables\nnodePortAddresses: [0.0.0.0/0]\n${ON}`, false],
  ["mode: iptables", false],
  ["mode: iptables\niptables: {localhostNodePorts: null}", false],
  ["mode: iptables\niptables: {localhostNodePorts: false}", false],
  ["", false],
])(
  "node ports on loopback need a setting, and nodePortAddresses can exclude them: %j: %p",
  async (body, wanted) => {
    const { config, warnings } = await resolveArgs([], body);
    expect(config.localhostNodePorts).toBe(wanted);
    // A warning says so if they do not.
    const ignored = `${IGNORED} iptables.localhostNodePorts`;
    expect(warningTexts(warnings).includes(ignored)).toBe(body.includes(ON) && !wanted);
  },
);

test.each<[string, string | undefined]>([
  ["mode: iptables", "iptables"],
  ["", ""],
  // Modes in which kube-proxy does not serve them there.
  ["mode: nftables", undefined],
  ["mode: ipvs", undefined],
  ["mode: auto", undefined],
  ["mode: iptables\nnodePortAddresses: [10.0.0.0/8]", undefined],
  ["mode: iptables\niptables: {localhostNodePorts: false}", undefined],
])("a warning names node ports on loopback that kube-proxy has: %j", async (body, mode) => {
  const { warnings } = await resolveArgs([], body);
  const found = warningTexts(warnings).find((text) => text.startsWith(LOOPBACK));
  const hint = "if needed, set mode: iptables and iptables.localhostNodePorts: true";
  expect(found).toBe((mode === undefined ? mode : `${LOOPBACK} ${mode} ${hint}`) as string);
});

describe("settings without effect in the active mode", () => {
  test.each([
    ["iptables", true, false, "Connections are not counted"],
    ["iptables", false, true, undefined],
    ["nftables", true, true, "Node ports do not answer on loopback"],
    ["nftables", true, false, undefined],
  ] as const)(
    "%s, with counters %p and localhostNodePorts %p",
    (served, counters, localhostNodePorts, output) => {
      const warnings = warningsForMode({ counters, localhostNodePorts }, served);
      expect(warnings.map(({ message }) => message)).toEqual(
        output === undefined ? [] : [expect.stringContaining(output)],
      );
    },
  );
});

test.each<[string, object]>([
  [
    "mode: iptables\niptables: {minSyncPeriod: 2s, localhostNodePorts: true}",
    {
      mode: "iptables",
      iptables: { minSyncPeriod: "2s", localhostNodePorts: true },
      nftables: { minSyncPeriod: "0s" },
    },
  ],
  [
    "mode: nftables\niptables: {minSyncPeriod: 2s, localhostNodePorts: true}\nnftables: {masqueradeBit: 3}",
    {
      mode: "nftables",
      // As written, except localhostNodePorts, which must stay off in another mode.
      iptables: { minSyncPeriod: "2s", masqueradeBit: 14, localhostNodePorts: false },
      nftables: { minSyncPeriod: "0s", masqueradeBit: 3 },
    },
  ],
  ...["", "mode: auto\n", "mode: ipvs\n"].map((mode): [string, object] => [
    `${mode}iptables: {masqueradeBit: 3}`,
    {
      // kube-proxy does not know the mode auto.
      mode: "",
      iptables: { masqueradeBit: 3, localhostNodePorts: false },
      nftables: { masqueradeBit: 3 },
      nodePortAddresses: ["0.0.0.0/0", "::/0"],
    },
  ]),
])(
  "/configz shows the mode, and the effective values in the section that counts: %j",
  async (body, shown) => {
    expect((await resolveArgs([], body)).config.document).toMatchObject(shown);
  },
);
