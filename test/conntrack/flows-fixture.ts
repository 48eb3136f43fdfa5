/**
 * Runs a whole proxy except nftables, with the kernel's own connection tracking in the test file's
 * network namespace.
 */
import { afterEach, beforeEach } from "bun:test";
import { run } from "../../harness/commands.ts";
import { useFreshNetns } from "../../harness/fresh-netns.ts";
import { parseRange } from "../../harness/plan/plan-text.ts";
import { type SyncWorld, service, slice, syncWorld } from "../../harness/sync/sync-world.ts";
import { systemClock } from "../../src/base/clock.ts";
import type { JsonObject } from "../../src/base/json.ts";
import { createLogger } from "../../src/base/log.ts";
import {
  FlowReconciler,
  type FlowSockets,
  type FlowsReport,
} from "../../src/conntrack/reconcile-flows.ts";

const PORTS = [{ name: "http", protocol: "UDP", port: 53, nodePort: 30_053 }];
const CLIENT = { 4: "10.244.9.9", 6: "fd00:10:244::9" };
/** A node address with node ports. */
const NODE = parseRange("198.51.100.1/32");

/** The fields that give a Service a node port and an external address. */
export const NODE_PORT = { type: "NodePort", externalIPs: ["192.0.2.53"] };

/** A Service with UDP on 53, and its slice on 5353. */
export const udp = (name: string, ip: string, spec: JsonObject = {}) =>
  service(name, ip, { ports: PORTS, ...spec });
export const udpSlice = (name: string, of: string, addresses: readonly string[]) => ({
  ...slice(name, of, addresses),
  ports: [{ name: "http", protocol: "UDP", port: 5353 }],
});

/** For every test of a file: its own world, without connections of earlier tests. */
export class FlowsFixture {
  lines: string[] = [];
  reports: FlowsReport[] = [];
  #world: SyncWorld | undefined;
  #flows: FlowReconciler | undefined;
  #wake = () => {};
  #ports = 1000;

  constructor() {
    useFreshNetns();
    beforeEach(() => {
      this.lines = [];
      this.reports = [];
      this.#wake = () => {};
      this.#world = syncWorld();
      this.world.inputs.setLocalRanges([NODE]);
      this.use();
    });
    afterEach(() => {
      this.#flows?.close();
      run("conntrack", "-F");
    });
  }

  get world(): SyncWorld {
    if (this.#world === undefined) throw new Error("The world is made before each test");
    return this.#world;
  }

  get flows(): FlowReconciler {
    if (this.#flows === undefined) throw new Error("The flows are made before each test");
    return this.#flows;
  }

  /** From now on, connections follow through these sockets. */
  use(open?: () => FlowSockets): void {
    this.#flows?.close();
    const write = (line: string) => {
      this.lines.push(line);
      this.#wake();
    };
    this.#flows = new FlowReconciler({
      core: this.world.core,
      clock: systemClock,
      log: createLogger({ verbosity: 0, format: "text", now: () => 0, write, pid: 1 }),
      report: (report) => {
        this.reports.push(report);
        this.#wake();
      },
      nodePortRanges: () => this.world.inputs.localNodePortRanges(),
      ...(open && { open }),
    });
  }

  /** Resolves with the next report or log line. */
  next(): Promise<void> {
    return new Promise((resolve) => {
      this.#wake = resolve;
    });
  }

  /** Syncs, and requests a pass over the connections without waiting for it. */
  async sync(): Promise<void> {
    await this.world.sync();
    this.flows.changed();
  }

  /** The same, and waits for the pass: one for each family. */
  async follow(families = 1): Promise<void> {
    await this.sync();
    for (let i = 0; i < families; i++) await this.next();
  }

  /** A Service `dns` with two endpoints, and another Service. */
  async given(spec: JsonObject = {}): Promise<void> {
    const { world } = this;
    world.put("Service", udp("dns", "10.96.0.53", spec));
    world.put("EndpointSlice", udpSlice("dns-1", "dns", ["10.1.0.1", "10.1.0.2!"]));
    world.put("Service", udp("other", "10.96.0.54"));
    world.put("EndpointSlice", udpSlice("other-1", "other", ["10.1.0.7"]));
    await this.follow();
  }

  /**
   * An entry of a client that connected to `to` and is answered by `from`, each as `address port`.
   */
  entry(to: string, from: string, protocol = "udp"): void {
    const [destination = "", port = ""] = to.split(" ");
    const [source = "", sourcePort = ""] = from.split(" ");
    const client = destination.includes(":") ? CLIENT[6] : CLIENT[4];
    const own = String(++this.#ports);
    const state = protocol === "tcp" ? ["--state", "ESTABLISHED"] : [];
    run(
      ...["conntrack", "-I", "-p", protocol, "-t", "600", ...state],
      ...["-s", client, "-d", destination, "--sport", own, "--dport", port],
      ...["-r", source, "-q", client, "--reply-port-src", sourcePort, "--reply-port-dst", own],
    );
  }

  /** A translated TCP connection in a state, with the addresses of `entry`. */
  tcp(to: string, from: string, state: string, ...status: string[]): void {
    const [destination = "", port = ""] = to.split(" ");
    run(
      ...["conntrack", "-I", "-p", "tcp", "-t", "600", "--state", state],
      ...["-s", CLIENT[4], "-d", destination, "--sport", String(++this.#ports), "--dport", port],
      ...["--dst-nat", from.replace(" ", ":")],
      ...status.flatMap((each) => ["-u", each]),
    );
  }

  /** All entries as `to \<- from`. */
  entries(): string[] {
    return ["ipv4", "ipv6"].flatMap((family) =>
      run("conntrack", "-L", "-f", family, "-o", "extended")
        .split("\n")
        .flatMap((line) => {
          const [to, from] = [...line.matchAll(/src=(\S+) dst=(\S+) sport=(\d+) dport=(\d+)/g)];
          return to && from ? [`${to[2]} ${to[4]} <- ${from[1]} ${from[3]}`] : [];
        }),
    );
  }
}
