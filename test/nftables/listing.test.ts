import { afterAll, beforeAll, expect, test } from "bun:test";
import { run } from "../../harness/commands.ts";
import { add, named, operationList, rememberingCore } from "../../harness/core/made-operations.ts";
import { useFreshNetns } from "../../harness/fresh-netns.ts";
import { type Cidr, parseCidr } from "../../src/net/address.ts";
import {
  createNftablesBackend,
  type NftablesBackend,
} from "../../src/nftables/nftables-backend.ts";
import { WORLD } from "./every-table.ts";

useFreshNetns();

/** Reviewed by people, because operators see this. To accept a change, run with UPDATE_GOLDEN=1. */
const GOLDEN = `${import.meta.dir}/small-world.nft`;

let backend: NftablesBackend;
beforeAll(() => {
  backend = createNftablesBackend({
    masqueradeBit: 14,
    masqueradeAll: false,
    dropInvalid: false,
    counters: true,
    detector: {
      kind: "cidr",
      ipv4: parseCidr("10.244.0.0/16") as Cidr,
      ipv6: parseCidr("fd00:10:244::/56") as Cidr,
    },
  });
  backend.start(rememberingCore().core);
  for (const [index, element] of WORLD.entries()) {
    const receipt = backend.apply(operationList(add(index, element)), named("default/web"));
    expect(receipt).toMatchObject({ ok: true });
  }
});
afterAll(() => backend.close());

test("nft lists the whole table readably", async () => {
  const listed = run("nft", "list", "ruleset")
    .replace(/sets [0-9a-f]{8}/, "sets (hash)")
    .replace(/rules [0-9a-f]{8}/, "rules (hash)")
    .replace(/(?<=0x1 \. 0x1,\n)(\s+0x[0-9a-f]+ \. 0x[0-9a-f]+,\n){253}/, "\t\t\t     (...)\n");
  if (process.env["UPDATE_GOLDEN"]) await Bun.write(GOLDEN, listed);
  expect(listed).toBe(await Bun.file(GOLDEN).text());
});

test("nft lists it as JSON", () => {
  const { nftables } = JSON.parse(run("nft", "-j", "list", "ruleset"));
  expect(nftables.length).toBeGreaterThan(100);
});
