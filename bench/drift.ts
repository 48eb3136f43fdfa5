/**
 * Measures how long a repair takes after another process changed our rules. The time runs from the
 * kernel's first notification of the foreign transaction to its last notification of ours.
 *
 * usage: npm run bench -- --drift [--sizes 1000,10000]
 */

import { clusterIp } from "../harness/cluster/many-objects.ts";
import { runAsync } from "../harness/commands.ts";
import { inNamespace } from "../harness/daemon.ts";
import { type Bench, quantile } from "./measures.ts";
import { type Contestant, startProxy, untilHealthy } from "./proxies.ts";

const ROUNDS = 5;
/** After this time, an object is repaired without delay again (limits.ts: REPAIR_QUIET_MS). */
const CALM_MS = 10_500;
const QUIET_MS = 1500;
const PATIENCE_MS = 300_000;

/** The nft command of a round with this number. */
const CHANGES: readonly { readonly about: string; readonly command: (round: number) => string }[] =
  [
    {
      about: "one element deleted",
      command: (round) =>
        `delete element inet sluice frontends4 { ${clusterIp(round)} . tcp . 80 }`,
    },
    {
      about: "one slot deleted",
      command: (round) =>
        `delete element inet sluice endpoints4 { ${clusterIp(round)} . tcp . 80 . 2 }`,
    },
    { about: "one rule inserted", command: () => "insert rule inet sluice services4 counter" },
    { about: "one chain flushed", command: () => "flush chain inet sluice services6" },
    { about: "map flushed: cluster-ips4", command: () => "flush set inet sluice cluster-ips4" },
    { about: "map flushed: frontends4", command: () => "flush map inet sluice frontends4" },
    { about: "map flushed: endpoints4", command: () => "flush map inet sluice endpoints4" },
    { about: "table deleted", command: () => "delete table inet sluice" },
    { about: "ruleset flushed", command: () => "flush ruleset" },
  ];

/** One line of the result: milliseconds, and number of written kernel objects. */
export interface RepairFigures {
  readonly about: string;
  readonly p50: number;
  readonly most: number;
  readonly writes: number;
}

export async function measureDrift(
  { plane, commits, services }: Bench,
  contestant: Contestant,
): Promise<RepairFigures[]> {
  const mark = commits.count;
  const proxy = startProxy(contestant, plane);
  try {
    await untilHealthy(proxy, plane, PATIENCE_MS);
    await commits.find(mark, PATIENCE_MS, ({ frontends }) => frontends === services);
    await commits.settle(QUIET_MS);
    const repairs: RepairFigures[] = [];
    for (const { about, command } of CHANGES) {
      const times: number[] = [];
      let writes = 0;
      for (let round = 0; round < ROUNDS; round++) {
        const before = commits.count;
        await runAsync([...inNamespace(plane.netns.name), "nft", command(round)]);
        await commits.settle(QUIET_MS);
        const [foreign, ...others] = commits.since(before);
        const ours = others.filter(({ pid }) => pid === proxy.pid);
        const last = ours.at(-1);
        if (foreign === undefined || last === undefined || foreign.lost || last.lost) {
          throw new Error(`No repair of ${command(round)} did, or it was not heard`);
        }
        times.push(last.at - foreign.begun);
        writes = ours.reduce((sum, commit) => sum + (commit.writes["sluice"] ?? 0), 0);
        await Bun.sleep(CALM_MS - QUIET_MS);
      }
      repairs.push({ about, p50: quantile(times, 0.5), most: Math.max(...times), writes });
    }
    return repairs;
  } finally {
    await proxy.stop();
  }
}
