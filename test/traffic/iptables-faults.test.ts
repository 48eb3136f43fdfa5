/** Faults of the iptables tools, and of the kernel behind them. */
import { afterEach, describe, expect, test } from "bun:test";
import { BINARY } from "../../harness/binary.ts";
import { FAMILIES } from "../../harness/netns/addresses.ts";
import {
  lockOf,
  rulesInKernel,
  savedRules,
  VARIANTS,
  type Variant,
} from "../../harness/netns/backends.ts";
import { answers, outcome, type Target, useLongTimeout } from "../../harness/netns/connections.ts";
import { missingMatch, unknownArgument } from "../../harness/netns/iptables-tools.ts";
import {
  DEFAULT_FLAGS,
  type ProgramOptions,
  ruleset,
  SluiceProcess,
} from "../../harness/netns/program.ts";
import { World } from "../../harness/netns/world.ts";
import {
  externalIps,
  type ServiceSpec,
  service,
  slices,
} from "../../harness/netns/world-objects.ts";
import { pollUntil } from "../../harness/waiting.ts";

useLongTimeout();

const FLAGS = [...DEFAULT_FLAGS, "--iptables-sync-period=1s"];

let world: World | undefined;
afterEach(() => world?.close());

const WEB: ServiceSpec = { name: "web", number: 1, type: "LoadBalancer" };
const TARGETS: readonly Target[] = FAMILIES.flatMap((family) => [
  { from: "a3", to: "clusterIP", number: 1, family },
  { from: "outside", to: "vip", number: 1, family },
  { from: "outside", to: "node port", number: 1, family },
]);

/** Builds a world with a Service. The program is not started yet. */
async function given(options: ProgramOptions): Promise<{ world: World; program: SluiceProcess }> {
  const built = await World.build();
  world = built;
  const program = new SluiceProcess(built, options);
  program.put([service(WEB), ...slices(WEB.name, ["a1", "b1"])]);
  return { world: built, program };
}

async function expectServed(world: World): Promise<void> {
  for (const target of TARGETS) expect(await answers(world, target)).toEqual(["a1", "b1"]);
}

async function health(program: SluiceProcess): Promise<number> {
  return (await program.get("/healthz", 10256)).status;
}

/** Runs the program until it exits. */
async function end(program: SluiceProcess): Promise<{ code: number | null; output: string }> {
  program.write();
  program.spawn(FLAGS);
  const code = await program.exited();
  return { code, output: program.log() };
}

describe("without iptables tools", () => {
  test("mode iptables exits and says what to install and where it searched", async () => {
    const { program } = await given({ backend: "iptables-nft", tools: { variants: [] } });
    const { code, output } = await end(program);
    expect(code).toBe(1);
    expect(output).toContain("(install the package iptables)");
    expect(output).toContain("iptables-legacy");
    expect(output).toContain("/usr/sbin");
  });

  test("mode auto serves with nftables", async () => {
    const { world, program } = await given({ tools: { variants: [] } });
    await program.start([...FLAGS, "--proxy-mode=auto"]);
    await expectServed(world);
    expect(await ruleset(world)).toContain("table inet sluice");
  });

  test("cleanup removes the table of nftables mode", async () => {
    const { world, program } = await given({ tools: { variants: [] } });
    await program.start(FLAGS);
    await program.stop();
    const cleanup = Bun.spawn(program.commandOnNode([BINARY, "--cleanup"]), { stderr: "pipe" });
    expect(await cleanup.exited).toBe(0);
    expect(await ruleset(world)).not.toContain("sluice");
  });
});

describe("without nftables", () => {
  // This hides nfnetlink from one process, because the test cannot boot another kernel.
  const wrapper = [process.execPath, `${import.meta.dir}/../../harness/netns/without-nfnetlink.ts`];

  test("mode auto serves with iptables and logs why", async () => {
    const { world, program } = await given({ wrapper, tools: { variants: ["legacy"] } });
    await program.start([...FLAGS, "--proxy-mode=auto"]);
    await expectServed(world);
    expect(program.log()).toMatch(/Using iptables because nftables does not work on this node/);
    expect(program.log()).toMatch(/NETLINK_SOCKET/);
    expect(await savedRules(world, "legacy", 4)).toContain("KUBE-SERVICES");
    expect(await ruleset(world)).not.toContain("table inet sluice");
  });

  test("mode auto without iptables tools exits with both reasons", async () => {
    const { program } = await given({ wrapper, tools: { variants: [] } });
    const { code, output } = await end(program);
    expect(code).toBe(1);
    expect(output).toMatch(
      /no usable backend: iptables: .*\(install the package iptables\).*; nftables: /,
    );
  });

  test("mode nftables exits and names the modes that may work", async () => {
    const { program } = await given({ wrapper });
    program.write();
    program.spawn([...FLAGS, "--proxy-mode=nftables"]);
    expect(await program.exited()).toBe(1);
    expect(program.log()).toMatch(
      /protocol not supported \(EPROTONOSUPPORT\).* \(mode iptables or auto may work on this node\)/,
    );
  });
});

