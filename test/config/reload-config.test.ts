/** The configuration file as it is changed on a real file system. */
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
/** What was taken up: `changed names`. */
let taken: string[];
let configs: Config[];
let fatal: unknown[];
let lines: string[];
let begun: string[];
let problems: ProblemRegistry;
let applying: Promise<void> | undefined;
/** How many are being taken up, and were at most. */
let running: number;
let most: number;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "sluice-config-"));
  file = join(folder, "config.conf");
  clock = new FakeClock();
  [taken, configs, fatal, lines, begun] = [[], [], [], [], []];
  problems = new ProblemRegistry(({ subject, message }) => begun.push(`${subject}: ${message}`));
  applying = undefined;
  running = 0;
  most = 0;
});

afterEach(() => {
  follower?.stop();
  rmSync(folder, { recursive: true, force: true });
});

/** Follows the file from what it holds now. */
async function follow(...argv: string[]): Promise<void> {
  await prepare(...argv);
  follower?.start();
}

async function prepare(...argv: string[]): Promise<void> {
  const command = parseArguments(["--config", file, ...argv]);
  if (command.kind !== "run") throw new Error(command.kind);
  const { flags } = command;
  const { config, messages } = await resolveConfig(flags, (path) => readFile(path, "utf8"));
  const write = (line: string) => void lines.push(line.slice(line.indexOf("] ") + 2).trim());
  follower = new ConfigFollower({
    file,
    flags,
    clock,
    messages: messages,
    current: config,
    async apply(next, changes) {
      configs.push(next);
      taken.push(changes.map(({ name }) => name).join(" "));
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

const applied = (count: number) =>
  until(`${count} were taken up`, () => taken.length === count, { clock });
const hasProblem = (count: number) =>
  until(`${count} problems`, () => problems.list().length === count, { clock });

describe("a change is taken up that comes by", () => {
  test("a rename over the file", async () => {
    replace("");
    await follow();
    replace("nftables: {masqueradeBit: 3}");
    await applied(1);
    expect(taken).toEqual(["nftables.masqueradeBit"]);
    expect(configs[0]?.masqueradeBit).toBe(3);
    expect(lines).toEqual([
      `Took up a changed configuration file=${JSON.stringify(file)} changed="nftables.masqueradeBit"`,
    ]);
  });

  test("writing it in place, piece by piece", async () => {
    replace("");
    await follow();
    writeFileSync(file, "");
    appendFileSync(file, `${HEAD}oomScoreAdj: 5\n`);
    appendFileSync(file, "bindAddressHardFail: true\n");
    await applied(1);
    expect(taken).toEqual(["bindAddressHardFail oomScoreAdj"]);
    expect(begun).toEqual([]);
  });

  test("writing it slowly: nothing half written is read", async () => {
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
    expect(taken).toEqual([]);
    appendFileSync(file, "bindAddressHardFail: true\n");
    await applied(1);
    expect(taken).toEqual(["bindAddressHardFail oomScoreAdj"]);
  });

  test("removing it and putting it back", async () => {
    replace("");
    await follow();
    unlinkSync(file);
    await hasProblem(1);
    expect(begun[0]).toStartWith(`${file}: Cannot read configuration ${file}: ENOENT`);
    expect(begun[0]).toEndWith("; the last good configuration stays");
    replace("oomScoreAdj: 5");
    await applied(1);
    expect(problems.list()).toHaveLength(0);
  });

  test("turning the links of a ConfigMap volume, again and again", async () => {
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
      await applied(version - 1);
    }
    expect(configs.map(({ oomScoreAdj }) => oomScoreAdj)).toEqual([2, 3, 4]);
    expect(begun).toEqual([]);
  });

  test("writing to what a link leads to elsewhere", async () => {
    const elsewhere = join(folder, "elsewhere");
    mkdirSync(elsewhere);
    writeFileSync(join(elsewhere, "real"), HEAD);
    symlinkSync(join(elsewhere, "real"), file);
    await follow();
    await until("the directory is watched", () => clock.waiting > 1, { clock });
    writeFileSync(join(elsewhere, "real"), `${HEAD}oomScoreAdj: 5`);
    await applied(1);
  });
});

test("what was written between the start of the process and that of following is taken up", async () => {
  replace("");
  await prepare();
  replace("oomScoreAdj: 5");
  follower?.start();
  await applied(1);
});

test("flags count beside the changed file as they did at the start", async () => {
  replace("logging: {verbosity: 1}");
  await follow("-v=5", "--hostname-override=here");
  replace("logging: {verbosity: 2}\nhostnameOverride: other\noomScoreAdj: 1");
  await applied(1);
  expect(taken).toEqual(["oomScoreAdj"]);
  expect(configs[0]).toMatchObject({ verbosity: 5, hostnameOverride: "here" });
});

test("a change that only /configz shows is taken up without any setting that changes", async () => {
  replace("");
  await follow();
  replace("ipvs: {scheduler: rr}");
  await applied(1);
  expect(taken).toEqual([""]);
  expect(configs[0]?.document).toMatchObject({ ipvs: { scheduler: "rr" } });
  expect(lines[0]).toStartWith("Accepted settings that have no effect here");
});

test("what was said of the file at the start is not said again", async () => {
  replace("portRange: 1-2");
  await follow();
  replace("portRange: 1-2\noomScoreAdj: 1");
  await applied(1);
  expect(lines).toHaveLength(1);
  expect(lines[0]).toStartWith("Took up a changed configuration");
});

test("a file rewritten with the same settings is nothing to take up", async () => {
  replace("oomScoreAdj: 1");
  await follow();
  replace("oomScoreAdj: 1 # as before\n");
  replace("oomScoreAdj:   1");
  await clock.advance(1000);
  replace("oomScoreAdj: 2");
  await applied(1);
  expect(configs[0]?.oomScoreAdj).toBe(2);
});

describe("a file that cannot be used leaves the last good one in effect:", () => {
  test.each([
    ["emptied", "", "it must be a KubeProxyConfiguration"],
    ["broken", "mode: [", "it must be YAML"],
    ["faulty", `${HEAD}oomScoreAdj: 5000`, "oomScoreAdj must be -1000 to 1000"],
  ])("%s", async (_, text, rule) => {
    replace("oomScoreAdj: 1");
    await follow();
    writeFileSync(file, text);
    await hasProblem(1);
    expect(problems.of(file)[0]).toMatchObject({ code: "CONFIG_INVALID", field: "" });
    expect(begun[0]).toContain(rule);
    expect(taken).toEqual([]);
    replace("oomScoreAdj: 1");
    await hasProblem(0);
    expect(taken).toEqual([]);
    expect(begun).toHaveLength(1);
  });
});

test.each([
  ["a FIFO", () => void Bun.spawnSync(["mkfifo", file]), "it must be a regular file"],
  [
    "larger than any",
    () => writeFileSync(file, "#".repeat(4_000_001)),
    "it must have 4000000 bytes",
  ],
])("a file that becomes %s changes nothing, and is followed on", async (_, become, rule) => {
  replace("oomScoreAdj: 1");
  await follow();
  rmSync(file);
  become();
  await until("the rule is said", () => begun.some((text) => text.includes(rule)), { clock });
  replace("oomScoreAdj: 2");
  await applied(1);
  expect(configs[0]?.oomScoreAdj).toBe(2);
});

test("settings that only a new process can take up end this one, which names them", async () => {
  replace("");
  await follow();
  replace("hostnameOverride: other\noomScoreAdj: 1\nsluice: {counters: false}");
  await until("it is fatal", () => fatal.length === 1, { clock });
  expect(fatal[0]).toBeInstanceOf(SluiceError);
  expect(fatal[0]).toMatchObject({ code: "CONFIG_CHANGED", subject: file });
  expect((fatal[0] as SluiceError).message).toEndWith(
    "current value is hostnameOverride, sluice.counters",
  );
  expect(taken).toEqual([]);
});

test("one file is taken up after the other, and of those that come meanwhile the last counts", async () => {
  replace("");
  const first = Promise.withResolvers<void>();
  applying = first.promise;
  await follow();
  replace("oomScoreAdj: 1");
  await applied(1);
  for (const value of [2, 3]) {
    replace(`oomScoreAdj: ${value}`);
    await until("the event was seen", () => clock.waiting > 1);
    await until("it was read", () => clock.waiting === 1, { clock });
  }
  expect(taken).toHaveLength(1);
  first.resolve();
  await until("the last is taken up", () => configs.at(-1)?.oomScoreAdj === 3, { clock });
  expect([most, taken.length]).toEqual([1, 2]);
});

test("what taking up throws is fatal", async () => {
  replace("");
  applying = Promise.reject(new Error("no"));
  applying.catch(() => {});
  await follow();
  replace("oomScoreAdj: 1");
  await until("it is fatal", () => fatal.length === 1, { clock });
  expect(fatal).toEqual([new Error("no")]);
});

test("nothing is taken up after the end", async () => {
  replace("");
  await follow();
  follower?.stop();
  expect(clock.waiting).toBe(0);
  replace("oomScoreAdj: 1");
  await clock.advance(60_000);
  expect(taken).toEqual([]);
});
