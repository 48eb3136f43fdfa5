import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { FakeClock } from "../../harness/fakes/fake-clock.ts";
import { readableLog } from "../../harness/fakes/readable-log.ts";
import { useFreshNetns } from "../../harness/fresh-netns.ts";
import { SYSCTL_CHECK_MS } from "../../src/base/limits.ts";
import type { ConntrackSettings } from "../../src/config/config.ts";
import { HostSettings, INIT_ONLY_MESSAGE, initializeHost } from "../../src/host/host-settings.ts";
import { KernelFiles } from "../../src/host/kernel-files.ts";
import { ProblemRegistry } from "../../src/problems/problem-registry.ts";

const DEFAULTS: ConntrackSettings = {
  maxPerCore: 32_768,
  min: 131_072,
  tcpBeLiberal: false,
  tcpEstablishedMs: 86_400_000,
  tcpCloseWaitMs: 3_600_000,
  udpMs: 0,
  udpStreamMs: 0,
};
/** Causes of failures, as KernelFiles.write returns them. */
const EROFS = "read-only file system (EROFS)";
const EACCES = "permission denied (EACCES)";
const ROUTE_LOCALNET = "/proc/sys/net/ipv4/conf/all/route_localnet";
/** The values of a machine with 4 CPUs and little memory. */
const FRESH = {
  nf_conntrack_max: 65_536,
  nf_conntrack_buckets: 16_384,
  nf_conntrack_tcp_timeout_established: 432_000,
  nf_conntrack_tcp_timeout_close_wait: 60,
  nf_conntrack_tcp_be_liberal: 0,
  nf_conntrack_udp_timeout: 30,
  nf_conntrack_udp_timeout_stream: 120,
};

function hostOf(files: KernelFiles) {
  const { log, lines } = readableLog();
  const problems = new ProblemRegistry(({ message }) => log.warn(message));
  const clock = new FakeClock();
  const settings = new HostSettings({
    clock,
    log,
    files,
    problems: (events) => problems.report(events),
  });
  return { settings, problems, lines, clock };
}

