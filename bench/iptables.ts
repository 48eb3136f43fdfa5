/**
 * Compares iptables mode with kube-proxy's by real connections. It measures how soon Services are
 * served, how soon they follow a change (single, and at 50 per second), and the cost of a
 * connection.
 *
 * usage: npm run bench -- --iptables [--sizes 1000,10000] [--upstream | --only-upstream]
 */
import { type ControlPlane, startControlPlane } from "../harness/cluster/control-plane.ts";
import {
  clusterIp,
  createNode,
  endpointAddress,
  loadObjects,
  makeSlice,
  slicePath,
} from "../harness/cluster/many-objects.ts";
import { MemorySampler, memoryOf } from "../harness/process-memory.ts";
import { addressesOf } from "./caller.ts";
import { Calls } from "./calls.ts";
import { cpuOf, quantile } from "./measures.ts";
import { ENDPOINT_PORT, LOCAL_POD, SERVICE_PORT, startPods } from "./pods.ts";
import {
  type Contestant,
  NODE,
  removeAllRules,
  sluice,
  startProxy,
  untilHealthy,
  upstream,
  writeConfiguration,
} from "./proxies.ts";
import { type Variant, Xtables } from "./xtables.ts";

/** Milliseconds, microseconds and mebibytes, of one proxy at one size. */
export interface IptablesFigures {
  /**
   * From exec until connections to Services across the whole range reach an endpoint, and until
   * /healthz reports success.
   */
  readonly startServed: number;
  readonly startHealthy: number;
  /** Processor time until then, including the tools. */
  readonly startCpu: number;
  /** From just before the API request until a connection reaches the new endpoint. */
  readonly changeP50: number;
  readonly changeP99: number;
  readonly changeCpu: number;
  readonly changes: number;
  /** Number of IPv4 rules; absent in nftables mode, which has elements instead. */
  readonly rulesNat: number;
  readonly rulesFilter: number;
  /** A restore of one unused chain by the benchmark: the minimum for the tool and the kernel. */
  readonly restore: number;
  /**
   * Time to connect to a clusterIP and, in between, to the endpoint itself: from a pod of this
   * node, and from the node.
   */
  readonly podConnectP50: number;
  readonly podConnectP99: number;
  readonly podDirectP50: number;
  readonly nodeConnectP50: number;
  readonly nodeDirectP50: number;
  /** As changeP50, at 50 changes per second. */
  readonly burstP50: number;
  readonly burstP99: number;
  readonly burstMax: number;
  /** In restores: two, if each change waits for the running restore and is in the next one. */
  readonly burstRestores: number;
  readonly burstCpu: number;
  readonly burstChanges: number;
  /** As in Figures; without the tools. */
  readonly anonymousAfterStart: number;
  readonly fileBackedAfterStart: number;
  readonly anonymous: number;
  readonly fileBacked: number;
  readonly anonymousPeak: number;
  readonly fileBackedPeak: number;
  readonly peak: number;
}

export interface IptablesResult {
  readonly proxy: string;
  readonly variant: Variant | "nftables";
  readonly services: number;
  readonly endpoints: number;
  /** The figures, or the reason why they are missing. */
  readonly figures: IptablesFigures | string;
}

export interface IptablesOptions {
  readonly services: number;
  readonly endpoints: number;
  readonly changes: number;
  readonly ours: boolean;
  readonly upstream: boolean;
}

/** With the nft variant and 10,000 Services, kube-proxy does not finish its start in 5 minutes. */
const UPSTREAM_NFT_MAX = 1000;
const UPSTREAM_CHANGES = 20;
const START_PATIENCE_MS = 60_000;
const PATIENCE_MS = 30_000;
/** Services that must answer for a start to be complete, and that are used to time connections. */
const SAMPLES = 50;
const ROUNDS = 40;
const BURST_SECONDS = 20;
const BURST_RATE = 50;
/** Pause after a start and a burst, so that all work is done. */
const REST_MS = 3000;

interface Entry {
  readonly contestant: Contestant;
  readonly mode: "nftables" | "iptables";
  readonly xtables?: Xtables;
}

