/** Measures one proxy: its start, changes, a restart, memory and processor time. */
import { readFileSync } from "node:fs";
import type { ControlPlane } from "../harness/cluster/control-plane.ts";
import { makeSlice, slicePath } from "../harness/cluster/many-objects.ts";
import { MemorySampler, memoryOf } from "../harness/process-memory.ts";
import type { Commits } from "./commits.ts";
import { type Commit, MARKS } from "./monitor.ts";
import { type Contestant, programmedIps, startProxy, untilHealthy } from "./proxies.ts";

/** Milliseconds and mebibytes. */
export interface Figures {
  /**
   * From exec until /healthz reports success and all Services are programmed, without a listener to
   * nftables notifications. With a listener, the kernel creates one for every element; the other
   * figures of the start include that.
   */
  readonly startUnwatched: number;
  /**
   * From exec until the last Service's frontend is in the kernel, and until /healthz reports
   * success.
   */
  readonly startProgrammed: number;
  readonly startHealthy: number;
  readonly startTransactions: number;
  /**
   * From just before the API request to the kernel's notification, and from its answer. The latter
   * may be negative.
   */
  readonly changeP50: number;
  readonly changeP99: number;
  readonly changeAnswerP50: number;
  readonly changes: number;
  /**
   * A restart over its own rules, after one endpoint changed. `restartProgrammed` is the time until
   * that change is in the kernel, `restartWrites` the number of kernel objects written until it is
   * idle.
   */
  readonly restartHealthy: number;
  readonly restartProgrammed: number;
  readonly restartWrites: number;
  /** Memory while the proxy is idle: after the start, and after the changes. */
  readonly anonymousAfterStart: number;
  readonly fileBackedAfterStart: number;
  readonly anonymous: number;
  readonly fileBacked: number;
  /** Peaks of each kind are sampled. `peak` is the kernel's, for all kinds together. */
  readonly anonymousPeak: number;
  readonly fileBackedPeak: number;
  readonly peak: number;
  readonly restartAnonymousPeak: number;
  readonly restartPeak: number;
  /** Processor time until it is first idle, including children, in milliseconds. */
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
/** A list of 10,000 addresses takes a tenth of this. */
const PROGRAMMED_POLL_MS = 250;

/**
 * Measures only the start, on a kernel without rules. It ends when the proxy reports healthy and
 * the kernel has every Service (kube-proxy is healthy before its first sync).
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
        throw new Error(
          `start ${contestant.name}: ${services} Services not programmed within ${PATIENCE_MS / 1000} s`,
        );
      }
    }
    return complete - begun;
  } finally {
    await proxy.stop();
  }
}

/** Measures everything else about one proxy at one size, on a kernel without rules. */
export async function measure(
  bench: Bench,
  contestant: Contestant,
): Promise<Omit<Figures, "startUnwatched">> {
  const first = await measureFirstRun(bench, contestant);
  await bench.commits.settle(QUIET_MS);
  const restart = await measureRestart(bench, contestant);
  return { ...first, ...restart };
}

/** A start on a kernel without rules, then changes one by one. */
async function measureFirstRun(bench: Bench, contestant: Contestant) {
  const { plane, commits } = bench;
  const mark = commits.count;
  const begun = now();
  const proxy = startProxy(contestant, plane);
  const sampler = new MemorySampler(proxy.pid);
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
    const afterStart = memoryOf(proxy.pid);

    const { sent, answered } = await changeOneByOne(bench, contestant);
    await commits.settle(QUIET_MS);
    const afterChanges = memoryOf(proxy.pid);
    return {
      startProgrammed: complete.at - begun,
      startHealthy: healthy - begun,
      startTransactions,
      startCpu,
      changeP50: quantile(sent, 0.5),
      changeP99: quantile(sent, 0.99),
      changeAnswerP50: quantile(answered, 0.5),
      changes: sent.length,
      anonymousAfterStart: afterStart.anonymous,
      fileBackedAfterStart: afterStart.fileBacked,
      anonymous: afterChanges.anonymous,
      fileBacked: afterChanges.fileBacked,
      anonymousPeak: sampler.most.anonymous,
      fileBackedPeak: sampler.most.fileBacked,
      peak: afterChanges.peak,
    };
  } finally {
    sampler.stop();
    await proxy.stop();
  }
}

/** A restart over the proxy's own rules, after one endpoint changed. */
async function measureRestart(bench: Bench, contestant: Contestant) {
  const { plane, commits } = bench;
  const meanwhile = await changeOne(bench, 0);
  const mark = commits.count;
  const begun = now();
  const proxy = startProxy(contestant, plane);
  const sampler = new MemorySampler(proxy.pid);
  try {
    const healthy = await untilHealthy(proxy, plane, PATIENCE_MS);
    const caughtUp = await commits.find(mark, PATIENCE_MS, hasMark(meanwhile.mark));
    await commits.settle(QUIET_MS);
    return {
      restartHealthy: healthy - begun,
      restartProgrammed: caughtUp.at - begun,
      restartWrites: writesOf(commits.since(mark)),
      restartAnonymousPeak: sampler.most.anonymous,
      restartPeak: memoryOf(proxy.pid).peak,
    };
  } finally {
    sampler.stop();
    await proxy.stop();
  }
}

/** Gives endpoints of several Services a new address, one after the other. */
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

/** Number of kernel objects written, without tables that were created and deleted as a test. */
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

/** Changes the first endpoint of a Service. Returns the times of the request and of its answer. */
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

/** Milliseconds since the epoch, with fractions, comparable between processes. */
function now(): number {
  return performance.timeOrigin + performance.now();
}

/** The value that this share of all values does not exceed. */
export function quantile(values: readonly number[], part: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(part * sorted.length))] ?? Number.NaN;
}

/** Milliseconds of processor time of the process and its exited children. */
export function cpuOf(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  const ticks = [11, 12, 13, 14].reduce((sum, field) => sum + Number(fields[field]), 0);
  return ticks * 10;
}
