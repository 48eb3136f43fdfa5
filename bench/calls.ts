/** Opens real connections from the node to clusterIPs, through caller.ts. */
import type { Answer, Request } from "./caller.ts";
import { type Child, SERVICE_PORT, startChild } from "./pods.ts";

export class Calls {
  readonly #child: Child;
  readonly #followed = new Map<number, (at: number) => void>();
  #answered: ((answer: Answer) => void) | undefined;

  constructor(netns: string) {
    this.#child = startChild(netns, ["caller.ts"]);
    void this.#read();
  }

  /**
   * Resolves when each of these clusterIPs led to an endpoint, with milliseconds since the epoch.
   *
   * @throws after `timeoutMs`
   */
  async served(addresses: readonly string[], timeoutMs: number): Promise<number> {
    const request = { ask: "served", addresses, port: SERVICE_PORT } as const;
    const answer = await within(this.#ask(request), timeoutMs);
    return "at" in answer ? answer.at : Number.NaN;
  }

  /**
   * Resolves when a connection to the clusterIP reached an endpoint of this mark.
   *
   * @throws after `timeoutMs`
   */
  follow(mark: number, address: string, timeoutMs: number): Promise<number> {
    const { promise, resolve } = Promise.withResolvers<number>();
    this.#followed.set(mark, resolve);
    this.#send({ ask: "follow", mark, address, port: SERVICE_PORT });
    return within(promise, timeoutMs);
  }

  /**
   * Microseconds of each connection, by destination. Destinations alternate, so that all meet the
   * same conditions.
   */
  async connect(
    to: readonly (readonly [address: string, port: number])[],
    rounds: number,
    source?: string,
  ): Promise<readonly (readonly number[])[]> {
    const answer = await this.#ask({ ask: "connect", to, rounds, ...(source && { source }) });
    return "took" in answer ? answer.took : [];
  }

  stop(): void {
    this.#child.kill("SIGKILL");
  }

  #ask(request: Request): Promise<Answer> {
    const { promise, resolve } = Promise.withResolvers<Answer>();
    this.#answered = resolve;
    this.#send(request);
    return promise;
  }

  #send(request: Request): void {
    this.#child.stdin.write(`${JSON.stringify(request)}\n`);
    this.#child.stdin.flush();
  }

  async #read(): Promise<void> {
    const decoder = new TextDecoder();
    let rest = "";
    for await (const chunk of this.#child.stdout) {
      rest += decoder.decode(chunk, { stream: true });
      const lines = rest.split("\n");
      rest = lines.pop() ?? "";
      for (const line of lines) {
        const answer = JSON.parse(line) as Answer;
        if ("mark" in answer) this.#followed.get(answer.mark)?.(answer.at);
        else this.#answered?.(answer);
      }
    }
  }
}

async function within<Value>(promise: Promise<Value>, timeoutMs: number): Promise<Value> {
  const late = Promise.withResolvers<never>();
  const timer = setTimeout(
    () => late.reject(new Error(`No connection reached it within ${timeoutMs / 1000} s`)),
    timeoutMs,
  );
  try {
    return await Promise.race([promise, late.promise]);
  } finally {
    clearTimeout(timer);
  }
}
