/** Shows the program's own endpoints: health, metrics, state. */
import type { FrontendView, ServiceView } from "../../src/observe/view.ts";
import { type Stage, WEB } from "../stage.ts";
import { check, dim, heading, quote, say } from "../terminal.ts";

const CONNECTIONS = 90;

interface Health {
  readonly healthy: boolean;
  readonly nodeEligible: boolean;
  readonly lastUpdated: string;
}

export async function admin(stage: Stage): Promise<void> {
  heading("Health, metrics and state");
  const health = await stage.get(10256, "/healthz");
  say(`GET :10256/healthz ${dim("load balancers probe this")}`);
  quote(`status ${health.status}`);
  const { healthy, nodeEligible, lastUpdated }: Health = JSON.parse(health.body);
  quote(fields({ healthy, nodeEligible, lastUpdated }));
  check(health.status === 200, "it is healthy", `status ${health.status}`);

  const before = await connections(stage);
  await Promise.all(
    Array.from({ length: CONNECTIONS }, () => stage.world.connect("a3", WEB.clusterIP[4], 80)),
  );
  const after = await connections(stage);
  say(`GET :10249/metrics ${dim("after those connections, for this Service")}`);
  quote(after.lines.map((line) => line.replace("{", "\n  {")).join("\n"));
  check(
    after.total - before.total === CONNECTIONS,
    `${CONNECTIONS} more connections, and the Service's counter grew by that number`,
    `it grew by ${after.total - before.total}`,
  );

  const state = await stage.get(10249, "/sluice/v1/services/shop/web");
  say(`GET :10249/sluice/v1/services/shop/web ${dim("the elements in the kernel")}`);
  const { frontends }: ServiceView = JSON.parse(state.body);
  say("pick endpoints 3: each new connection goes to a random one of the 3 endpoints. Node");
  say("ports have their own table, nodeport-endpoints.");
  say("masquerade: the source becomes the node's address, so that replies return through it.");
  for (const frontend of frontends) {
    const { endpoints, actions } = frontend;
    quote(titleOf(frontend));
    quote(fields({ action: Object.values(actions).join(), endpoints: endpoints.join(" ") }));
  }
  check(
    state.status === 200 &&
      ["10.244.1.11:8080", "10.244.2.21:8080"].every((each) => state.body.includes(each)),
    "it names the pods of the Service",
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

function titleOf({ frontend, protocol, family, nodePort }: FrontendView): string {
  return nodePort ? `node port ${frontend} ${protocol} (IPv${family})` : `${frontend} ${protocol}`;
}

/** Formats fields of a JSON object, one per line. */
function fields(chosen: Readonly<Record<string, string | boolean>>): string {
  const width = Math.max(...Object.keys(chosen).map((name) => name.length));
  return Object.entries(chosen)
    .map(([name, value]) => `  ${name.padEnd(width)}  ${value}`)
    .join("\n");
}