describe.each([...VARIANTS])("iptables-%s", (variant: Variant) => {
  const backend = `iptables-${variant}` as const;

  test("without ip6tables, IPv4 is served and IPv6 is reported as not served", async () => {
    const { world, program } = await given({
      backend,
      tools: { variants: [variant], families: ["iptables"] },
    });
    // `start` would wait for rules of both families.
    program.write();
    program.spawn(FLAGS);
    expect(
      await pollUntil(
        () => health(program),
        (code) => code === 200,
      ),
    ).toBe(200);
    for (const target of TARGETS.filter(({ family }) => family === 4)) {
      expect(await answers(world, target)).toEqual(["a1", "b1"]);
    }
    const read = async (path: string, port?: number) =>
      JSON.parse((await program.get(path, port)).body);
    const message = expect.stringMatching(/^IPv6 is not served: no ip6tables.* is installed/);
    expect(await program.problems()).toMatchObject([
      { code: "TOOL_FAILED", subject: "IPv6", message },
    ]);
    expect((await read("/sluice/v1/state")).notices).toContainEqual(message);
    const { status, notices } = await read("/healthz", 10256);
    expect([Object.keys(status), notices]).toEqual([["IPv4"], [message]]);
    const { frontends } = await read("/sluice/v1/services/default/web");
    for (const { family, unserved } of frontends) {
      expect(unserved !== undefined).toBe(family === 6);
    }
  });

  test("a refused rule is a problem of its Service that names the line; the rest is served", async () => {
    const { world, program } = await given({ backend });
    program.put([
      service({ name: "bad", number: 2, type: "LoadBalancer", externalIPs: externalIps(2) }),
      ...slices("bad", ["a1"]),
    ]);
    program.fakeTools?.refuse([
      unknownArgument("-d 198\\.18\\.0\\.2/32 ", "host/network `198.18.0.2' not found"),
    ]);
    await program.start(FLAGS);
    await expectServed(world);
    const refused = await pollUntil(
      () => program.problems(),
      (list) => list.length > 0,
    );
    expect(refused.map(({ code, subject }) => ({ code, subject }))).toEqual([
      { code: "RULES_REFUSED", subject: "Service default/bad" },
    ]);
    expect(refused[0]?.message).toContain("host/network `198.18.0.2' not found");
    expect(refused[0]?.message).toMatch(/line \d+: .*-d 198\.18\.0\.2\/32/);
    // Changes of other Services are still applied.
    program.put(slices(WEB.name, ["a2"]));
    await program.untilSettled();
    for (const target of TARGETS) expect(await answers(world, target)).toEqual(["a2"]);
    program.fakeTools?.acceptAll();
    const bad: Target = { from: "outside", to: "externalIP", number: 2, family: 4 };
    const name = () => outcome(world, bad);
    expect(await pollUntil(name, (each) => each === "a1")).toBe("a1");
    expect(
      await pollUntil(
        () => program.problems(),
        (list) => list.length === 0,
      ),
    ).toEqual([]);
  });

  test("no rule needs an ipset, for any kind of Service", async () => {
    const { world, program } = await given({ backend });
    const all: readonly ServiceSpec[] = [
      { name: "near", number: 2, type: "LoadBalancer", externalPolicy: "Local" },
      { name: "sticky", number: 3, type: "NodePort", affinitySeconds: 60 },
      {
        name: "restricted",
        number: 4,
        type: "LoadBalancer",
        sourceRanges: ["10.0.0.0/8", "fd00::/8"],
      },
      { name: "empty", number: 5, type: "NodePort" },
    ];
    for (const each of all) {
      program.put([service(each), ...slices(each.name, each.name === "empty" ? [] : ["a1", "b1"])]);
    }
    // The program finds only the iptables tools.
    await program.start(FLAGS);
    for (const family of FAMILIES) {
      const rules = await savedRules(world, variant, family);
      expect(rules).toContain("-s");
      expect(rules).not.toMatch(/-m set|--match-set/);
    }
  });

  test.each(["statistic", "conntrack", "addrtype"])(
    "without xt_%s in the kernel, mode iptables exits and names it",
    async (match) => {
      const { program } = await given({ backend });
      program.fakeTools?.refuse([missingMatch(match, variant)]);
      const { code, output } = await end(program);
      expect(code).toBe(1);
      expect(output).toContain(`xt_${match} (CONFIG_NETFILTER_XT_MATCH_${match.toUpperCase()})`);
    },
  );

  test("without xt_statistic, mode auto serves with nftables", async () => {
    const { world, program } = await given({ tools: { variants: [variant] } });
    program.fakeTools?.refuse([missingMatch("statistic", variant)]);
    await program.start([...FLAGS, "--proxy-mode=auto"]);
    await expectServed(world);
    expect(await ruleset(world)).toContain("table inet sluice");
  });

  test("without xt_comment, Services are served by rules without comments", async () => {
    const { world, program } = await given({ backend });
    program.fakeTools?.refuse([missingMatch("comment", variant)]);
    await program.start(FLAGS);
    await expectServed(world);
    expect(await program.problems()).toEqual([]);
    for (const family of FAMILIES) {
      expect(await savedRules(world, variant, family)).not.toContain("--comment");
    }
  });

  test("without xt_recent, Services are served without affinity, and the log says so", async () => {
    const { world, program } = await given({ backend });
    program.put([
      service({ name: "sticky", number: 2, affinitySeconds: 60 }),
      ...slices("sticky", ["a1", "b1"]),
    ]);
    program.fakeTools?.refuse([missingMatch("recent", variant)]);
    await program.start(FLAGS);
    await expectServed(world);
    for (const family of FAMILIES) {
      const sticky: Target = { from: "a3", to: "clusterIP", number: 2, family };
      expect(await answers(world, sticky)).toEqual(["a1", "b1"]);
      expect(program.log()).toContain(
        `IPv${family}: session affinity does not work, because the kernel lacks xt_recent`,
      );
    }
  });
});

