/** Reloads after changes of the configuration file on a real file system. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import {
  appendFileSync,
  mkdirSync,
  mkdtempSync,
  renameSync,
  rmSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
} from "node:fs";
import { readFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { FakeClock } from "../../harness/fakes/fake-clock.ts";
import { until } from "../../harness/waiting.ts";
import { SluiceError } from "../../src/base/errors.ts";
import { FILE_SETTLE_MS } from "../../src/base/limits.ts";
import { createLogger } from "../../src/base/log.ts";
import { parseArguments } from "../../src/config/command-line.ts";
import type { Config } from "../../src/config/config.ts";
import { ConfigFollower } from "../../src/config/reload-config.ts";
import { resolveConfig } from "../../src/config/resolve-config.ts";
import { ProblemRegistry } from "../../src/problems/problem-registry.ts";

const HEAD =
  "apiVersion: kubeproxy.config.k8s.io/v1alpha1\nkind: KubeProxyConfiguration\nclusterCIDR: 10.0.0.0/8\n";

let folder: string;
let file: string;
let clock: FakeClock;
let follower: ConfigFollower | undefined;
/** The reloads, each as the changed names. */
let reloads: string[];
let configs: Config[];
let fatal: unknown[];
let lines: string[];
let begun: string[];
let problems: ProblemRegistry;
let applying: Promise<void> | undefined;
/** The number of reloads in progress, and its maximum. */
let running: number;
let most: number;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "sluice-config-"));
  file = join(folder, "config.conf");
  clock = new FakeClock();
  [reloads, configs, fatal, lines, begun] = [[], [], [], [], []];
  problems = new ProblemRegistry(({ subject, message }) => begun.push(`${subject}: ${message}`));
  applying = undefined;
  running = 0;
  most = 0;
});

afterEach(() => {
  follower?.stop();
  rmSync(folder, { recursive: true, force: true });
});

/** Follows the file from its present content. */
async function follow(...argv: string[]): Promise<void> {
  await prepare(...argv);
  follower?.start();
}

async function prepare(...argv: string[]): Promise<void> {
  const command = parseArguments(["--config", file, ...argv]);
  if (command.kind !== "run") throw new Error(command.kind);
  const { flags } = command;
  const { config, warnings } = await resolveConfig(flags, (path) => readFile(path, "utf8"));
  const write = (line: string) => void lines.push(line.slice(line.indexOf("] ") + 2).trim());
  follower = new ConfigFollower({
    file,
    flags,
    clock,
    warnings,
    current: config,
    async apply(next, changes) {
      configs.push(next);
      reloads.push(changes.map(({ name }) => name).join(" "));
      most = Math.max(most, ++running);
      await applying;
      running--;
    },
    problems: (events) => problems.report(events),
    log: createLogger({ verbosity: 0, format: "text", now: () => 0, write, pid: 1 }),
    onFatal: (error) => fatal.push(error),
  });
}

/** Replaces the file in one step. */
function replace(body: string): void {
  writeFileSync(join(folder, "draft"), HEAD + body);
  renameSync(join(folder, "draft"), file);
}

const reloaded = (count: number) =>
  until(`${count} reloads`, () => reloads.length === count, { clock });
const problemCount = (count: number) =>
  until(`${count} problems`, () => problems.list().length === count, { clock });

