/** An endpoint goes and comes again under traffic, and traffic follows. */
import { FAMILIES } from "../../test/netns/addresses.ts";
import type { Reply } from "../../test/netns/board.ts";
import { bars, claim, duration, heading, quote, say } from "../page.ts";
import { count, type Stage, Stream, WEB } from "../stage.ts";

const ENOUGH = 400;
/** Far more than it takes; what it took is printed. */
const LIMIT_MS = 5000;
const IS_A2 = /(10\.244\.1\.12|fd00:10:244:1::12)\]?"?\]/;

export async function follow(stage: Stage): Promise<void> {
  heading("A pod goes, and traffic follows");
  say("Clients connect without a pause while pod a2 is taken out of web.yaml:");
  quote("-  - { addresses: [10.244.1.12], nodeName: node1 } # a2     (and the same for IPv6)");
  const stream = new Stream(
    stage.world,
    FAMILIES.flatMap((family) => [
      { from: "a3" as const, address: WEB.clusterIP[family], port: 80 },
      { from: "outside" as const, address: WEB.loadBalancer[family], port: 80 },
    ]),
  );
  await stream.more(ENOUGH);
  let removed = "";
  const gone = stage.edit("web.yaml", (text) => {
    removed = text;
    return text.replace(/^.*$\n/gm, (line) => (IS_A2.test(line) ? "" : line));
  });
  await stream.until((latest) => latest.every((each) => each.name !== "a2"), LIMIT_MS);
  await stream.more(ENOUGH);
  const back = stage.edit("web.yaml", () => removed);
  await stream.until((latest) => latest.some((each) => each.name === "a2"), LIMIT_MS);
  await stream.more(ENOUGH);
  const replies = [...(await stream.stop())].sort((one, other) => one.began - other.began);

  const before = replies.filter((each) => each.began < gone);
  const between = replies.filter((each) => each.began >= gone && each.began < back);
  const after = replies.filter((each) => each.began >= back);
  bars("before", count(before));
  bars("while a2 is out", count(between));
  bars("when it is back", count(after));

  const last = lastOf(between, "a2");
  const lag = last === undefined ? 0 : last.began - gone;
  claim(
    lag < LIMIT_MS && !between.slice(-ENOUGH).some((each) => each.name === "a2"),
    `${duration(lag)} after the file changed, the last connection went to a2`,
    `it took ${duration(lag)}`,
  );
  const first = after.find((each) => each.name === "a2");
  claim(
    first !== undefined && first.began - back < LIMIT_MS,
    `${duration(first === undefined ? Number.NaN : first.began - back)} after it was put back, the first one did`,
  );
  const lost = replies.filter((each) => each.outcome !== "answered");
  claim(
    lost.length === 0,
    `of ${replies.length} connections meanwhile none was lost`,
    `${lost.length} were: ${lost[0]?.outcome}`,
  );
}

function lastOf(replies: readonly Reply[], name: string): Reply | undefined {
  return replies.findLast((each) => each.name === name);
}