/** Holds the xtables lock until `letGo`. */
async function holdLock(world: World): Promise<{ letGo(): Promise<void> }> {
  const holder = Bun.spawn(["flock", lockOf(world), "sh", "-c", "echo held; exec cat"], {
    stdin: "pipe",
    stdout: "pipe",
  });
  await holder.stdout.getReader().read();
  return {
    async letGo() {
      // It releases the lock at the end of its input.
      holder.stdin.end();
      await holder.exited;
    },
  };
}

const WAITS = "Waiting for the xtables lock, which another program holds";

describe("while another program holds the xtables lock", () => {
  const BOTH: ProgramOptions = {
    backend: "iptables-legacy",
    tools: { variants: ["legacy", "nft"] },
  };

  test("a first start waits, logs that once, stops on request, and serves when the lock is free", async () => {
    const { world, program } = await given(BOTH);
    const lock = await holdLock(world);
    const output = async () => program.log();
    try {
      program.write();
      program.spawn(FLAGS);
      expect(await pollUntil(output, (text) => text.includes(WAITS))).toContain(WAITS);
      await program.stop();
      expect(program.log()).toContain("Stopping before startup completed");
      program.spawn(FLAGS);
      expect(await pollUntil(output, (text) => text.split(WAITS).length === 3)).toContain(WAITS);
    } finally {
      await lock.letGo();
    }
    await program.untilInForce();
    await expectServed(world);
    expect(program.log().split(WAITS).length).toBe(3);
  });

  test("a restart keeps its variant and serves without the lock", async () => {
    const { world, program } = await given(BOTH);
    await program.start(FLAGS);
    await program.stop();
    const before = await rulesInKernel(world, "iptables-legacy");
    const lock = await holdLock(world);
    try {
      program.spawn(FLAGS);
      const output = async () => program.log();
      const adopted = /Adopted/;
      expect(await pollUntil(output, (text) => adopted.test(text))).toMatch(adopted);
      await expectServed(world);
    } finally {
      await lock.letGo();
    }
    await program.untilInForce();
    expect(await rulesInKernel(world, "iptables-legacy")).toBe(before);
    expect(await savedRules(world, "nft", 4)).not.toContain("KUBE-SERVICES");
  });
});

test("the legacy tools need two capabilities; the error names the missing one", async () => {
  const { program } = await given({
    backend: "iptables-legacy",
    wrapper: ["setpriv", "--bounding-set=-all,+net_admin"],
  });
  const { code, output } = await end(program);
  expect(code).toBe(1);
  expect(output).toContain("(iptables-legacy needs CAP_NET_RAW in this network namespace)");
});

test("while another program holds the xtables lock, health fails and rules keep serving; then changes arrive", async () => {
  const { world, program } = await given({ backend: "iptables-legacy" });
  await program.start(FLAGS);
  await expectServed(world);
  // It releases the lock at the end of its input.
  const holder = Bun.spawn(["flock", lockOf(world), "sh", "-c", "echo held; exec cat"], {
    stdin: "pipe",
    stdout: "pipe",
  });
  try {
    await holder.stdout.getReader().read();
    program.put(slices(WEB.name, ["a2"]));
    program.write();
    expect(
      await pollUntil(
        () => health(program),
        (status) => status === 503,
      ),
    ).toBe(503);
    expect((await program.get("/metrics")).status).toBe(200);
    const output = async () => program.log();
    const words = "holding the xtables lock";
    expect(await pollUntil(output, (text) => text.includes(words))).toContain(words);
    expect((await program.get("/sluice/v1/state")).status).toBe(200);
    // The rules in the kernel keep serving.
    await expectServed(world);
  } finally {
    holder.stdin.end();
    await holder.exited;
  }
  await program.untilInForce();
  for (const target of TARGETS) expect(await answers(world, target)).toEqual(["a2"]);
  expect(
    await pollUntil(
      () => health(program),
      (status) => status === 200,
    ),
  ).toBe(200);
});
