import { afterAll, describe, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { BINARY, missingBinary } from "../../harness/binary.ts";
import { createNamespace } from "../../harness/cluster/cabled-netns.ts";
import { runAsync } from "../../harness/commands.ts";
import { startDaemon } from "../../harness/daemon.ts";
import { ROOT } from "../../harness/repository.ts";
import { until } from "../../harness/waiting.ts";

const UNIT = join(ROOT, "deploy/systemd/sluice.service");
/** Exposure out of 100, as systemd-analyze counts it. Most of it is access to the network. */
const EXPOSURE_MAX = 25;

const missing = ["systemd-analyze", "strace"].filter((program) => Bun.which(program) === null);
const reason = missing.length > 0 ? `${missing.join(", ")} must be installed` : undefined;
if (reason !== undefined) console.log(`skip: the systemd unit: ${reason}`);
const noBinary = missingBinary();
if (noBinary !== undefined) console.log(`skip: system calls of the unit: ${noBinary}`);

const settings = readFileSync(UNIT, "utf8")
  .split("\n")
  .filter((line) => /^\w+=/.test(line))
  .map((line) => [line.slice(0, line.indexOf("=")), line.slice(line.indexOf("=") + 1)] as const);
const valuesOf = (name: string) => settings.flatMap(([key, value]) => (key === name ? value : []));

describe.skipIf(reason !== undefined)("the systemd unit", () => {
  const folder = mkdtempSync(join(tmpdir(), "sluice-unit-"));
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  test("is valid for systemd-analyze verify", async () => {
    const root = join(folder, "root");
    for (const path of ["etc/systemd/system", "usr/local/bin", "usr/bin"]) {
      mkdirSync(join(root, path), { recursive: true });
    }
    await runAsync(["cp", UNIT, join(root, "etc/systemd/system/")]);
    for (const program of ["usr/local/bin/sluice", "usr/bin/touch"]) {
      writeFileSync(join(root, program), "", { mode: 0o755 });
    }
    const verify = ["systemd-analyze", "verify", "--man=no", "--recursive-errors=no"];
    const child = Bun.spawnSync([...verify, `--root=${root}`, "sluice.service"]);
    expect([child.stderr.toString(), child.exitCode]).toEqual(["", 0]);
  });

  test("has a low exposure", async () => {
    await runAsync([
      ...["systemd-analyze", "security", "--offline=true", "--no-pager"],
      ...[`--threshold=${EXPOSURE_MAX}`, UNIT],
    ]);
  });

  test("waits for the first rules, watches the process, and restarts it without a limit", () => {
    expect(valuesOf("Type")).toEqual(["notify"]);
    expect(Number(valuesOf("WatchdogSec")[0])).toBeGreaterThan(0);
    expect(valuesOf("Restart")).toEqual(["always"]);
    expect(valuesOf("StartLimitIntervalSec")).toEqual(["0"]);
  });

  test("allows access to the network and executable memory, and nothing else", () => {
    expect(valuesOf("CapabilityBoundingSet")).toEqual(["CAP_NET_ADMIN CAP_NET_RAW"]);
    expect(valuesOf("ProtectSystem")).toEqual(["strict"]);
    expect(valuesOf("ReadWritePaths")).toEqual(["-/run/xtables.lock"]);
    expect(valuesOf("MemoryDenyWriteExecute")).toEqual([]);
  });

  test.skipIf(noBinary !== undefined).each(["nftables", "iptables"])(
    "allows all system calls of a start, a scrape and a stop with %s",
    async (mode) => {
      const node = createNamespace();
      const trace = join(folder, `trace-${mode}`);
      const manifests = join(folder, `manifests-${mode}`);
      mkdirSync(manifests);
      const daemon = startDaemon(
        node.name,
        [
          ...["strace", "-D", "-f", "-qq", "-e", "signal=none", "-o", trace],
          ...[BINARY, `--manifests=${manifests}`, "--hostname-override=here"],
          `--proxy-mode=${mode}`,
          "--metrics-bind-address=0.0.0.0:10249",
        ],
        join(folder, "log"),
      );
      try {
        const scraped = async () => {
          const url = `http://${node.address}:10249/metrics`;
          return (await fetch(url).catch(() => undefined))?.ok === true;
        };
        await until("metrics are served", scraped, {
          limitMs: 30_000,
          pollMs: 20,
          explain: () => daemon.tail(),
        });
        const served = await fetch(`http://${node.address}:10249/proxyMode`);
        expect(await served.text()).toBe(mode);
      } finally {
        await daemon.stop();
        node.remove();
      }
      const made = new Set(readFileSync(trace, "utf8").match(/(?<=^\d+ +)[a-z]\w*(?=\()/gm));
      expect(made.size).toBeGreaterThan(20);
      const allowed = await systemCalls();
      expect([...made].filter((name) => !allowed.has(name))).toEqual([]);
    },
    60_000,
  );
});

/** Returns the system calls that the unit's filter allows, by the groups of this systemd. */
async function systemCalls(): Promise<Set<string>> {
  const groups = new Map<string, string[]>();
  let group: string[] = [];
  for (const line of (await runAsync(["systemd-analyze", "syscall-filter"])).split("\n")) {
    if (line.startsWith("@")) {
      group = [];
      groups.set(line.trim(), group);
    } else if (/^ +[@\w]/.test(line)) group.push(line.trim());
  }
  const expand = (name: string): string[] =>
    name.startsWith("@") ? (groups.get(name) ?? []).flatMap(expand) : [name];
  const allowed = new Set(expand("@default"));
  for (const value of valuesOf("SystemCallFilter")) {
    const names = value.replace(/^~/, "").split(" ").flatMap(expand);
    for (const name of names) value.startsWith("~") ? allowed.delete(name) : allowed.add(name);
  }
  return allowed;
}