export async function measureIptables(
  root: string,
  options: IptablesOptions,
  versions: Map<string, string>,
): Promise<IptablesResult[]> {
  const { services, endpoints } = options;
  const plane = await startControlPlane();
  const results: IptablesResult[] = [];
  try {
    await createNode(plane.api, NODE, plane.netns.address);
    await loadObjects(plane, services, endpoints);
    const pods = await startPods(plane);
    const bench = new Bench(plane, options);
    try {
      for (const entry of entries(root, plane, options)) {
        const { contestant, xtables, mode } = entry;
        versions.set(contestant.name, await contestant.version());
        if (xtables) versions.set(xtables.variant, await xtables.version());
        const figures = await bench.measure(entry).catch((error) => String(error));
        const variant = xtables?.variant ?? "nftables";
        results.push({ proxy: contestant.name, variant, services, endpoints, figures });
        console.log(`${services} Services: ${contestant.name} in mode ${mode}, ${variant}: done`);
      }
    } finally {
      pods.stop();
    }
  } finally {
    await plane.stop();
  }
  return results;
}

/** The legacy variant comes last, because the hooks of its tables stay. */
function entries(root: string, plane: ControlPlane, options: IptablesOptions): Entry[] {
  const [nft, legacy] = (["nft", "legacy"] as const).map(
    (variant) => new Xtables(variant, plane.netns.name, plane.workdir),
  );
  const all: Entry[] = [];
  if (options.ours) all.push({ contestant: sluice(root), mode: "nftables" });
  for (const xtables of [nft, legacy]) {
    if (xtables === undefined) continue;
    const add = (contestant: Contestant): void => {
      const through = xtables.environment;
      all.push({ contestant: { ...contestant, through }, mode: "iptables", xtables });
    };
    if (options.ours) add(sluice(root));
    const bearable = xtables.variant === "legacy" || options.services <= UPSTREAM_NFT_MAX;
    if (options.upstream && bearable) add(upstream(plane));
  }
  return all;
}

class Bench {
  readonly #plane: ControlPlane;
  readonly #options: IptablesOptions;
  /** Number of the last change. Its endpoints are new to every proxy. */
  #mark = 0;

  constructor(plane: ControlPlane, options: IptablesOptions) {
    this.#plane = plane;
    this.#options = options;
  }

  async measure({ contestant, mode, xtables }: Entry): Promise<IptablesFigures> {
    const plane = this.#plane;
    await xtables?.wipe();
    await removeAllRules(plane);
    writeConfiguration(plane, mode);
    const calls = new Calls(plane.netns.name);
    const begun = now();
    const proxy = startProxy(contestant, plane);
    const sampler = new MemorySampler(proxy.pid);
    try {
      const [served, healthy] = await Promise.all([
        calls.served(this.#samples(SAMPLES).map(clusterIp), START_PATIENCE_MS),
        untilHealthy(proxy, plane, START_PATIENCE_MS),
      ]);
      const startCpu = cpuOf(proxy.pid);
      await Bun.sleep(REST_MS);
      const afterStart = memoryOf(proxy.pid);
      const rules = await xtables?.rules();

      const connections = await this.#connect(calls);
      const alone = await this.#alone(calls, contestant, proxy.pid);
      await Bun.sleep(REST_MS);
      const burst = await this.#burst(calls, proxy.pid);
      await Bun.sleep(REST_MS);
      const { anonymous, fileBacked, peak } = memoryOf(proxy.pid);
      const restore = (await xtables?.restoreTime()) ?? Number.NaN;
      return {
        startServed: served - begun,
        startHealthy: healthy - begun,
        startCpu,
        ...alone,
        rulesNat: rules?.["nat"] ?? Number.NaN,
        rulesFilter: rules?.["filter"] ?? Number.NaN,
        restore,
        ...connections,
        ...burst,
        burstRestores: burst.burstMax / restore,
        anonymousAfterStart: afterStart.anonymous,
        fileBackedAfterStart: afterStart.fileBacked,
        anonymous,
        fileBacked,
        anonymousPeak: sampler.most.anonymous,
        fileBackedPeak: sampler.most.fileBacked,
        peak,
      };
    } catch (error) {
      throw new Error(`${String(error)}\n${proxy.tail(3)}`);
    } finally {
      calls.stop();
      sampler.stop();
      await proxy.stop();
      await xtables?.wipe();
    }
  }

  /** Indices of this many Services, evenly spread and including the last one. */
  #samples(count: number): number[] {
    const { services } = this.#options;
    const fitting = Math.min(count, services);
    return Array.from(
      { length: fitting },
      (_, number) => Math.floor(((number + 1) * services) / fitting) - 1,
    );
  }

