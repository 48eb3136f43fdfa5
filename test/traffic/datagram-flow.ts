/** A flow of datagrams from one source port, which keeps its conntrack entry while it sends. */
import type { Location } from "../../harness/netns/addresses.ts";
import { nameOf } from "../../harness/netns/connections.ts";
import type { World } from "../../harness/netns/world.ts";
import { pollUntil } from "../../harness/waiting.ts";

const TRIAL_PATIENCE_MS = 100;
/** Below the range that the kernel assigns, and above the ports of other helpers. */
let sourcePort = 15_000;

export class DatagramFlow {
  readonly #world: World;
  readonly #address: string;
  readonly #port: number;
  readonly #from: Location;
  readonly #sourcePort = ++sourcePort;

  constructor(world: World, address: string, port: number, from: Location = "outside") {
    this.#world = world;
    this.#address = address;
    this.#port = port;
    this.#from = from;
  }

  /**
   * Sends a datagram. Returns the name of the server that answers, or the outcome. The socket does
   * not survive a refusal, but its source port does, and so the flow.
   */
  async ask(): Promise<string> {
    const options = {
      transport: "udp",
      sourcePort: this.#sourcePort,
      timeoutMs: TRIAL_PATIENCE_MS,
    } as const;
    return nameOf(await this.#world.connect(this.#from, this.#address, this.#port, options));
  }

  /** Asks until it is this answer. Returns the last one. */
  async asked(wanted: string): Promise<string> {
    return await pollUntil(
      () => this.ask(),
      (answer) => answer === wanted,
    );
  }
}
