/** Records changes of node1's rules with `nft monitor`. */
import type { World } from "../../harness/netns/world.ts";

export interface Monitor {
  /** Stops recording. Returns the changes, without those that the monitor made itself. */
  stop(): Promise<string[]>;
}

/** Starts recording. Every change after this resolves is recorded. */
export async function monitor(world: World): Promise<Monitor> {
  const child = Bun.spawn(world.inside("node1", ["nft", "monitor"]), {
    stdout: "pipe",
    stderr: "inherit",
    stdin: "ignore",
  });
  const lines: string[] = [];
  const reading = (async () => {
    let pending = "";
    const decoder = new TextDecoder();
    for await (const chunk of child.stdout) {
      const parts = (pending + decoder.decode(chunk, { stream: true })).split("\n");
      pending = parts.pop() ?? "";
      lines.push(...parts);
    }
  })();

  // Creates and deletes a table until the monitor prints it, and so has printed all changes before.
  const passes = async (table: string): Promise<void> => {
    while (!lines.some((line) => line.includes(table))) {
      await world.run("node1", ["nft", "add", "table", "inet", table]);
      await world.run("node1", ["nft", "delete", "table", "inet", table]);
    }
  };
  await passes("monitor-begins");
  return {
    async stop() {
      await passes("monitor-ends");
      child.kill();
      await reading;
      return lines.filter((line) => line !== "" && !/^# new generation|monitor-/.test(line));
    },
  };
}
