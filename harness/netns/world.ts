/** Builds a small world of network namespaces: two nodes, their pods, and an outside client. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { runAsync } from "../commands.ts";
import { until } from "../waiting.ts";
import { addressOf, FAMILIES, HOSTS, type Location, PODS, SERVER_PORTS } from "./addresses.ts";
import { type Attachment, addresses, nodeLinks, sysctls } from "./links.ts";
import { type Reply, SwitchboardClient, type Transport } from "./switchboard/switchboard-client.ts";

export interface WorldOptions {
  readonly attachment?: Attachment;
  /** First part of the namespaces' names. */
  readonly prefix?: string;
}

export interface ConnectOptions {
  readonly transport?: Transport;
  readonly source?: string;
  readonly sourcePort?: number;
  readonly timeoutMs?: number;
  readonly hold?: boolean;
}

let built = 0;

export class World {
  readonly switchboard = new SwitchboardClient();
  /** Folder for manifests and logs, removed with the world. */
  readonly directory: string;
  private readonly prefix: string;

  private constructor(prefix: string) {
    this.prefix = prefix;
    this.directory = mkdtempSync(join(tmpdir(), `${prefix}-`));
  }

  /**
   * Builds it, with a server on SERVER_PORTS of every pod and node. A failure leaves nothing
   * behind.
   */
  static async build(options: WorldOptions = {}): Promise<World> {
    const { attachment = "links", prefix = "sl" } = options;
    const world = new World(`${prefix}-${process.pid}-${++built}`);
    try {
      await world.lay(attachment);
      await world.serve();
    } catch (error) {
      await world.close();
      throw error;
    }
    return world;
  }

  /** Name of a place's namespace. */
  namespace(place: Location): string {
    return `${this.prefix}-${place}`;
  }

  /** Opens a connection from a place; TCP by default. */
  connect(
    from: Location,
    address: string,
    port: number,
    options: ConnectOptions = {},
  ): Promise<Reply> {
    const namespace = this.namespace(from);
    return this.switchboard.connect({ transport: "tcp", ...options, namespace, address, port });
  }

  /** The command line that runs a command in a place. */
  inside(place: Location, command: readonly string[]): string[] {
    return ["ip", "netns", "exec", this.namespace(place), ...command];
  }

  /** Runs a command in a place. Throws with its standard error, unless it exits with 0. */
  async run(place: Location, command: readonly string[]): Promise<string> {
    return runAsync(this.inside(place, command));
  }

  /** Adds an address to a device of a place, or removes it. */
  async changeAddress(
    verb: "add" | "del",
    place: Location,
    address: string,
    device: string,
    options: readonly string[] = [],
  ): Promise<void> {
    const six = address.includes(":");
    const full = `${address}/${six ? 128 : 32}`;
    const nodad = six ? ["nodad"] : [];
    await this.run(place, ["ip", "addr", verb, full, "dev", device, ...nodad, ...options]);
    if (verb === "add") await this.untilLocal(place, address);
  }

  /** Waits for the local route to an address. With IPv6, it comes a moment after the address. */
  async untilLocal(place: Location, address: string): Promise<void> {
    await until(`${address} is local in ${place}`, async () =>
      (await this.run(place, ["ip", "route", "get", address])).startsWith("local "),
    );
  }

  /** Removes everything, including the processes inside. */
  async close(): Promise<void> {
    await this.switchboard.close();
    rmSync(this.directory, { recursive: true, force: true });
  }

  private async lay(attachment: Attachment): Promise<void> {
    const places: readonly Location[] = [...HOSTS, ...PODS];
    const namespaces = places.map((place) => this.namespace(place));
    await this.switchboard.command({ do: "adopt", namespaces, paths: [this.directory] });
    await batch(
      [],
      namespaces.map((namespace) => `netns add ${namespace}`),
    );
    await Promise.all(
      places.map((place) =>
        this.switchboard.command({
          do: "sysctl",
          namespace: this.namespace(place),
          values: sysctls(place === "node1" || place === "node2"),
        }),
      ),
    );
    for (const node of ["node1", "node2"] as const) {
      const lines = nodeLinks(node, (place) => this.namespace(place), attachment);
      await batch(["-n", this.namespace(node)], lines);
    }
    await Promise.all(
      places.map((place) => batch(["-n", this.namespace(place)], addresses(place, attachment))),
    );
  }

  private async serve(): Promise<void> {
    const servers = (["node1", "node2", ...PODS] as const).flatMap((place) =>
      SERVER_PORTS.flatMap((port) =>
        FAMILIES.flatMap((family) =>
          (["tcp", "udp"] as const).map((transport) =>
            this.switchboard.command({
              do: "listen",
              namespace: this.namespace(place),
              name: place,
              address: addressOf(place, family),
              port,
              transport,
            }),
          ),
        ),
      ),
    );
    await Promise.all(servers);
  }
}

async function batch(options: readonly string[], lines: readonly string[]): Promise<void> {
  await runAsync(["ip", ...options, "-batch", "-"], `${lines.join("\n")}\n`);
}
