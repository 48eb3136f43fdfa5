import { describe, expect, test } from "bun:test";
import { createNamespace } from "../../../harness/cluster/cabled-netns.ts";
import { run } from "../../../harness/commands.ts";

const root = process.getuid?.() === 0;
if (!root) console.log("skip: network namespaces: they need root");

/** A program that creates a namespace with a process in it, prints their names, and waits. */
const VICTIM = `
  import { createNamespace } from "${import.meta.dir}/../../../harness/cluster/cabled-netns.ts";
  import { startDaemon } from "${import.meta.dir}/../../../harness/daemon.ts";
  const { name, address } = createNamespace();
  const { pid } = startDaemon(name, ["sleep", "1000"], "/dev/null");
  console.log(JSON.stringify({ name, address, pid }));
  await new Promise(() => setInterval(() => {}, 1000));
`;

describe.skipIf(!root)("a test's network namespace", () => {
  test("is connected to ours", () => {
    const namespace = createNamespace();
    const neighbors = run("ip", "route", "get", namespace.address);
    expect(neighbors).toContain(`src ${namespace.outside}`);
    expect(run("ip", "netns", "list")).toContain(namespace.name);
    namespace.remove();
    expect(run("ip", "netns", "list")).not.toContain(namespace.name);
  });

  test("leaves no process behind when its owner is killed, and the next one removes it", async () => {
    const owner = Bun.spawn([process.execPath, "-e", VICTIM], { stdout: "pipe" });
    let output = "";
    for await (const chunk of owner.stdout) {
      output += Buffer.from(chunk).toString();
      if (output.includes("\n")) break;
    }
    const { name, pid } = JSON.parse(output) as { name: string; pid: number };
    const inside = () => run("ip", "netns", "pids", name).trim();
    while (inside() !== `${pid}`) await Bun.sleep(1);
    owner.kill("SIGKILL");
    await owner.exited;
    while (inside() !== "") await Bun.sleep(1);

    const next = createNamespace();
    expect(run("ip", "netns", "list")).not.toContain(name);
    next.remove();
  });
});
