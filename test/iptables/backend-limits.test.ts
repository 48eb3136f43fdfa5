/** What the backend tells an operator: which family it cannot serve, what it lacks, and where a frontend is. */
import { beforeEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { rmSync } from "node:fs";
import { join } from "node:path";
import { inFreshNetns } from "../../harness/fresh-netns.ts";
import { describeService } from "../../src/observe/service-view.ts";
import {
  clearTables,
  type IptablesWorld,
  iptablesWorld,
  RealToolFolder,
  VARIANTS,
} from "./iptables-world.ts";

setDefaultTimeout(60_000);
inFreshNetns();
beforeEach(clearTables);

function frontends({ core, backend }: IptablesWorld, name: string) {
  return describeService(core, "default", name, [], backend)?.frontends ?? [];
}

describe.each(VARIANTS)("through iptables-%s", (variant) => {
  test("a family without its tools is named, and so is each frontend of it", async () => {
    const fakeTools = new RealToolFolder(variant);
    for (const suffix of ["", "-save", "-restore"]) {
      rmSync(join(fakeTools.folder, `ip6tables-${variant}${suffix}`));
    }
    const world = await iptablesWorld(variant, { fakeTools });
    const reason = expect.stringMatching(/^no ip6tables.* is installed$/);
    expect(world.backend.capabilities.unserved).toEqual([
      { family: 6, code: "TOOL_FAILED", reason },
    ]);
    expect(frontends(world, "six")).toMatchObject([{ family: 6, unserved: reason }]);
    expect(frontends(world, "web")[0]).not.toHaveProperty("unserved");
  });

  test("where both are served, there is nothing to tell", async () => {
    const { unserved, unsupported } = (await iptablesWorld(variant)).backend.capabilities;
    expect([unserved, unsupported]).toEqual([[], []]);
  });

  test("a frontend names the chains of its port, which are in the kernel, but not those of its endpoints", async () => {
    const world = await iptablesWorld(variant);
    const chains = ["web", "sticky", "outside", "six"].map((name) =>
      frontends(world, name).map((frontend) => frontend.chains ?? []),
    );
    const kinds = chains.map((each) =>
      each.map((names) => names.map((name) => name.replace(/[A-Z2-7]{16}$/, "")).join(" ")),
    );
    const outside = "KUBE-SVC- KUBE-SVL- KUBE-EXT-";
    expect(kinds).toEqual([
      ["KUBE-SVC-"],
      ["KUBE-SVC-"],
      [outside, outside, outside],
      ["KUBE-SVC-"],
    ]);
    const kernel = world.saved("nat") + world.saved("nat", "ip6tables");
    for (const chain of chains.flat(2)) expect(kernel).toContain(`:${chain} -`);
    expect(frontends(world, "idle")[0]).not.toHaveProperty("chains");
  });
});

test("without xt_recent it is told that affinity is not kept; without comments nobody misses anything", async () => {
  const fakeTools = new RealToolFolder("nft");
  fakeTools.fake(
    "iptables",
    "-restore",
    "if grep -qE 'm (recent|comment)' $INPUT; then echo 'Error occurred at line: 3' >&2; exit 2; fi",
  );
  const { backend } = await iptablesWorld("nft", {
    fakeTools,
    objects: () => {},
    unsynced: true,
  });
  expect(backend.capabilities.unsupported).toEqual([
    "IPv4: session affinity does not work, because the kernel lacks xt_recent",
  ]);
});
