/** Follows the nftables transactions of a network namespace, through monitor.ts. */
import { join } from "node:path";
import { inNamespace } from "../harness/daemon.ts";
import type { Commit } from "./monitor.ts";

/** The nftables transactions of a network namespace, in order. */
export class Commits {
  private readonly all: Commit[] = [];
  private waiting: (() => void) | undefined;
  private readonly child: Bun.Subprocess<"ignore", "pipe", "inherit">;

  private constructor(child: Bun.Subprocess<"ignore", "pipe", "inherit">) {
    this.child = child;
  }

  /** Starts watching; `first` and `count` select the clusterIPs to count. */
  static async watch(netns: string, first: string, count: number): Promise<Commits> {
    const child = Bun.spawn(
      [
        // Highest priority: a stopwatch that waits for a processor shows the wrong time.
        ...["nice", "-n", "-20", "setpriv", "--pdeathsig", "KILL", "--", ...inNamespace(netns)],
        ...[process.execPath, join(import.meta.dir, "monitor.ts"), first, `${count}`],
      ],
      { stdio: ["ignore", "pipe", "inherit"] },
    );
    const commits = new Commits(child);
    const ready = Promise.withResolvers<void>();
    void commits.read(ready.resolve).catch(ready.reject);
    await ready.promise;
    return commits;
  }

  /** Number of transactions so far, for use with `since`. */
  get count(): number {
    return this.all.length;
  }

  since(mark: number): readonly Commit[] {
    return this.all.slice(mark);
  }

  /**
   * Returns the first transaction after `mark` that satisfies the condition, and waits for it.
   *
   * @throws after `timeoutMs`
   */
  async find(mark: number, timeoutMs: number, is: (commit: Commit) => boolean): Promise<Commit> {
    const deadline = performance.now() + timeoutMs;
    for (let index = mark; ; index++) {
      while (index >= this.all.length) {
        const left = deadline - performance.now();
        if (left <= 0) throw new Error(`No such transaction within ${timeoutMs} ms`);
        await this.next(left);
      }
      const commit = this.all[index];
      if (commit?.lost)
        throw new Error("Notifications of the kernel were lost, so the result is unknown");
      if (commit !== undefined && is(commit)) return commit;
    }
  }

  /** Resolves after `quietMs` without a commit. */
  async settle(quietMs: number): Promise<void> {
    for (let seen = -1; seen !== this.all.length; ) {
      seen = this.all.length;
      await this.next(quietMs);
    }
  }

  stop(): void {
    this.child.kill("SIGKILL");
  }

  private next(timeoutMs: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, timeoutMs);
      this.waiting = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }

  private async read(ready: () => void): Promise<void> {
    const decoder = new TextDecoder();
    let rest = "";
    for await (const chunk of this.child.stdout) {
      rest += decoder.decode(chunk, { stream: true });
      const lines = rest.split("\n");
      rest = lines.pop() ?? "";
      for (const line of lines) {
        if (line === "{}") ready();
        else this.all.push(JSON.parse(line) as Commit);
      }
      this.waiting?.();
    }
    throw new Error("The monitor ended");
  }
}
