/**
 * Tests which endpoints of a load balancer are reached, and which clients are masqueraded. The rows
 * are the same as in kube-proxy's own truth table (TestInternalExternalMasquerade,
 * pkg/proxy/nftables). They combine three sources, three kinds of frontend, and three sets of
 * traffic policies, with and without a local detector and masqueradeAll.
 */
import { describe, expect, test } from "bun:test";
import { buildService, planText, type ServiceText } from "../../harness/plan/plan-text.ts";
import { type Dataplane, trace } from "../../harness/plan/tracer.ts";

const NODE_ADDRESS = "192.168.0.2";
const SOURCES: Readonly<Record<string, string>> = {
  pod: "10.0.0.2",
  node: NODE_ADDRESS,
  outside: "203.0.113.2",
};
const SERVICES: readonly ServiceText[] = [
  { clusterIPs: ["172.30.0.41"], vips: ["1.2.3.4"], ports: ["p80 tcp 80 3001"] },
  { clusterIPs: ["172.30.0.42"], vips: ["5.6.7.8"], ports: ["p80 tcp 80 3002"], eTP: "Local" },
  { clusterIPs: ["172.30.0.43"], vips: ["9.10.11.12"], ports: ["p80 tcp 80 3003"], iTP: "Local" },
];

const SETTINGS: readonly (Dataplane & { readonly name: string })[] = [
  { name: "a detector", pods: "10.0.0.0/8", masqueradeAll: false },
  { name: "no detector", pods: undefined, masqueradeAll: false },
  { name: "masqueradeAll", pods: "10.0.0.0/8", masqueradeAll: true },
  { name: "masqueradeAll, no detector", pods: undefined, masqueradeAll: true },
].map((setting) => ({ ...setting, nodeAddresses: [NODE_ADDRESS] }));

/**
 * `both`: every endpoint, `local`: the one on this node; `*`: masqueraded. Columns as in SETTINGS.
 */
const TABLE = `
  policy   source   frontend   | detector  none    all     all+none
  Cluster  pod      clusterIP  | both      both    both*   both*
  Cluster  pod      nodePort   | both*     both*   both*   both*
  Cluster  pod      VIP        | both*     both*   both*   both*
  Cluster  node     clusterIP  | both*     both    both*   both*
  Cluster  node     nodePort   | both*     both*   both*   both*
  Cluster  node     VIP        | both*     both*   both*   both*
  Cluster  outside  clusterIP  | both*     both    both*   both*
  Cluster  outside  nodePort   | both*     both*   both*   both*
  Cluster  outside  VIP        | both*     both*   both*   both*
  eTPLocal pod      clusterIP  | both      both    both*   both*
  eTPLocal pod      nodePort   | both      local   both    local
  eTPLocal pod      VIP        | both      local   both    local
  eTPLocal node     clusterIP  | both*     both    both*   both*
  eTPLocal node     nodePort   | both*     both*   both*   both*
  eTPLocal node     VIP        | both*     both*   both*   both*
  eTPLocal outside  clusterIP  | both*     both    both*   both*
  eTPLocal outside  nodePort   | local     local   local   local
  eTPLocal outside  VIP        | local     local   local   local
  iTPLocal pod      clusterIP  | local     local   local*  local*
  iTPLocal pod      nodePort   | both*     both*   both*   both*
  iTPLocal pod      VIP        | both*     both*   both*   both*
  iTPLocal node     clusterIP  | local*    local   local*  local*
  iTPLocal node     nodePort   | both*     both*   both*   both*
  iTPLocal node     VIP        | both*     both*   both*   both*
  iTPLocal outside  clusterIP  | local*    local   local*  local*
  iTPLocal outside  nodePort   | both*     both*   both*   both*
  iTPLocal outside  VIP        | both*     both*   both*   both*`;

const services = SERVICES.map((text, i) => ({
  service: buildService({ ...text, id: i + 1, name: `ns${i + 1}/svc`, type: "LoadBalancer" }),
  endpoints: {
    cluster: [`10.180.0.${i + 1}:80`, `10.180.1.${i + 1}:80`],
    local: [`10.180.0.${i + 1}:80`],
  },
}));
const plan = planText(services, {
  primary: [NODE_ADDRESS],
  nodePortRanges: [`${NODE_ADDRESS}/32`],
});

const rows = TABLE.trim()
  .split("\n")
  .slice(1)
  .map((row) => row.split(/[\s|]+/).filter((cell) => cell !== ""));

describe.each(SETTINGS.map((setting, i) => [setting.name, setting, i] as const))(
  "with %s",
  (_, setting, column) => {
    test.each(
      rows.map(
        ([policy, source, frontend, ...cells]) =>
          [
            `${policy}: from ${source} to ${frontend}`,
            { policy, source, frontend, want: cells[column] ?? "" },
          ] as const,
      ),
    )("%s", (_name, { policy, source, frontend, want }) => {
      const number = ["Cluster", "eTPLocal", "iTPLocal"].indexOf(policy ?? "");
      const text = SERVICES[number] as ServiceText;
      const to = { clusterIP: text.clusterIPs?.[0], VIP: text.vips?.[0], nodePort: NODE_ADDRESS }[
        frontend as "clusterIP" | "VIP" | "nodePort"
      ];
      const outcome = trace(plan, setting, {
        from: SOURCES[source ?? ""] ?? "",
        to: to ?? "",
        port: frontend === "nodePort" ? `tcp 300${number + 1}` : "tcp 80",
      });
      const star = want.endsWith("*") ? "*" : "";
      const endpoints = [`10.180.0.${number + 1}:80${star}`];
      if (want.startsWith("both")) endpoints.push(`10.180.1.${number + 1}:80${star}`);
      expect(outcome).toEqual(endpoints);
    });
  },
);

test("the table has every combination once", () => {
  expect(new Set(rows.map((row) => row.slice(0, 3).join())).size).toBe(27);
  expect(rows.every((row) => row.length === 7)).toBe(true);
});
