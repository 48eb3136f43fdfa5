/** A client returns to the same pod, and moves to another one only if that pod is removed. */
import { FAMILIES, type Location, OUTSIDE_SECOND } from "../../harness/netns/addresses.ts";
import { CART, now, type Stage } from "../stage.ts";
import { count } from "../stream.ts";
import { bars, check, heading, say } from "../terminal.ts";

const VISITS = 40;
const LIMIT_MS = 5000;
const TRY_MS = 200;

export async function affinity(stage: Stage): Promise<void> {
  heading("Session affinity");
  say(
    `Service shop/cart has sessionAffinity ClientIP and four pods; each client connects ${VISITS} times.`,
  );
  for (const family of FAMILIES) {
    const clients: readonly { from: Location; source?: string }[] = [
      { from: "a3" },
      { from: "outside" },
      { from: "outside", source: OUTSIDE_SECOND[family] },
    ];
    let faithful = true;
    let home = "";
    for (const { from, source } of clients) {
      const counts = await visit(stage, from, CART[family], source);
      bars(`${from}${source === undefined ? "" : ` (${source})`} to ${CART[family]}`, counts);
      faithful &&= counts.size === 1;
      if (from === "a3") home = [...counts.keys()].join();
    }
    check(faithful, `each client always reached the same pod (IPv${family})`);
    await moves(stage, CART[family], home);
  }
}

/** Removes the pod of client a3 from the Service, and checks where the client goes. */
async function moves(stage: Stage, address: string, home: string): Promise<void> {
  let whole = "";
  const gone = stage.edit("cart.yaml", (text) => {
    whole = text;
    return text.replace(/^.*$\n/gm, (line) => (line.includes(`# ${home}`) ? "" : line));
  });
  for (;;) {
    const { name, outcome } = await stage.world.connect("a3", address, 80, { timeoutMs: TRY_MS });
    if ((outcome === "answered" && name !== home) || now() - gone > LIMIT_MS) {
      break;
    }
  }
  const counts = await visit(stage, "a3", address);
  bars(`a3, when ${home} is gone`, counts);
  check(counts.size === 1 && !counts.has(home), "it moved to one other pod and stays there");
  stage.edit("cart.yaml", () => whole);
}

async function visit(stage: Stage, from: Location, address: string, source?: string) {
  const options = source === undefined ? {} : { source };
  const first = await stage.world.connect(from, address, 80, options);
  const others = await Promise.all(
    Array.from({ length: VISITS - 1 }, () => stage.world.connect(from, address, 80, options)),
  );
  return count([first, ...others]);
}
