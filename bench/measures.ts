/** Measures one proxy: its start, changes, a restart, memory and processor time. */
import { readFileSync } from "node:fs";
import type { ControlPlane } from "../harness/cluster/control-plane.ts";
import { makeSlice, slicePath } from "../harness/cluster/many-objects.ts";
import type { Commits } from "./commits.ts";
import { type Commit, MARKS } from "./monitor.ts";
import { type Contestant, programmedIps, startProxy, untilHealthy } from "./proxies.ts";

/** Milliseconds and mebibytes. */
export interface Figures {
  /**
   * From exec until /healthz says so and it is true, while nobody listens to nftables'
   * announcements: the kernel makes them for every element once somebody does, which the other
   * figures of the start include.
   */
  readonly startUnwatched: number;
  /** From exec until the last Service's frontend is in the kernel, and until /healthz says so. */
  readonly startProgrammed: number;
  readonly startHealthy: number;
  readonly startTransactions: number;
  /**
   * From just before the API request to the kernel's announcement; and from its answer (negative:
   * sooner).
   */
  readonly changeP50: number;
  readonly changeP99: number;
  readonly changeAnswerP50: number;
  readonly changes: number;
  /**
   * A restart over its own rules, with one endpoint that changed meanwhile: until that is in the
   * kernel, and how many kernel objects are written until there is peace.
   */
  readonly restartHealthy: number;
  readonly restartProgrammed: number;
  readonly restartWrites: number;
  readonly residentAfterStart: number;
  readonly resident: number;
  readonly peak: number;
  readonly restartPeak: number;
  /** Processor time until the first peace, children included, in milliseconds. */
  readonly startCpu: number;
}

export interface Bench {
  readonly plane: ControlPlane;
  readonly services: number;
  readonly endpoints: number;
  readonly changes: number;
  readonly commits: Commits;
}

const PATIENCE_MS = 300_000;
const QUIET_MS = 3000;
/** A list of 10,000 addresses takes a tenth of that. */
const PROGRAMMED_POLL_MS = 250;

/**
 * The start alone, on a kernel without rules: until it says that it is healthy and the kernel has
 * every Service (kube-proxy is healthy before its first sync).
 */
export async function measureStart(
  plane: ControlPlane,
  contestant: Contestant,
  services: number,
): Promise<number> {
  const begun = now();
  const proxy = startProxy(contestant, plane);
  try {
    let complete = await untilHealthy(proxy, plane, PATIENCE_MS);
    while ((await programmedIps(plane, contestant)) < services) {
      await Bun.sleep(PROGRAMMED_POLL_MS);
      complete = now();
      if (complete - begun > PATIENCE_MS) {
        throw new Error(`${contestant.name} has not programmed ${services} Services in time`);
      }
    }
    return complete - begun;
  } finally {
    await proxy.stop();
  }
}

/** Everything else about one proxy at one size, on a kernel without rules. */
export async function measure(
  bench: Bench,
  contestant: Contestant,
): Promise<Omit<Figures, "startUnwatched">> {
  const { plane, commits } = bench;
  const mark = commits.count;
  const begun = now();
  let proxy = startProxy(contestant, plane);
  try {
    const healthy = await untilHealthy(proxy, plane, PATIENCE_MS);
    const complete = await commits.find(
      mark,
      PATIENCE_MS,
      (commit) => commit.frontends === bench.services,
    );
    const startTransactions = commits.since(mark).filter(({ at }) => at <= complete.at).length;
    await commits.settle(QUIET_MS);
    const startCpu = cpuOf(proxy.pid);
    const residentAfterStart = memoryOf(proxy.pid).resident;

    const { sent, answered } = await changeOneByOne(bench, contestant);
    await commits.settle(QUIET_MS);
    const memory = memoryOf(proxy.pid);

    await proxy.stop();
    await commits.settle(QUIET_MS);
    const meanwhile = await changeOne(bench, 0);
    const restartMark = commits.count;
    const restarted = now();
    proxy = startProxy(contestant, plane);
    const healthyAgain = await untilHealthy(proxy, plane, PATIENCE_MS);
    const caughtUp = await commits.find(restartMark, PATIENCE_MS, hasMark(meanwhile.mark));
    await commits.settle(QUIET_MS);
    const restartWrites = writesOf(commits.since(restartMark));
    const restartPeak = memoryOf(proxy.pid).peak;
    return {
      startProgrammed: complete.at - begun,
      startHealthy: healthy - begun,
      startTransactions,
      changeP50: quantile(sent, 0.5),
      changeP99: quantile(sent, 0.99),
      changeAnswerP50: quantile(answered, 0.5),
      changes: sent.length,
      restartHealthy: healthyAgain - restarted,
      restartProgrammed: caughtUp.at - restarted,
      restartWrites,
      restartPeak,
      residentAfterStart,
      resident: memory.resident,
      peak: memory.peak,
      startCpu,
    };
  } finally {
    await proxy.stop();
  }
}

