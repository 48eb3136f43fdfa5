/**
 * Measures what the filter hooks of the nftables rules cost a forwarded packet. A pod sends small
 * datagrams through a node that runs the rules of dist/sluice, in network namespaces. The same flow
 * is measured with and without the hook, in turn.
 *
 * usage: npm run bench -- --forwarding [--runs 30]
 */
import { writeSync } from "node:fs";
import { join } from "node:path";
import { addressOf, clusterIp } from "../harness/netns/addresses.ts";
import { SluiceProcess } from "../harness/netns/program.ts";
import { World } from "../harness/netns/world.ts";
import { service, slices } from "../harness/netns/world-objects.ts";
import { ANSWERED_PORT, CONNECT_PORT, type FloodRequest, UNANSWERED_PORT } from "./flood.ts";
import { quantile } from "./measures.ts";

/** Nanoseconds of one kind of packet or connection: medians. */
export interface ForwardingFigures {
  readonly about: string;
  readonly without: number;
  readonly with: number;
  /** Median of the differences and of the ratios, run by run. */
  readonly difference: number;
  readonly ratio: number;
}

const HOOK = ["inet", "sluice", "filter-forward"];
const REQUESTS: readonly (readonly [string, FloodRequest])[] = [
  ["packet of an established connection", { what: "answered", count: 200_000 }],
  ["datagram of a flow without replies", { what: "unanswered", count: 200_000 }],
  ["new TCP connection", { what: "connect", count: 5000 }],
];

/** Measures each kind of packet. */
export async function measureForwarding(runs: number): Promise<readonly ForwardingFigures[]> {
  const world = await World.build({ prefix: "sl-bench" });
  const children: Child[] = [];
  try {
    const program = new SluiceProcess(world);
    const ports = [
      { name: "answered", port: ANSWERED_PORT, target: ANSWERED_PORT, protocol: "UDP" },
      { name: "unanswered", port: UNANSWERED_PORT, target: UNANSWERED_PORT, protocol: "UDP" },
      { name: "connect", port: CONNECT_PORT, target: CONNECT_PORT },
    ] as const;
    const name = "flood";
    program.put([service({ name, number: 1, ports }), ...slices(name, ["a2"], { ports })]);
    await program.start();
    // The rules stay, and nobody repairs them.
    await program.stop();
    const child = async (place: "a1" | "a2", ...words: string[]) => {
      const made = new Child(world.inside(place, floodCommand(words)));
      children.push(made);
      if ((await made.line()) !== "ready") throw new Error(`flood ${words[0]}: it ended`);
      return made;
    };
    await child("a2", "server", addressOf("a1", 4));
    const client = await child("a1", "client", clusterIp(1, 4));
    return await compare(world, client, runs);
  } finally {
    for (const each of children) each.kill();
    await world.close();
  }
}

function floodCommand(words: readonly string[]): string[] {
  return [process.execPath, join(import.meta.dir, "flood.ts"), ...words];
}

async function compare(
  world: World,
  client: Child,
  runs: number,
): Promise<readonly ForwardingFigures[]> {
  const nft = (...words: string[]) => world.run("node1", ["nft", ...words]);
  const text = await nft("list", "chain", ...HOOK);
  const costs = REQUESTS.map(() => ({ without: [] as number[], with: [] as number[] }));
  // The first run warms up.
  for (let run = 0; run <= runs; run++) {
    for (const side of run % 2 === 0
      ? (["with", "without"] as const)
      : (["without", "with"] as const)) {
      if (side === "without") {
        await nft("flush", "chain", ...HOOK);
        await nft("delete", "chain", ...HOOK);
      }
      for (const [index, [, request]] of REQUESTS.entries()) {
        const ns = await client.ask(request);
        if (run > 0) costs[index]?.[side].push(ns);
      }
      if (side === "without") await nft(text);
    }
    writeSync(2, `\rrun ${run} of ${runs}`);
  }
  writeSync(2, "\n");
  return REQUESTS.map(([about], index) =>
    summary(about, costs[index]?.without, costs[index]?.with),
  );
}

function summary(
  about: string,
  without: readonly number[] = [],
  withHook: readonly number[] = [],
): ForwardingFigures {
  const pairs = withHook.map((ns, run) => [ns, without[run] ?? Number.NaN] as const);
  return {
    about,
    without: quantile(without, 0.5),
    with: quantile(withHook, 0.5),
    difference: quantile(
      pairs.map(([one, other]) => one - other),
      0.5,
    ),
    ratio: quantile(
      pairs.map(([one, other]) => one / other),
      0.5,
    ),
  };
}

/** A process that answers each line with a line. */
class Child {
  readonly #child: Bun.Subprocess<"pipe", "pipe", "inherit">;
  readonly #lines: AsyncIterator<Uint8Array>;

  constructor(command: readonly string[]) {
    this.#child = Bun.spawn([...command], { stdio: ["pipe", "pipe", "inherit"] });
    this.#lines = this.#child.stdout[Symbol.asyncIterator]();
  }

  /** The next line. The child writes one at a time. */
  async line(): Promise<string> {
    const { value } = await this.#lines.next();
    return new TextDecoder().decode(value).trim();
  }

  async ask(request: FloodRequest): Promise<number> {
    this.#child.stdin.write(`${JSON.stringify(request)}\n`);
    this.#child.stdin.flush();
    return Number(await this.line());
  }

  kill(): void {
    this.#child.kill("SIGKILL");
  }
}
