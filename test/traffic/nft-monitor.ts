/** What changes in the rules of node1, by `nft monitor`. */
import type { World } from "../../harness/netns/world.ts";

export interface Monitor {
  /** The changes so far, without those that the monitor itself made, and ends it. */
  stop(): Promise<string[]>;
}

/** Starts it; when this returns, no change is missed any more. */
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

  // A table of our own comes and goes until the monitor tells of it: then it tells of all before it.
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
