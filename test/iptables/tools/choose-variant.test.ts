import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { pipe, run } from "../../../harness/commands.ts";
import { enterFreshNetns } from "../../../harness/fresh-netns.ts";
import { chooseTools } from "../../../src/iptables/tools/choose-variant.ts";
import { FakeTools, holdLock } from "./fake-tools.ts";

/** Each test has its own, because a legacy table cannot be removed. */
let leaveNetns = () => {};
beforeEach(() => {
  leaveNetns = enterFreshNetns();
});
afterEach(() => leaveNetns());

const NAMES = ["iptables-legacy", "iptables-nft", "ip6tables-legacy", "ip6tables-nft"];

/** The machine's tools, with this variant under the plain name iptables. */
function machine(plain: "legacy" | "nft", names: readonly string[] = NAMES): FakeTools {
  const fake = new FakeTools();
  for (const name of names) fake.real(name, `/usr/sbin/${name}`);
  for (const name of ["iptables", "ip6tables"]) fake.real(name, `/usr/sbin/${name}-${plain}`);
  return fake;
}

function restore(tool: string, table: string, ...lines: string[]): void {
  pipe([`*${table}`, ...lines, "COMMIT", ""].join("\n"), `${tool}-restore`, "--noflush");
}

const hint = (tool: string, chain = "KUBE-IPTABLES-HINT") =>
  restore(tool, "mangle", `:${chain} - [0:0]`);
const rules = (tool: string, count: number) =>
  restore(tool, "filter", ...Array.from({ length: count }, () => "-A INPUT -j ACCEPT"));

/** A chain of kube-proxy with this many rules, and the jumps to it. */
const kubeProxyChains = (tool: string, count: number) =>
  restore(
    tool,
    "nat",
    ":KUBE-SERVICES - [0:0]",
    ...["PREROUTING", "OUTPUT"].map((from) => `-A ${from} -j KUBE-SERVICES`),
    ...Array.from({ length: count }, () => "-A KUBE-SERVICES -j RETURN"),
  );

describe("the variant is", () => {
  test.each([
    [
      "nft, where the kubelet's chain is",
      "legacy",
      () => {
        hint("iptables-nft");
        rules("iptables-legacy", 9);
      },
      "nft",
      "kubelet's chain KUBE-IPTABLES-HINT is in nf_tables",
    ],
    [
      "legacy, where the kubelet's chain is",
      "nft",
      () => {
        hint("iptables-legacy");
        rules("iptables-nft", 9);
      },
      "legacy",
      "kubelet's chain KUBE-IPTABLES-HINT is in the legacy tables",
    ],
    [
      "the variant of an old kubelet's canary for IPv6",
      "nft",
      () => hint("ip6tables-legacy", "KUBE-KUBELET-CANARY"),
      "legacy",
      "kubelet's chain KUBE-KUBELET-CANARY is in the legacy tables",
    ],
    [
      "nft, where the kubelet has left chains in both",
      "legacy",
      () => {
        hint("iptables-legacy");
        hint("ip6tables-nft");
      },
      "nft",
      "kubelet's chain KUBE-IPTABLES-HINT is in nf_tables",
    ],
    [
      "legacy, where more rules are",
      "nft",
      () => {
        rules("iptables-legacy", 3);
        rules("ip6tables-nft", 2);
      },
      "legacy",
      "most rules of other programs are in the legacy tables (at least 3 against 2)",
    ],
    [
      "nft, where more rules are",
      "legacy",
      () => {
        rules("ip6tables-legacy", 1);
        rules("iptables-nft", 2);
      },
      "nft",
      "most rules of other programs are in nf_tables (at least 2 against 1)",
    ],
    [
      "the variant of foreign rules, despite rules with kube-proxy's names",
      "nft",
      () => {
        kubeProxyChains("iptables-nft", 9);
        rules("iptables-legacy", 1);
      },
      "legacy",
      "most rules of other programs are in the legacy tables (at least 1 against 0)",
    ],
    [
      "legacy, where rules of kube-proxy's names are and no others",
      "nft",
      () => {
        kubeProxyChains("iptables-legacy", 1);
        kubeProxyChains("ip6tables-legacy", 1);
      },
      "legacy",
      "existing rules of Sluice or kube-proxy are in the legacy tables",
    ],
    [
      "nft, where rules of kube-proxy's names are and no others",
      "legacy",
      () => kubeProxyChains("ip6tables-nft", 1),
      "nft",
      "existing rules of Sluice or kube-proxy are in nf_tables",
    ],
    [
      "the variant of plain iptables, legacy",
      "legacy",
      () => {},
      "legacy",
      "/iptables writes to the legacy tables",
    ],
    ["the variant of plain iptables, nft", "nft", () => {}, "nft", "/iptables writes to nf_tables"],
  ] as const)("%s", async (_name, plain, prepare, variant, why) => {
    using fake = machine(plain);
    prepare();
    const choice = await chooseTools(fake.options);
    expect(choice).toMatchObject({ variant, missing: [], why: expect.stringContaining(why) });
    expect(choice.tools[4]).toMatchObject({ family: 4, variant });
    expect(choice.tools[6]).toMatchObject({ family: 6, variant });
  });

  test("found without creating a table in the unused variant", async () => {
    using fake = machine("nft");
    expect((await chooseTools(fake.options)).variant).toBe("nft");
    expect(run("cat", "/proc/net/ip_tables_names", "/proc/net/ip6_tables_names")).toBe("");
    expect(run("nft", "list", "tables")).toBe("");
  });

  test("the other one, if tools of the used one are not installed", async () => {
    using fake = machine("nft", ["iptables-nft", "ip6tables-nft"]);
    hint("iptables-legacy");
    rules("iptables-legacy", 1);
    const choice = await chooseTools(fake.options);
    expect(choice.variant).toBe("nft");
    expect(choice.why).toBe(
      "kubelet's chain KUBE-IPTABLES-HINT is in the legacy tables, but that variant does not work: no iptables-legacy or iptables that writes to the legacy tables is installed",
    );
  });
});