  async #connect(calls: Calls) {
    const to = this.#samples(SAMPLES).flatMap((index) => [
      [clusterIp(index), SERVICE_PORT] as const,
      [endpointAddress(index * this.#options.endpoints), ENDPOINT_PORT] as const,
    ]);
    const p = (elapsed: readonly (readonly number[])[], odd: number, part: number) =>
      quantile(elapsed.filter((_, index) => index % 2 === odd).flat(), part);
    const pod = await calls.connect(to, ROUNDS, LOCAL_POD);
    const node = await calls.connect(to, ROUNDS);
    return {
      podConnectP50: p(pod, 0, 0.5),
      podConnectP99: p(pod, 0, 0.99),
      podDirectP50: p(pod, 1, 0.5),
      nodeConnectP50: p(node, 0, 0.5),
      nodeDirectP50: p(node, 1, 0.5),
    };
  }

  async #alone(calls: Calls, contestant: Contestant, pid: number) {
    const slow = contestant.name !== "sluice";
    const changes = slow
      ? Math.min(UPSTREAM_CHANGES, this.#options.changes)
      : this.#options.changes;
    const elapsed: number[] = [];
    const cpu = cpuOf(pid);
    for (const index of this.#samples(changes)) {
      elapsed.push(await this.#change(calls, index));
      await Bun.sleep(contestant.rest);
    }
    return {
      changeP50: quantile(elapsed, 0.5),
      changeP99: quantile(elapsed, 0.99),
      changeCpu: (cpuOf(pid) - cpu) / elapsed.length,
      changes: elapsed.length,
    };
  }

  async #burst(calls: Calls, pid: number) {
    const changes = BURST_SECONDS * BURST_RATE;
    const indices = this.#samples(changes);
    const cpu = cpuOf(pid);
    const begun = performance.now();
    const under: Promise<number>[] = [];
    for (let change = 0; change < changes; change++) {
      await Bun.sleep(Math.max(0, begun + (change * 1000) / BURST_RATE - performance.now()));
      under.push(this.#change(calls, indices[change % indices.length] ?? 0));
    }
    const elapsed = await Promise.all(under);
    return {
      burstP50: quantile(elapsed, 0.5),
      burstP99: quantile(elapsed, 0.99),
      burstMax: Math.max(...elapsed),
      burstCpu: cpuOf(pid) - cpu,
      burstChanges: elapsed.length,
    };
  }

  /** Replaces the endpoints of a Service. Returns the time until a connection reaches one. */
  async #change(calls: Calls, index: number): Promise<number> {
    const mark = ++this.#mark;
    const slice = makeSlice(index, this.#options.endpoints);
    const addresses = addressesOf(mark, this.#options.endpoints);
    for (const [position, endpoint] of (slice.endpoints ?? []).entries()) {
      endpoint.addresses = [addresses[position] ?? ""];
    }
    const asked = now();
    const followed = calls.follow(mark, clusterIp(index), PATIENCE_MS);
    const request = this.#plane.api.request("PATCH", slicePath(index), {
      endpoints: slice.endpoints,
    });
    const [at] = await Promise.all([followed, request]);
    return at - asked;
  }
}

/** Milliseconds since the epoch, with fractions, comparable between processes. */
function now(): number {
  return performance.timeOrigin + performance.now();
}
