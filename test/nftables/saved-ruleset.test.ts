/** The documented command to save a ruleset (docs/troubleshooting.md) does what the text says. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pipe, run } from "../../harness/commands.ts";
import { useFreshNetns } from "../../harness/fresh-netns.ts";
import { driftedWorld, putServices } from "../../harness/sync/drifted-world.ts";

useFreshNetns();

const DOCUMENT = join(import.meta.dir, "../../docs/troubleshooting.md");
const FIREWALL = `
  table inet filter { chain input { type filter hook input priority 0; ct state invalid drop; }; }
  table ip nat { chain prerouting { type nat hook prerouting priority -100; }; }
`;

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "sluice-saved-"));
});
afterAll(() => rmSync(folder, { recursive: true }));

/** The documented command, with a private file instead of the machine's. */
function documented(file: string): string {
  const text = readFileSync(DOCUMENT, "utf8");
  const [, command] = /## Saved rulesets\n[\s\S]*?```sh\n([\s\S]*?)```/.exec(text) ?? [];
  expect(command).toContain("> /etc/nftables.conf\n");
  return (command ?? "").replace("/etc/nftables.conf", file);
}

test("a ruleset saved as documented has all tables except ours, and can be loaded", async () => {
  pipe(FIREWALL, "nft", "-f", "-");
  const firewall = run("nft", "list", "ruleset");
  const world = driftedWorld();
  try {
    putServices(world);
    expect(await world.sync()).toBe(true);
    const file = join(folder, "nftables.conf");
    run("sh", "-euc", documented(file));
    expect(readFileSync(file, "utf8")).toBe(`flush ruleset\n${firewall}`);
    run("nft", "-f", file);
    expect(run("nft", "list", "ruleset")).toBe(firewall);
  } finally {
    world.close();
  }
});