test("a held lock changes nothing, and is not waited for", async () => {
  using fake = machine("nft");
  hint("iptables-legacy");
  using _lock = holdLock(fake.folder);
  expect(await chooseTools(fake.options)).toMatchObject({
    variant: "legacy",
    why: "kubelet's chain KUBE-IPTABLES-HINT is in the legacy tables",
    missing: [],
  });
}, 3000);

describe("a family", () => {
  test("without a tool is missing, and the other one is served", async () => {
    using fake = new FakeTools();
    fake.real("iptables", "/usr/sbin/iptables-legacy");
    const choice = await chooseTools(fake.options);
    expect(choice).toMatchObject({ variant: "legacy", tools: { 4: { variant: "legacy" } } });
    expect(choice.missing).toEqual([
      {
        family: 6,
        code: "TOOL_FAILED",
        reason: "no ip6tables-legacy or ip6tables that writes to the legacy tables is installed",
      },
    ]);
  });

  test("without a kernel table is missing, and the other one is served", async () => {
    using fake = machine("nft");
    const words = "can't initialize ip6tables table `nat': Table does not exist";
    fake.set(
      "ip6tables-nft",
      "ip6tables v1.8.9 (nf_tables)",
      `echo "ip6tables: ${words.replaceAll("`", "\\`")}" >&2; exit 3`,
    );
    const choice = await chooseTools(fake.options);
    expect(choice).toMatchObject({ variant: "nft", tools: { 4: { variant: "nft" } } });
    expect(choice.tools[6]).toBeUndefined();
    expect(choice.missing).toEqual([
      { family: 6, code: "TOOL_FAILED", reason: expect.stringContaining(words) },
    ]);
  });
});

describe("nothing can be chosen", () => {
  test("without any tool, and the error names what was searched", async () => {
    using fake = new FakeTools();
    await expect(chooseTools(fake.options)).rejects.toMatchObject({
      code: "TOOL_FAILED",
      message: `find iptables: none of iptables-nft, iptables, iptables-legacy, ip6tables-nft, ip6tables, ip6tables-legacy is in ${fake.folder} together with its -save and -restore (install the package iptables)`,
    });
  });

  test("if the kernel has neither", async () => {
    using fake = new FakeTools();
    const body = "echo 'iptables: Protocol not supported' >&2; exit 1";
    fake.set("iptables-nft", "iptables v1.8.9 (nf_tables)", body);
    fake.set("iptables-legacy", "iptables v1.8.9 (legacy)", body);
    await expect(chooseTools(fake.options)).rejects.toMatchObject({
      code: "KERNEL_UNSUPPORTED",
      message: expect.stringContaining("Protocol not supported"),
    });
  });

  test("if a tool is incomplete, and the error names the missing part", async () => {
    using fake = new FakeTools();
    fake.script("iptables-nft", "echo 'iptables v1.8.9 (nf_tables)'");
    fake.script("iptables-nft-restore", "exit 0");
    await expect(chooseTools(fake.options)).rejects.toMatchObject({
      code: "TOOL_FAILED",
      message: expect.stringContaining(
        `find iptables: no complete tool of iptables runs: ${fake.folder}/iptables-nft: no iptables-nft-save in the same directory; `,
      ),
    });
  });

  test("if a tool does not print its version, and the error repeats its message", async () => {
    using fake = new FakeTools();
    const words = "iptables: Failed to initialize nft: Protocol not supported";
    for (const name of ["iptables-nft", "iptables-nft-save", "iptables-nft-restore"]) {
      fake.script(name, `echo '${words}' >&2; exit 1`);
    }
    await expect(chooseTools(fake.options)).rejects.toMatchObject({
      code: "TOOL_FAILED",
      message: expect.stringContaining(`--version: exit status 1: ${words}`),
    });
  });

  test("without rights", async () => {
    using fake = new FakeTools();
    const deny = "setpriv --bounding-set=-net_admin --inh-caps=-net_admin";
    for (const name of NAMES) fake.real(name, `${deny} /usr/sbin/${name}`);
    await expect(chooseTools(fake.options)).rejects.toMatchObject({
      code: "PERMISSION_DENIED",
      message: expect.stringContaining("CAP_NET_ADMIN"),
    });
  });
});
