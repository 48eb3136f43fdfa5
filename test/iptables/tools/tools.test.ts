import { afterEach, describe, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { run } from "../../../harness/commands.ts";
import { useFreshNetns } from "../../../harness/fresh-netns.ts";
import { LegacyTables } from "../../../src/iptables/tools/legacy-tables.ts";
import { toolCapabilities } from "../../../src/iptables/tools/tools.ts";
import { FakeTools, toolsOf } from "./fake-tools.ts";

useFreshNetns();

const TEXT = "*nat\n:A - [0:0]\n-A A -j ACCEPT\nCOMMIT\n*filter\n:B - [0:0]\nCOMMIT\n";

describe.each(["legacy", "nft"] as const)("%s", (variant) => {
  describe.each([4, 6] as const)("of IPv%d", (family) => {
    test("several tables are written in one restore, which changes nothing else in them", async () => {
      const tools = await toolsOf(family, variant);
      await tools.restore("*nat\n:OTHERS - [0:0]\n-A OUTPUT -j OTHERS\nCOMMIT\n");
      expect(await tools.restore(TEXT)).toEqual({ ok: true });
      const nat = await tools.save("nat");
      expect(nat).toContain("-A OUTPUT -j OTHERS\n");
      expect(nat).toContain("-A A -j ACCEPT\n");
      expect(await tools.save("filter")).toContain("\n:B - [0:0]\n");
      expect(await tools.list("nat", "A")).toBe("-N A\n-A A -j ACCEPT\n");
      expect(await tools.list("filter", "B")).toBe("-N B\n");
      expect(await tools.list("nat", "POSTROUTING")).toBe("-P POSTROUTING ACCEPT\n");
    });

    test("a missing chain is not an error, in an existing or missing table", async () => {
      const tools = await toolsOf(family, variant);
      expect(await tools.list("nat", "NOBODY")).toBeUndefined();
      expect(await tools.list("mangle", "NOBODY")).toBeUndefined();
      expect(await tools.list("nat", "A")).toBeDefined();
    });
  });
});

test.each([4, 6] as const)(
  "the chains of a legacy table are read in one step (IPv%i)",
  async (family) => {
    await (await toolsOf(family, "legacy")).restore(TEXT);
    const chains = await new LegacyTables(family).chains("nat");
    expect([chains.has("A"), chains.has("POSTROUTING"), chains.has("NOBODY")]).toEqual([
      true,
      true,
      false,
    ]);
  },
);

test("a table of nf_tables that iptables cannot print is an error rather than empty", async () => {
  const tools = await toolsOf(4, "nft");
  await tools.restore(TEXT);
  run("nft", "add", "map", "ip", "nat", "m", "{ type ipv4_addr : ipv4_addr; }");
  run("nft", "add", "rule", "ip", "nat", "A", "dnat to ip saddr map @m");
  try {
    const refused = { code: "TOOL_FAILED", message: expect.stringContaining("incompatible") };
    await expect(tools.save("nat")).rejects.toMatchObject(refused);
    await expect(tools.list("nat", "A")).rejects.toMatchObject(refused);
    expect(await tools.list("nat", "NOBODY")).toBeUndefined();
  } finally {
    run("nft", "delete", "table", "ip", "nat");
  }
});

test("without rights the error says so", async () => {
  using fake = new FakeTools();
  const deny = "setpriv --bounding-set=-net_admin --inh-caps=-net_admin";
  for (const name of ["iptables-legacy", "iptables-nft"]) {
    fake.real(name, `${deny} /usr/sbin/${name}`);
  }
  for (const variant of ["legacy", "nft"] as const) {
    const tools = await fake.tools(4, variant);
    const output = expect.stringContaining("Permission denied (you must be root)");
    const result = await tools.restore(TEXT);
    expect(result).toMatchObject({ ok: false, kind: "failed" });
    // A legacy restore prints no cause.
    if (variant === "nft") expect(result).toMatchObject({ message: output });
    await expect(tools.list("nat", "A")).rejects.toMatchObject({ message: output });
  }
});

describe("the xtables lock", () => {
  const folder = mkdtempSync(join(tmpdir(), "xtables-lock-"));
  const path = join(folder, "lock");
  let stop = async () => {};
  afterEach(async () => {
    await stop();
    delete process.env["XTABLES_LOCKFILE"];
    rmSync(folder, { recursive: true, force: true });
  });

  /** A private file instead of the one that all network namespaces of the machine share. */
  async function hold(): Promise<void> {
    process.env["XTABLES_LOCKFILE"] = path;
    const holder = Bun.spawn(["flock", path, "sh", "-c", "echo held; read -r x"], {
      stdin: "pipe",
      stdout: "pipe",
    });
    stop = async () => {
      holder.stdin.end();
      await holder.exited;
    };
    await holder.stdout.getReader().read();
  }

  test("that is held for too long is recognized, and the tools wait for it", async () => {
    using fake = new FakeTools();
    fake.real("iptables-legacy", "/usr/sbin/iptables-legacy");
    // Shorter than 5 s.
    fake.script(
      "iptables-legacy-restore",
      "shift 2; exec /usr/sbin/iptables-legacy-restore -w 1 $@",
    );
    await hold();
    const tools = await fake.tools(4, "legacy");
    expect(await tools.restore(TEXT)).toMatchObject({
      ok: false,
      kind: "locked",
      message: expect.stringContaining("Another app is currently holding the xtables lock"),
    });
    const waits = (await toolsOf(4, "legacy")).restore(TEXT);
    expect(await Promise.race([waits, Bun.sleep(0)])).toBeUndefined();
    await stop();
    expect(await waits).toEqual({ ok: true });
  });
});

describe("a tool that", () => {
  /** Arguments of each call, one line per call. */
  const LOG = 'echo "$(basename "$0") $*" >>"$(dirname "$0")/log"; cat >/dev/null';

  test.each([
    ["1.4.19", "iptables-restore --noflush"],
    ["1.6.1", "iptables-restore --noflush"],
    ["1.6.2", "iptables-restore -w 5 --noflush"],
  ])(
    "has version %s gets its supported option to wait for the lock on writes, and none on reads",
    async (version, restore) => {
      using fake = new FakeTools();
      fake.set("iptables", `iptables v${version}`, LOG);
      const tools = await fake.tools(4, "legacy");
      expect(tools.randomFully).toBe(version === "1.6.2");
      await tools.list("nat", "A");
      await tools.restore(TEXT);
      await tools.save("filter");
      const log = readFileSync(join(fake.folder, "log"), "utf8");
      expect(log).toBe(`iptables-save -t nat\n${restore}\niptables-save -t filter\n`);
    },
  );

  test("is killed, or vanishes, has failed", async () => {
    using fake = new FakeTools();
    fake.set("iptables", "iptables v1.8.9 (nf_tables)", "kill -9 $$");
    const tools = await fake.tools(4, "nft");
    const failed = (why: string) => {
      const message = expect.stringMatching(new RegExp(`/iptables-restore .*: ${why}$`));
      return { ok: false, kind: "failed", lines: [], message } as const;
    };
    expect(await tools.restore(TEXT)).toEqual(failed("killed by SIGKILL"));
    rmSync(join(fake.folder, "iptables-restore"));
    expect(await tools.restore(TEXT)).toEqual(failed("no such file or directory \\(ENOENT\\)"));
  });
});

test.each([
  ["1.4.19", []],
  ["1.6.1", []],
  ["1.6.2", ["restoreWait", "randomFully"]],
  ["1.8", ["restoreWait", "randomFully"]],
  ["1.10.0", ["restoreWait", "randomFully"]],
  ["2.0", ["restoreWait", "randomFully"]],
  ["", ["restoreWait", "randomFully"]],
])("version %p has the features that Kubernetes expects", (version, can) => {
  const has = Object.entries(toolCapabilities(version)).flatMap(([name, is]) => (is ? [name] : []));
  expect(has).toEqual(can);
});