describe("the configuration is reloaded after", () => {
  test("a rename over the file", async () => {
    replace("");
    await follow();
    replace("nftables: {masqueradeBit: 3}");
    await reloaded(1);
    expect(reloads).toEqual(["nftables.masqueradeBit"]);
    expect(configs[0]?.masqueradeBit).toBe(3);
    expect(lines).toEqual([
      `Reloaded configuration file=${JSON.stringify(file)} changed="nftables.masqueradeBit"`,
    ]);
  });

  test("writing it in place, piece by piece", async () => {
    replace("");
    await follow();
    writeFileSync(file, "");
    appendFileSync(file, `${HEAD}oomScoreAdj: 5\n`);
    appendFileSync(file, "bindAddressHardFail: true\n");
    await reloaded(1);
    expect(reloads).toEqual(["bindAddressHardFail oomScoreAdj"]);
    expect(begun).toEqual([]);
  });

  test("writing it slowly, without reading a partial file", async () => {
    replace("");
    await follow();
    await until("it is at rest", () => clock.waiting === 1, { clock });
    writeFileSync(file, `${HEAD}oomScoreAdj: 5\n`);
    await until("the event was seen", () => clock.waiting > 1);
    for (let turn = 0; turn < 5; turn++) {
      await clock.advance(FILE_SETTLE_MS - 1);
      appendFileSync(file, `# ${turn}\n`);
      for (let look = 0; look < 20; look++)
        await new Promise<void>((resolve) => setImmediate(resolve));
    }
    expect(reloads).toEqual([]);
    appendFileSync(file, "bindAddressHardFail: true\n");
    await reloaded(1);
    expect(reloads).toEqual(["bindAddressHardFail oomScoreAdj"]);
  });

  test("deleting and recreating it", async () => {
    replace("");
    await follow();
    unlinkSync(file);
    await problemCount(1);
    expect(begun[0]).toBe(
      `${file}: read ${file}: no such file or directory (ENOENT) (the last good configuration stays in effect)`,
    );
    replace("oomScoreAdj: 5");
    await reloaded(1);
    expect(problems.list()).toHaveLength(0);
  });

  test("switching the links of a ConfigMap volume repeatedly", async () => {
    const volume = (version: number, body: string) => {
      mkdirSync(join(folder, `..${version}`));
      writeFileSync(join(folder, `..${version}`, "config.conf"), HEAD + body);
      symlinkSync(`..${version}`, join(folder, "..data_tmp"));
      renameSync(join(folder, "..data_tmp"), join(folder, "..data"));
    };
    volume(1, "");
    symlinkSync(join("..data", "config.conf"), file);
    await follow();
    for (const version of [2, 3, 4]) {
      volume(version, `oomScoreAdj: ${version}`);
      rmSync(join(folder, `..${version - 1}`), { recursive: true });
      await reloaded(version - 1);
    }
    expect(configs.map(({ oomScoreAdj }) => oomScoreAdj)).toEqual([2, 3, 4]);
    expect(begun).toEqual([]);
  });

  test("writing to the target of a link in another directory", async () => {
    const elsewhere = join(folder, "elsewhere");
    mkdirSync(elsewhere);
    writeFileSync(join(elsewhere, "real"), HEAD);
    symlinkSync(join(elsewhere, "real"), file);
    await follow();
    await until("the directory is watched", () => clock.waiting > 1, { clock });
    writeFileSync(join(elsewhere, "real"), `${HEAD}oomScoreAdj: 5`);
    await reloaded(1);
  });
});

test("a change between the start of the process and the start of following is not lost", async () => {
  replace("");
  await prepare();
  replace("oomScoreAdj: 5");
  follower?.start();
  await reloaded(1);
});

test("flags override the changed file as they did at the start", async () => {
  replace("logging: {verbosity: 1}");
  await follow("-v=5", "--hostname-override=here");
  replace("logging: {verbosity: 2}\nhostnameOverride: other\noomScoreAdj: 1");
  await reloaded(1);
  expect(reloads).toEqual(["oomScoreAdj"]);
  expect(configs[0]).toMatchObject({ verbosity: 5, hostnameOverride: "here" });
});

test("a change that only /configz shows is a reload without a changed setting", async () => {
  replace("");
  await follow();
  replace("ipvs: {scheduler: rr}");
  await reloaded(1);
  expect(reloads).toEqual([""]);
  expect(configs[0]?.document).toMatchObject({ ipvs: { scheduler: "rr" } });
  expect(lines[0]).toStartWith("Accepted settings that have no effect in Sluice");
});

test("a warning of the start is not logged again", async () => {
  replace("portRange: 1-2");
  await follow();
  replace("portRange: 1-2\noomScoreAdj: 1");
  await reloaded(1);
  expect(lines).toHaveLength(1);
  expect(lines[0]).toStartWith("Reloaded configuration");
});

