/** The mode, and what depends on it: what serves, node ports on loopback, and what is shown and said. */
import { describe, expect, test } from "bun:test";
import { messageTexts, resolve } from "../../harness/resolve-config.ts";
import type { Config } from "../../src/config/config.ts";
import { messagesForMode } from "../../src/config/config-messages.ts";

const LOOPBACK =
  "Node ports are not served on loopback, as they are by default in kube-proxy's iptables mode:";
const IGNORED = "Ignored settings that do not count beside the others:";

test.each<[string, Config["mode"]]>([
  ["", "auto"],
  ["mode: ''", "auto"],
  ["mode: auto", "auto"],
  ["mode: ipvs", "auto"],
  ["mode: nftables", "nftables"],
  ["mode: iptables", "iptables"],
])("what serves: %j is %s", async (body, mode) => {
  expect((await resolve([], body)).config.mode).toBe(mode);
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
  "node ports on loopback have to be asked for, and may be left out by nodePortAddresses: %j: %p",
  async (body, wanted) => {
    const { config, messages } = await resolve([], body);
    expect(config.localhostNodePorts).toBe(wanted);
    // Whoever asked hears of it if they are not.
    const ignored = `${IGNORED} iptables.localhostNodePorts`;
    expect(messageTexts(messages).includes(ignored)).toBe(body.includes(ON) && !wanted);
  },
);

test.each<[string, string | undefined]>([
  ["mode: iptables", "iptables"],
  ["", ""],
  // No mode of kube-proxy in which it would serve them there.
  ["mode: nftables", undefined],
  ["mode: ipvs", undefined],
  ["mode: auto", undefined],
  ["mode: iptables\nnodePortAddresses: [10.0.0.0/8]", undefined],
  ["mode: iptables\niptables: {localhostNodePorts: false}", undefined],
])(
  "node ports on loopback are said to be missing where kube-proxy has them: %j",
  async (body, mode) => {
    const { messages } = await resolve([], body);
    const found = messageTexts(messages).find((text) => text.startsWith(LOOPBACK));
    const consider = "mode: iptables, and iptables.localhostNodePorts: true";
    expect(found).toBe((mode === undefined ? mode : `${LOOPBACK} ${mode} ${consider}`) as string);
  },
);

describe("what the mode that serves leaves without effect", () => {
  test.each([
    ["iptables", true, false, "Connections are not counted"],
    ["iptables", false, true, undefined],
    ["nftables", true, true, "Node ports are not served on loopback"],
    ["nftables", true, false, undefined],
  ] as const)(
    "%s, with counters %p and localhostNodePorts %p",
    (served, counters, localhostNodePorts, output) => {
      const notes = messagesForMode({ counters, localhostNodePorts }, served);
      expect(notes.map(({ message }) => message)).toEqual(
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
      // As it was written, but for what a file must not come to in another mode.
      iptables: { minSyncPeriod: "2s", masqueradeBit: 14, localhostNodePorts: false },
      nftables: { minSyncPeriod: "0s", masqueradeBit: 3 },
    },
  ],
  ...["", "mode: auto\n", "mode: ipvs\n"].map((mode): [string, object] => [
    `${mode}iptables: {masqueradeBit: 3}`,
    {
      // kube-proxy does not know the word auto.
      mode: "",
      iptables: { masqueradeBit: 3, localhostNodePorts: false },
      nftables: { masqueradeBit: 3 },
      nodePortAddresses: ["0.0.0.0/0", "::/0"],
    },
  ]),
])(
  "/configz shows the mode, and what is in effect in the section that counts: %j",
  async (body, shown) => {
    expect((await resolve([], body)).config.document).toMatchObject(shown);
  },
);
