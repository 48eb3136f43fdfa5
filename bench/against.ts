/** Compares two builds of Sluice to show whether a change made anything slower or larger. */
import type { ControlPlane } from "../harness/cluster/control-plane.ts";
import { clusterIp } from "../harness/cluster/many-objects.ts";
import { Commits } from "./commits.ts";
import { type Figures, measure, measureStart, quantile } from "./measures.ts";
import { type Contestant, removeAllRules } from "./proxies.ts";

/** The median of each figure of both builds, and the median ratio within one run (ours / other). */
export interface Comparison {
  readonly runs: number;
  readonly ours: Figures;
  readonly other: Figures;
  readonly ratio: Figures;
}

export interface ComparisonOptions {
  readonly plane: ControlPlane;
  readonly services: number;
  readonly endpoints: number;
  readonly changes: number;
  readonly runs: number;
}

/**
 * Measures both builds in turn, `runs` times each, so that drift of the machine's speed affects
 * both. The build that goes first alternates.
 */
export async function compareBuilds(
  options: ComparisonOptions,
  ours: Contestant,
  other: Contestant,
): Promise<Comparison> {
  const figures = new Map<Contestant, Figures[]>([
    [ours, []],
    [other, []],
  ]);
  for (let run = 0; run < options.runs; run++) {
    for (const contestant of run % 2 === 0 ? [ours, other] : [other, ours]) {
      figures.get(contestant)?.push(await measureOnce(options, contestant));
    }
    process.stderr.write(`run ${run + 1} of ${options.runs}\n`);
  }
  const [mine, theirs] = [figures.get(ours) ?? [], figures.get(other) ?? []];
  return {
    runs: options.runs,
    ours: valuesOfRuns(mine, (field) => mine.map((run) => run[field])),
    other: valuesOfRuns(theirs, (field) => theirs.map((run) => run[field])),
    ratio: valuesOfRuns(mine, (field) =>
      mine.map((run, i) => run[field] / (theirs[i]?.[field] ?? 0)),
    ),
  };
}

async function measureOnce(options: ComparisonOptions, contestant: Contestant): Promise<Figures> {
  const { plane, services, endpoints, changes } = options;
  await removeAllRules(plane);
  const startUnwatched = await measureStart(plane, contestant, services);
  await removeAllRules(plane);
  const commits = await Commits.watch(plane.netns.name, clusterIp(0), services);
  try {
    const bench = { plane, services, endpoints, changes, commits };
    return { startUnwatched, ...(await measure(bench, contestant)) };
  } finally {
    commits.stop();
  }
}

/** Returns the median of every figure. */
function valuesOfRuns(
  runs: readonly Figures[],
  valuesOf: (field: keyof Figures) => readonly number[],
): Figures {
  const fields = Object.keys(runs[0] ?? {}) as (keyof Figures)[];
  const medians = fields.map((field) => [field, quantile(valuesOf(field), 0.5)] as const);
  return Object.fromEntries(medians) as unknown as Figures;
}
