/** What the program says of itself: health, metrics, state. */
import { claim, dim, heading, quote, say } from "../page.ts";
import { type Stage, WEB } from "../stage.ts";

const CONNECTIONS = 90;

export async function admin(stage: Stage): Promise<void> {
  heading("What it says of itself");
  const health = await stage.get(10256, "/healthz");
  say(`GET :10256/healthz ${dim("what load balancers ask")}`);
  quote(`${health.status} ${health.body}`);
  claim(health.status === 200, "it is healthy", `status ${health.status}`);

  const before = await connections(stage);
  await Promise.all(
    Array.from({ length: CONNECTIONS }, () => stage.world.connect("a3", WEB.clusterIP[4], 80)),
  );
  const after = await connections(stage);
  say(`GET :10249/metrics ${dim("after those connections, for this Service")}`);
  quote(after.lines.join("\n"));
  claim(
    after.total - before.total === CONNECTIONS,
    `${CONNECTIONS} more connections, and the Service's counter grew by as many`,
    `it grew by ${after.total - before.total}`,
  );

  const state = await stage.get(10249, "/sluice/v1/services/shop/web");
  say(`GET :10249/sluice/v1/services/shop/web ${dim("as the kernel has it")}`);
  quote(perFrontend(state.body));
  claim(
    state.status === 200 &&
      ["10.244.1.11:8080", "10.244.2.21:8080"].every((each) => state.body.includes(each)),
    "it names the pods that it leads to",
    `status ${state.status}`,
  );
}

async function connections(stage: Stage): Promise<{ total: number; lines: string[] }> {
  const { body } = await stage.get(10249, "/metrics");
  const lines = body
    .split("\n")
    .filter((line) => /^sluice_\w*connections_total\{.*"web"/.test(line));
  const total = lines
    .filter((line) => line.startsWith("sluice_service_connections_total"))
    .reduce((sum, line) => sum + Number(line.split(" ").at(-1)), 0);
  return { total, lines };
}

/** The JSON of a Service with a line for each of its frontends. */
function perFrontend(text: string): string {
  return text
    .replace(/,"frontends":\[/, ',"frontends":[\n  ')
    .replaceAll(/\},\{"frontend"/g, '},\n  {"frontend"');
}
