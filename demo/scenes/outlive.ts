/** The program is killed and started again under traffic. */
import { FAMILIES } from "../../test/netns/addresses.ts";
import { claim, duration, heading, say } from "../page.ts";
import { type Stage, Stream, WEB } from "../stage.ts";

const ENOUGH = 300;

export async function outlive(stage: Stage): Promise<void> {
  heading("The program is killed, and nobody notices");
  say("kill -9 under traffic, a while without it, then a new start that adopts what is there.");
  const stream = new Stream(
    stage.world,
    FAMILIES.flatMap((family) => [
      { from: "a3" as const, address: WEB.clusterIP[family], port: 80 },
      { from: "outside" as const, address: WEB.node[family], port: WEB.nodePort },
    ]),
  );
  await stream.more(ENOUGH);
  await stage.kill();
  await stream.more(ENOUGH);
  const { healthyAfter } = await stage.start();
  await stream.more(ENOUGH);
  const replies = await stream.stop();
  const lost = replies.filter((each) => each.outcome !== "answered").length;
  claim(
    lost === 0,
    `of ${replies.length} connections none was lost; it was healthy again after ${duration(healthyAfter)}`,
    `${lost} were lost`,
  );
}
