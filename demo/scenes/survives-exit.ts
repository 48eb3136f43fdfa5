/** The program is killed and started again under traffic. */
import { FAMILIES } from "../../harness/netns/addresses.ts";
import { now, type Stage, WEB } from "../stage.ts";
import { Stream } from "../stream.ts";
import { check, duration, heading, say } from "../terminal.ts";

const ENOUGH = 300;

export async function survivesExit(stage: Stage): Promise<void> {
  heading("Killing the program interrupts no traffic");
  say("kill -9 under traffic, a pause, then a new start that adopts the elements in the kernel.");
  const began = now();
  const stream = new Stream(
    stage.world,
    FAMILIES.flatMap((family) => [
      { from: "a3" as const, address: WEB.clusterIP[family], port: 80 },
      { from: "outside" as const, address: WEB.node[family], port: WEB.nodePort },
    ]),
  );
  await stream.more(ENOUGH, "before kill -9");
  const killed = now();
  await stage.kill();
  await stream.more(ENOUGH, "after kill -9");
  const gone = now() - killed;
  const { healthyAfter } = await stage.start();
  await stream.more(ENOUGH, "after the new start");
  const replies = await stream.stop();
  const lost = replies.filter((each) => each.outcome !== "answered").length;
  const slowest = Math.max(...replies.map((each) => each.took));
  say(
    `It was down for ${duration(gone)}, and healthy ${duration(healthyAfter)} after its new start.`,
  );
  say(`All of this took ${duration(now() - began)}.`);
  check(
    lost === 0,
    `of ${replies.length} connections, none was lost; the slowest took ${duration(slowest)}`,
    `${lost} were lost`,
  );
}
