/**
 * Tests the backend's reports: families that it cannot serve, unsupported features, and the chains
 * of a frontend.
 */
import { beforeEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { rmSync } from "node:fs";
import { join } from "node:path";
import { useFreshNetns } from "../../harness/fresh-netns.ts";
import { describeService } from "../../src/observe/service-view.ts";
import {
  clearTables,
  type IptablesWorld,
  iptablesWorld,
  RealToolFolder,
  VARIANTS,
} from "./iptables-world.ts";

setDefaultTimeout(60_000);
useFreshNetns();
beforeEach(clearTables);

function frontends({ core, backend }: IptablesWorld, name: string) {
  return describeService(core, "default", name, [], backend)?.frontends ?? [];
}

describe.each(VARIANTS)("through iptables-%s", (variant) => {
  test("a family without its tools is named, and so is each of its frontends", async () => {
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

  test("if both are served, nothing is reported", async () => {
    const { unserved, unsupported } = (await iptablesWorld(variant)).backend.capabilities;
    expect([unserved, unsupported]).toEqual([[], []]);
  });

  test("a frontend names the chains of its port, which are in the kernel, but no endpoint chains", async () => {
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

test("without xt_recent, missing affinity is reported; missing comments are not", async () => {
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