test("a file rewritten with the same settings is not reloaded", async () => {
  replace("oomScoreAdj: 1");
  await follow();
  replace("oomScoreAdj: 1 # as before\n");
  replace("oomScoreAdj:   1");
  await clock.advance(1000);
  replace("oomScoreAdj: 2");
  await reloaded(1);
  expect(configs[0]?.oomScoreAdj).toBe(2);
});

describe("an invalid file leaves the last good one in effect:", () => {
  test.each([
    ["emptied", "", "empty file: must contain a KubeProxyConfiguration"],
    ["broken", "mode: [", "invalid YAML: "],
    [
      "faulty",
      `${HEAD}oomScoreAdj: 5000`,
      "oomScoreAdj: invalid value 5000: must be between -1000 and 1000",
    ],
  ])("%s", async (_, text, rule) => {
    replace("oomScoreAdj: 1");
    await follow();
    writeFileSync(file, text);
    await problemCount(1);
    expect(problems.of(file)[0]).toMatchObject({ code: "CONFIG_INVALID", field: "" });
    expect(begun[0]).toContain(rule);
    expect(reloads).toEqual([]);
    replace("oomScoreAdj: 1");
    await problemCount(0);
    expect(reloads).toEqual([]);
    expect(begun).toHaveLength(1);
  });
});

test.each([
  ["a FIFO", () => void Bun.spawnSync(["mkfifo", file]), `: not a regular file (`],
  [
    "larger than any",
    () => writeFileSync(file, "#".repeat(4_000_001)),
    "file too large: 4000001 bytes (limit 4000000)",
  ],
])("a file that becomes %s changes nothing, and is still followed", async (_, become, rule) => {
  replace("oomScoreAdj: 1");
  await follow();
  rmSync(file);
  become();
  await until("the rule is reported", () => begun.some((text) => text.includes(rule)), { clock });
  replace("oomScoreAdj: 2");
  await reloaded(1);
  expect(configs[0]?.oomScoreAdj).toBe(2);
});

test("a change that needs a new process ends this one, and the error names the settings", async () => {
  replace("");
  await follow();
  replace("hostnameOverride: other\noomScoreAdj: 1\nsluice: {counters: false}");
  await until("it is fatal", () => fatal.length === 1, { clock });
  expect(fatal[0]).toBeInstanceOf(SluiceError);
  expect(fatal[0]).toMatchObject({ code: "CONFIG_CHANGED", subject: file });
  expect((fatal[0] as SluiceError).message).toEndWith(
    ": the supervisor must start a new process, because these settings changed: hostnameOverride, sluice.counters",
  );
  expect(lines).toEqual([
    `Exiting so that a new process applies the changed settings; rules stay in place file="${file}" settings="hostnameOverride, sluice.counters" code="CONFIG_CHANGED"`,
  ]);
  expect(reloads).toEqual([]);
});

test("reloads run one at a time, and only the last of the files written meanwhile is used", async () => {
  replace("");
  const first = Promise.withResolvers<void>();
  applying = first.promise;
  await follow();
  replace("oomScoreAdj: 1");
  await reloaded(1);
  for (const value of [2, 3]) {
    replace(`oomScoreAdj: ${value}`);
    await until("the event was seen", () => clock.waiting > 1);
    await until("it was read", () => clock.waiting === 1, { clock });
  }
  expect(reloads).toHaveLength(1);
  first.resolve();
  await until("the last is reloaded", () => configs.at(-1)?.oomScoreAdj === 3, { clock });
  expect([most, reloads.length]).toEqual([1, 2]);
});

test("an error during a reload is fatal", async () => {
  replace("");
  applying = Promise.reject(new Error("no"));
  applying.catch(() => {});
  await follow();
  replace("oomScoreAdj: 1");
  await until("it is fatal", () => fatal.length === 1, { clock });
  expect(fatal).toEqual([new Error("no")]);
});

test("nothing is reloaded after the end", async () => {
  replace("");
  await follow();
  follower?.stop();
  expect(clock.waiting).toBe(0);
  replace("oomScoreAdj: 1");
  await clock.advance(60_000);
  expect(reloads).toEqual([]);
});