describe("on a fake machine", () => {
  let root: string;
  beforeEach(() => {
    root = mkdtempSync(join(tmpdir(), "sluice-host-"));
    put("/sys/devices/system/cpu/online", "0-3");
    put("/proc/self/oom_score_adj", "0");
    for (const [name, value] of Object.entries(FRESH)) put(sysctl(name), `${value}`);
  });
  afterEach(() => rmSync(root, { recursive: true, force: true }));

  const sysctl = (name: string) => `/proc/sys/net/netfilter/${name}`;
  function put(path: string, text: string): void {
    mkdirSync(join(root, path, ".."), { recursive: true });
    writeFileSync(root + path, `${text}\n`);
  }
  const read = (path: string) => readFileSync(root + path, "utf8").trim();

  test("sysctls are set, each with a log line, and not written if they are already right", () => {
    const { settings, problems, lines } = hostOf(new KernelFiles(root));
    expect(settings.tuneConntrack(DEFAULTS)).toBe(true);
    expect(
      Object.fromEntries(Object.keys(FRESH).map((name) => [name, read(sysctl(name))])),
    ).toEqual({
      nf_conntrack_max: "131072",
      nf_conntrack_buckets: "32768",
      nf_conntrack_tcp_timeout_established: "86400",
      nf_conntrack_tcp_timeout_close_wait: "3600",
      nf_conntrack_tcp_be_liberal: "0",
      nf_conntrack_udp_timeout: "30",
      nf_conntrack_udp_timeout_stream: "120",
    });
    expect(lines).toEqual([
      'I Set sysctl name="net.netfilter.nf_conntrack_max" value=131072 before=65536',
      'I Set sysctl name="net.netfilter.nf_conntrack_buckets" value=32768 before=16384',
      'I Set sysctl name="net.netfilter.nf_conntrack_tcp_timeout_established" value=86400 before=432000',
      'I Set sysctl name="net.netfilter.nf_conntrack_tcp_timeout_close_wait" value=3600 before=60',
    ]);
    // Without a write, no privilege is needed.
    const reading = hostOf(
      new (class extends KernelFiles {
        override write = () => EACCES;
      })(root),
    );
    reading.settings.tuneConntrack(DEFAULTS);
    expect([problems.list().length, reading.problems.list().length, reading.lines]).toEqual([
      0,
      0,
      [],
    ]);
  });

  test("a failed write is a problem with a hint until it succeeds, and is logged once", () => {
    let failure = EROFS;
    class Files extends KernelFiles {
      override write(path: string, value: number): string {
        return failure === "" ? super.write(path, value) : failure;
      }
    }
    const { settings, problems, lines } = hostOf(new Files(root));
    const only = {
      ...DEFAULTS,
      tcpEstablishedMs: 0,
      tcpCloseWaitMs: 0,
      min: 0,
      maxPerCore: 16_385,
    };
    const message = (reason: string) =>
      `change net.netfilter.nf_conntrack_max from 65536 to 65540: ${reason} (run \`sysctl -w net.netfilter.nf_conntrack_max=65540\` on the node, or sluice --init-only with all privileges)`;
    settings.tuneConntrack(only);
    settings.tuneConntrack(only);
    expect(problems.list()).toContainEqual({
      subject: "sysctl net.netfilter.nf_conntrack_max",
      code: "SYSCTL_REFUSED",
      field: "conntrack.maxPerCore",
      message: message(EROFS),
    });
    expect(lines.filter((line) => line.includes("nf_conntrack_max"))).toEqual([
      `W ${message(EROFS)}`,
    ]);
    failure = EACCES;
    settings.tuneConntrack(only);
    expect(lines.filter((line) => line.includes("nf_conntrack_max"))[1]).toBe(
      `W ${message(EACCES)}`,
    );
    failure = "";
    settings.tuneConntrack(only);
    expect(problems.list()).toEqual([]);
  });

  test("a failed setting is checked every minute, and is a problem until the operator sets it", async () => {
    let writes = 0;
    class Refusing extends KernelFiles {
      override write(path: string, value: number): string {
        writes++;
        return path.endsWith("_max") ? EROFS : super.write(path, value);
      }
    }
    const { settings, problems, lines, clock } = hostOf(new Refusing(root));
    settings.tuneConntrack(DEFAULTS);
    expect([problems.list().length, writes]).toEqual([1, 4]);
    // A setting that was applied belongs to the operator from then on.
    put(sysctl("nf_conntrack_tcp_timeout_close_wait"), "120");
    await clock.advance(SYSCTL_CHECK_MS);
    expect([problems.list().length, writes]).toEqual([1, 5]);
    put(sysctl("nf_conntrack_max"), "131072");
    await clock.advance(SYSCTL_CHECK_MS - 1);
    expect(problems.list()).toHaveLength(1);
    await clock.advance(1);
    expect([problems.list(), writes, clock.waiting]).toEqual([[], 5, 0]);
    expect(read(sysctl("nf_conntrack_tcp_timeout_close_wait"))).toBe("120");
    expect(lines.filter((line) => line.startsWith("W"))).toHaveLength(1);
  });

  test("a module that is loaded late is found and configured", async () => {
    rmSync(root + sysctl(""), { recursive: true });
    const { settings, problems, clock } = hostOf(new KernelFiles(root));
    settings.tuneConntrack(DEFAULTS);
    for (const [name, value] of Object.entries(FRESH)) put(sysctl(name), `${value}`);
    await clock.advance(SYSCTL_CHECK_MS);
    expect([problems.list(), read(sysctl("nf_conntrack_max"))]).toEqual([[], "131072"]);
    expect(clock.waiting).toBe(0);
  });

  test("nothing is checked after the end", () => {
    rmSync(root + sysctl(""), { recursive: true });
    const { settings, clock } = hostOf(new KernelFiles(root));
    settings.tuneConntrack(DEFAULTS);
    expect(clock.waiting).toBe(1);
    settings.stop();
    expect(clock.waiting).toBe(0);
  });

  test("a missing sysctl is a problem, and the others are still set", () => {
    rmSync(root + sysctl("nf_conntrack_buckets"));
    const { settings, problems } = hostOf(new KernelFiles(root));
    settings.tuneConntrack(DEFAULTS);
    expect(
      problems
        .list()
        .map(({ subject, message }) => [subject, /: (.*?\)) \(run/.exec(message)?.[1]]),
    ).toEqual([
      ["sysctl net.netfilter.nf_conntrack_buckets", "no such file or directory (ENOENT)"],
    ]);
    expect(read(sysctl("nf_conntrack_tcp_timeout_close_wait"))).toBe("3600");
  });

  test("a kernel without connection tracking is one problem until it has it", () => {
    rmSync(root + sysctl(""), { recursive: true });
    const { settings, problems, lines } = hostOf(new KernelFiles(root));
    expect(settings.tuneConntrack(DEFAULTS)).toBe(false);
    expect(lines).toEqual([
      "W set conntrack sysctls: /proc/sys/net/netfilter is missing or not readable (run `modprobe nf_conntrack` on the node)",
    ]);
    for (const [name, value] of Object.entries(FRESH)) put(sysctl(name), `${value}`);
    expect(settings.tuneConntrack(DEFAULTS)).toBe(true);
    expect(problems.list()).toHaveLength(0);
    expect(read(sysctl("nf_conntrack_max"))).toBe("131072");
  });

  test("a configuration without conntrack settings gives no problem without connection tracking", () => {
    rmSync(root + sysctl(""), { recursive: true });
    const { settings, lines } = hostOf(new KernelFiles(root));
    settings.tuneConntrack({ ...DEFAULTS, maxPerCore: 0, tcpEstablishedMs: 0, tcpCloseWaitMs: 0 });
    expect(lines).toEqual([]);
  });

  test("a problem is resolved when the configuration no longer asks for the setting", () => {
    rmSync(root + sysctl("nf_conntrack_buckets"));
    const { settings, problems } = hostOf(new KernelFiles(root));
    settings.tuneConntrack(DEFAULTS);
    expect(problems.list()).toHaveLength(1);
    settings.tuneConntrack({ ...DEFAULTS, maxPerCore: 0 });
    expect(problems.list()).toHaveLength(0);
  });

  test("oom_score_adj is set, and not again", () => {
    let writes = 0;
    class Counting extends KernelFiles {
      override write(path: string, value: number): string {
        writes++;
        return super.write(path, value);
      }
    }
    const { settings } = hostOf(new Counting(root));
    settings.adjustOomScore(-999);
    settings.adjustOomScore(-999);
    expect([writes, read("/proc/self/oom_score_adj")]).toEqual([1, "-999"]);
  });

  test("oom_score_adj that cannot be set is a problem until it is right", () => {
    let cause = EACCES;
    class Refusing extends KernelFiles {
      override write(path: string, value: number): string {
        return cause || super.write(path, value);
      }
    }
    const { settings, problems } = hostOf(new Refusing(root));
    settings.adjustOomScore(-999);
    settings.adjustOomScore(-999);
    expect(problems.list()).toMatchObject([
      {
        subject: "oom_score_adj",
        code: "SYSCTL_REFUSED",
        field: "oomScoreAdj",
        message:
          "change oom_score_adj from 0 to -999: permission denied (EACCES; grant CAP_SYS_RESOURCE, or set OOMScoreAdjust= in the systemd unit)",
      },
    ]);
    cause = "";
    settings.adjustOomScore(-999);
    expect(problems.list()).toHaveLength(0);
  });

  test("--init-only sets the sysctls after the probe, which loads the module", async () => {
    rmSync(root + sysctl(""), { recursive: true });
    const { settings, problems } = hostOf(new KernelFiles(root));
    const probe = async () => {
      for (const [name, value] of Object.entries(FRESH)) put(sysctl(name), `${value}`);
      return { localhostNodePorts: false };
    };
    const config = { conntrack: DEFAULTS, localhostNodePorts: false };
    expect(await initializeHost(config, settings, probe)).toBe(INIT_ONLY_MESSAGE);
    expect([problems.list().length, read(sysctl("nf_conntrack_max"))]).toEqual([0, "131072"]);
  });

  test.each([
    ["iptables", true, "1"],
    ["iptables", false, "0"],
    ["nftables", true, "0"],
  ] as const)(
    "--init-only with %s and localhostNodePorts %p leaves route_localnet at %s",
    async (served, localhostNodePorts, wanted) => {
      put(ROUTE_LOCALNET, "0");
      const { settings } = hostOf(new KernelFiles(root));
      const config = { conntrack: DEFAULTS, localhostNodePorts };
      await initializeHost(config, settings, async () => ({
        localhostNodePorts: served === "iptables",
      }));
      expect(read(ROUTE_LOCALNET)).toBe(wanted);
    },
  );

  test("route_localnet is set once, and stays set when it is no longer wanted", () => {
    put(ROUTE_LOCALNET, "0");
    const { settings, problems, lines } = hostOf(new KernelFiles(root));
    for (const wanted of [true, true, false]) settings.routeLocalnet(wanted);
    expect([read(ROUTE_LOCALNET), problems.list(), lines]).toEqual([
      "1",
      [],
      ['I Set sysctl name="net.ipv4.conf.all.route_localnet" value=1 before=0'],
    ]);
  });

  test("a failure to set route_localnet is a problem until it is set or no longer wanted", async () => {
    class Refusing extends KernelFiles {
      override write = () => EROFS;
    }
    put(ROUTE_LOCALNET, "0");
    const { settings, problems, clock } = hostOf(new Refusing(root));
    settings.routeLocalnet(true);
    expect(problems.list()).toEqual([
      expect.objectContaining({
        subject: "sysctl net.ipv4.conf.all.route_localnet",
        code: "SYSCTL_REFUSED",
        field: "iptables.localhostNodePorts",
        message: expect.stringMatching(
          /^change net.ipv4.conf.all.route_localnet from 0 to 1: read-only file system \(EROFS\) /,
        ),
      }),
    ]);
    settings.routeLocalnet(false);
    expect([problems.list(), clock.waiting]).toEqual([[], 0]);
    settings.routeLocalnet(true);
    put(ROUTE_LOCALNET, "1");
    await clock.advance(SYSCTL_CHECK_MS);
    expect([problems.list(), clock.waiting]).toEqual([[], 0]);
  });
});

