/** Reads which Services the program reports as unable to remember new clients. */
import type { Family } from "../../harness/netns/addresses.ts";
import type { SluiceProcess } from "../../harness/netns/program.ts";
import type { World } from "../../harness/netns/world.ts";
import { pollUntil } from "../../harness/waiting.ts";

const METRIC = "sluice_affinity_connections_not_remembered_total";

/** A Service that is reported. */
export interface FullService {
  readonly name: string;
  /** The messages of its problems. */
  readonly problems: readonly string[];
  /** Number of log lines about the beginning of a problem. */
  readonly logged: number;
}

/**
 * Returns the Services with a problem. A scrape makes the program read the kernel first. The server
 * starts a moment after the first sync.
 */
export async function fullServices(program: SluiceProcess): Promise<FullService[]> {
  const scrape = () => program.get("/metrics").catch(() => undefined);
  await pollUntil(scrape, (answer) => answer?.status === 200);
  const { body } = await program.get("/sluice/v1/problems");
  const messages = new Map<string, string[]>();
  for (const { subject, code, message } of JSON.parse(body).problems) {
    if (code !== "AFFINITY_FULL") continue;
    const name = subject.replace("Service default/", "");
    messages.set(name, [...(messages.get(name) ?? []), message]);
  }
  const lines = program.log().split("\n");
  return [...messages].map(([name, problems]) => ({
    name,
    problems,
    logged: lines.filter(
      (line) =>
        line.includes("] Problem found ") &&
        line.includes('code="AFFINITY_FULL"') &&
        line.includes(`subject="Service default/${name}"`),
    ).length,
  }));
}

/** Returns the metric of a Service's only port. */
export async function notRemembered(program: SluiceProcess, name: string): Promise<number> {
  const { body } = await program.get("/metrics");
  const series = new RegExp(`^${METRIC}\\{namespace="default",service="${name}",\\S+ (\\d+)`, "m");
  return Number(series.exec(body)?.[1] ?? 0);
}

/** Empties the kernel's sets of frontends, as their timeout would after 5 minutes. */
export async function emptyNotRemembered(world: World, family: Family): Promise<void> {
  for (const prefix of ["", "nodeports-"]) {
    const set = `${prefix}not-remembered${family}`;
    await world.run("node1", ["nft", "flush", "set", "inet", "sluice", set]);
  }
}
