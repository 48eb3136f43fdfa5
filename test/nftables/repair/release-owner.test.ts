/** An element that the kernel refuses during a repair affects only its owner. */
import { afterEach, describe, expect, test } from "bun:test";
import { run } from "../../../harness/commands.ts";
import { element } from "../../../harness/core/made-operations.ts";
import { withoutHistory } from "../../../harness/fakes/fake-backend.ts";
import { useFreshNetns } from "../../../harness/fresh-netns.ts";
import {
  type DriftedWorld,
  driftedWorld,
  kernel,
  kernelElements,
  putServices,
} from "../../../harness/sync/drifted-world.ts";
import { slice } from "../../../harness/sync/sync-world.ts";
import { alignTo4 } from "../../../src/netlink/message.ts";
import { NFT_MSG_NEWSETELEM } from "../../../src/nftables/wire/nf-tables.ts";

useFreshNetns();

let world: DriftedWorld;
afterEach(() => {
  world.close();
  run("nft", "flush", "ruleset");
});

describe("an element that the kernel refuses in a repair", () => {
  /** The kernel refuses additions of this element to endpoints4. `named`: the error says which. */
  const refusing = (key: Uint8Array, named: boolean) => {
    const { socket } = world;
    const send = socket.send.bind(socket);
    socket.send = (bytes, length, each) => {
      const view = new DataView(bytes.buffer, bytes.byteOffset);
      for (let at = 0; at < length; at += alignTo4(view.getUint32(at, true))) {
        const message = Buffer.from(bytes.subarray(at, at + view.getUint32(at, true)));
        const found = message.indexOf(key);
        const adds = (view.getUint16(at + 4, true) & 0xff) === NFT_MSG_NEWSETELEM;
        if (!adds || found < 0 || !message.includes("\u0002\0endpoints4\0")) continue;
        const sequence = named ? view.getUint32(at + 8, true) : 0;
        const offset = named ? found : undefined;
        return { refusals: [{ errno: 22, sequence, offset, text: undefined }], acks: 0 };
      }
      return send(bytes, length, each);
    };
    return () => {
      socket.send = send;
    };
  };
  const { key } = element("endpoints", 4, ["10.96.0.1", "TCP", 80, 1]);
  test.each([
    ["and names", true, "flush map inet sluice endpoints4", undefined],
    ["and does not name", false, "flush map inet sluice endpoints4", undefined],
    ["when the table is created again, and names", true, "flush ruleset", undefined],
    ["where transactions are small, and does not name", false, "flush ruleset", 4000],
  ])("%s leaves its owner out, and all others are served", async (_, named, command, maxBytes) => {
    world = driftedWorld({}, maxBytes);
    putServices(world);
    await world.sync();
    const all = kernelElements();
    await world.nft(command);
    const accept = refusing(key, named);
    expect(await world.repair()).toBeDefined();
    expect(world.reports.at(-1)).toMatchObject({ outcome: "refused" });
    expect(world.problems.begun).toMatchObject([
      { subject: "Service default/s1", code: "NETLINK_REFUSED" },
    ]);
    const left = kernelElements();
    expect(left.filter((line) => line.includes("10.96.0.1 "))).toEqual([]);
    const s1 = /\b(10\.96\.0\.1|fd00:96::1|192\.0\.2\.1|2001:db8:1::1|30081)(?!\d)/;
    const rest = (lines: readonly string[]) =>
      withoutHistory(lines.filter((line) => !s1.test(line)));
    expect(rest(left)).toEqual(rest(all));

    // A change of the omitted Service is refused as well, and blocks no other Service.
    world.put("EndpointSlice", slice("s1-4", "s1", ["10.1.0.1", "10.1.1.1!", "10.1.0.9"]));
    world.put("EndpointSlice", slice("s2-4", "s2", ["10.1.0.2", "10.1.1.2!", "10.1.0.8"]));
    expect(await world.sync()).toBe(true);
    expect(kernel().join()).toContain("10.1.0.8");
    putServices(world);
    expect(await world.sync()).toBe(true);

    accept();
    await world.clock.advance(10_000);
    expect(await world.sync()).toBe(true);
    expect(withoutHistory(kernelElements())).toEqual(withoutHistory(all));
    expect(world.problems.ended).toMatchObject([{ subject: "Service default/s1" }]);
    expect(await world.repair()).toBeUndefined();
  });
});