describe("in a real network namespace", () => {
  useFreshNetns();
  const files = new KernelFiles();
  const value = (name: string) => files.number(`/proc/sys/net/netfilter/${name}`);

  test("its own sysctls are set, and a global one that is too low is a problem", () => {
    const max = value("nf_conntrack_max") ?? 0;
    const { settings, problems } = hostOf(files);
    const more = { ...DEFAULTS, min: max + 4, maxPerCore: 1, tcpBeLiberal: true, udpMs: 11_000 };
    expect(settings.tuneConntrack(more)).toBe(true);
    expect(value("nf_conntrack_tcp_timeout_established")).toBe(86_400);
    expect(value("nf_conntrack_tcp_timeout_close_wait")).toBe(3600);
    expect(value("nf_conntrack_tcp_be_liberal")).toBe(1);
    expect(value("nf_conntrack_udp_timeout")).toBe(11);
    expect(value("nf_conntrack_max")).toBe(max);
    expect(
      problems.of("sysctl net.netfilter.nf_conntrack_max").map(({ message }) => message),
    ).toEqual([expect.stringContaining(`from ${max} to ${max + 4}: `)]);
  });

  test("a setting that is already right needs no privileges", () => {
    const { settings, problems, lines } = hostOf(files);
    settings.tuneConntrack({ ...DEFAULTS, maxPerCore: 1, min: 1 });
    expect([problems.list().length, lines]).toEqual([0, []]);
  });

  test("route_localnet is set in this network namespace", () => {
    const { settings, problems } = hostOf(files);
    expect(files.number(ROUTE_LOCALNET)).toBe(0);
    settings.routeLocalnet(true);
    expect([files.number(ROUTE_LOCALNET), problems.list()]).toEqual([1, []]);
  });
});
