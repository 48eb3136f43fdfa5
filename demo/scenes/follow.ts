/** An endpoint is removed and added again under traffic, and traffic follows. */
import { FAMILIES } from "../../harness/netns/addresses.ts";
import type { Reply } from "../../harness/netns/switchboard/switchboard-client.ts";
import { type Stage, type Sync, WEB } from "../stage.ts";
import { count, Stream } from "../stream.ts";
import { bars, check, dim, duration, heading, quote, say } from "../terminal.ts";

const ENOUGH = 400;
/** Far more than it needs; the actual time is printed. */
const LIMIT_MS = 5000;
const IS_A2 = /(10\.244\.1\.12|fd00:10:244:1::12)\]?"?\]/;

export async function follow(stage: Stage): Promise<void> {
  heading("Traffic follows when a pod goes");
  say("Clients connect continuously while pod a2 is removed from web.yaml:");
  quote("-  - { addresses: [10.244.1.12], nodeName: node1 } # a2     (and the same for IPv6)");
  const stream = new Stream(
    stage.world,
    FAMILIES.flatMap((family) => [
      { from: "a3" as const, address: WEB.clusterIP[family], port: 80 },
      { from: "outside" as const, address: WEB.loadBalancer[family], port: 80 },
    ]),
  );
  await stream.more(ENOUGH, "before the change");
  let removed = "";
  const gone = stage.edit("web.yaml", (text) => {
    removed = text;
    return text.replace(/^.*$\n/gm, (line) => (IS_A2.test(line) ? "" : line));
  });
  await stream.until(
    (latest) => latest.every((each) => each.name !== "a2"),
    LIMIT_MS,
    "without a2",
  );
  const takenOut = await stage.syncAfter(gone);
  await stream.more(ENOUGH, "without a2");
  const back = stage.edit("web.yaml", () => removed);
  await stream.until(
    (latest) => latest.some((each) => each.name === "a2"),
    LIMIT_MS,
    "with a2 again",
  );
  const putBack = await stage.syncAfter(back);
  await stream.more(ENOUGH, "with a2 again");
  const replies = [...(await stream.stop())].sort((one, other) => one.began - other.began);

  const before = replies.filter((each) => each.began < gone);
  const between = replies.filter((each) => each.began >= gone && each.began < back);
  const after = replies.filter((each) => each.began >= back);
  bars("before", count(before));
  bars("while a2 is out", count(between));
  bars("after a2 is back", count(after));

  const last = lastOf(between, "a2");
  const lag = last === undefined ? 0 : last.began - gone;
  check(
    lag < LIMIT_MS && !between.slice(-ENOUGH).some((each) => each.name === "a2"),
    `${duration(lag)} after the file changed, the last connection reached a2`,
    `it took ${duration(lag)}`,
  );
  shares(gone, takenOut);
  const first = after.find((each) => each.name === "a2");
  check(
    first !== undefined && first.began - back < LIMIT_MS,
    `${duration(first === undefined ? Number.NaN : first.began - back)} after a2 was added again, the first connection reached it`,
  );
  shares(back, putBack);
  say(dim("an API server needs no file watch: Sluice syncs each event as it arrives"));
  const lost = replies.filter((each) => each.outcome !== "answered");
  check(
    lost.length === 0,
    `of ${replies.length} connections during this, none was lost`,
    `${lost.length} were: ${lost[0]?.outcome}`,
  );
}

/** Splits the time from a change to the kernel between reading the file and the sync. */
function shares(changed: number, { at, durationMs, kernelMs }: Sync): void {
  const noticed = Math.max(0, at - durationMs - changed);
  const inKernel = `${duration(kernelMs)} of it in the kernel`;
  quote(
    `${duration(noticed)} to notice and read the file, ${duration(durationMs)} to sync (${inKernel})`,
  );
}

function lastOf(replies: readonly Reply[], name: string): Reply | undefined {
  return replies.findLast((each) => each.name === name);
}