/** Gives one endpoint of one Service after the other an address that was never seen before. */
async function changeOneByOne(
  bench: Bench,
  contestant: Contestant,
): Promise<{ sent: number[]; answered: number[] }> {
  const sent: number[] = [];
  const answered: number[] = [];
  for (let change = 0; change < bench.changes; change++) {
    const before = bench.commits.count;
    const { mark, asked, answer } = await changeOne(
      bench,
      Math.floor((change * bench.services) / bench.changes),
    );
    const commit = await bench.commits.find(before, PATIENCE_MS, hasMark(mark));
    sent.push(commit.at - asked);
    answered.push(commit.at - answer);
    await Bun.sleep(contestant.rest);
  }
  return { sent, answered };
}

/** Kernel objects written, without tables that were made and deleted again to try something out. */
function writesOf(commits: readonly Commit[]): number {
  const scratch = new Set<string>();
  for (const { made, gone } of commits) {
    for (const table of made) scratch.delete(table);
    for (const table of gone) scratch.add(table);
  }
  let sum = 0;
  for (const { writes } of commits) {
    for (const [table, count] of Object.entries(writes)) if (!scratch.has(table)) sum += count;
  }
  return sum;
}

let lastMark = 0;

/**
 * Changes the first endpoint of a Service; says when that was asked for, and when it was answered.
 */
async function changeOne(
  bench: Bench,
  index: number,
): Promise<{ mark: number; asked: number; answer: number }> {
  const mark = ++lastMark;
  const slice = makeSlice(index, bench.endpoints);
  slice.endpoints?.[0]?.addresses.splice(0, 1, [...MARKS, mark >> 8, mark & 255].join("."));
  const asked = now();
  await bench.plane.api.request("PATCH", slicePath(index), { endpoints: slice.endpoints });
  return { mark, asked, answer: now() };
}

function hasMark(mark: number): (commit: Commit) => boolean {
  return (commit) => commit.marks.includes(mark);
}

/** Milliseconds since the epoch, with fractions: comparable between processes. */
function now(): number {
  return performance.timeOrigin + performance.now();
}

/** The value that this part of all values does not exceed. */
export function quantile(values: readonly number[], part: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(part * sorted.length))] ?? Number.NaN;
}

/** Mebibytes that are resident, and the most that ever were. */
export function memoryOf(pid: number): { resident: number; peak: number } {
  const status = readFileSync(`/proc/${pid}/status`, "utf8");
  const mebibytes = (field: string): number =>
    Number(new RegExp(`^${field}:\\s+(\\d+) kB`, "m").exec(status)?.[1]) / 1024;
  return { resident: mebibytes("VmRSS"), peak: mebibytes("VmHWM") };
}

/** Milliseconds of processor time of the process and its dead children. */
export function cpuOf(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  const ticks = [11, 12, 13, 14].reduce((sum, field) => sum + Number(fields[field]), 0);
  return ticks * 10;
}
