/** A TCP segment outside its window must not reset the client's connection. */
import { beforeAll, describe, expect, test } from "bun:test";
import { release } from "node:os";
import { addressOf, FAMILIES, type Family } from "../../harness/netns/addresses.ts";
import { connect } from "../../harness/netns/connections.ts";
import { DEFAULT_FLAGS } from "../../harness/netns/program.ts";
import { resolveDropInvalid } from "../../src/host/invalid-packets.ts";
import { describeBackends, Fixture } from "./traffic-fixture.ts";

/** Before the window, like a copy that the network delayed. Since Linux 6.1 it is not invalid. */
const LATE = -100_000;
/** Far beyond the window. It is invalid in every kernel. */
const ABSURD = 100_000_000;
/** The second request follows any answer of the client's node to the segment. */
const QUESTIONS = 3;

const OUTCOMES = {
  lives: Array.from({ length: QUESTIONS }, () => "answered"),
  "is reset": expect.arrayContaining(["reset"]),
};
/** This kernel considers late copies invalid. */
const STRICT = resolveDropInvalid("auto", release(), false);

async function* linesOf(stream: ReadableStream<Uint8Array>): AsyncGenerator<string> {
  let pending = "";
  for await (const chunk of stream) {
    const lines = (pending + new TextDecoder().decode(chunk)).split("\n");
    pending = lines.pop() ?? "";
    yield* lines;
  }
}

describeBackends((backend) => {
  const fixture = new Fixture({ backend });

  /** Returns the outcomes of requests while the server sends a segment outside the window. */
  async function outcomes(family: Family, offset: number): Promise<string[]> {
    const { world } = fixture;
    const made = await fixture.given({}, ["a1"]);
    const script = `${import.meta.dir}/children/late-segments.ts`;
    const command = [process.execPath, script, addressOf("a1", family), "8080", `${offset}`];
    const child = Bun.spawn(world.inside("a1", command), { stdout: "pipe", stderr: "inherit" });
    const lines = linesOf(child.stdout);
    try {
      expect((await lines.next()).value).toBe("listening");
      const { handle, name } = await connect(world, made.reach(family, "clusterIP", "a3"), {
        hold: true,
      });
      expect(name).toBe("a1");
      expect((await lines.next()).value).toBe("injected");
      const found: string[] = [];
      for (let i = 0; i < QUESTIONS && (i === 0 || found.at(-1) === "answered"); i++) {
        found.push((await world.switchboard.ask(handle)).outcome);
      }
      await world.switchboard.hangup(handle);
      return found;
    } finally {
      child.kill();
      await child.exited;
    }
  }

  describe.each([
    ["auto", STRICT, "lives", STRICT ? "lives" : "is reset"],
    ["always", true, "lives", "lives"],
    ["never", false, STRICT ? "is reset" : "lives", "is reset"],
  ] as const)("--drop-invalid-packets=%s", (setting, drops, late, absurd) => {
    beforeAll(async () => {
      await fixture.program.stop();
      await fixture.program.start([...DEFAULT_FLAGS, "--drop-invalid-packets", setting]);
    });

    test(`${drops ? "has a" : "has no"} rule in forward`, async () => {
      const rule = /ct state invalid drop|-A KUBE-FORWARD .*--ctstate INVALID -j DROP/;
      expect(rule.test(await fixture.rules())).toBe(drops);
    });

    test.each([...FAMILIES])(
      `after a late copy from the server, the connection ${late} (IPv%i)`,
      async (family) => {
        expect(await outcomes(family, LATE)).toEqual(OUTCOMES[late]);
      },
    );

    test.each([...FAMILIES])(
      `after a segment far beyond the window, the connection ${absurd} (IPv%i)`,
      async (family) => {
        expect(await outcomes(family, ABSURD)).toEqual(OUTCOMES[absurd]);
      },
    );
  });
});
