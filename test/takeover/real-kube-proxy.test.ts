/** Tests the rules that the real kube-proxy leaves in the kernel when it is killed. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { join } from "node:path";
import {
  type ControlPlane,
  missingControlPlane,
  startControlPlane,
} from "../../harness/cluster/control-plane.ts";
import { createNode } from "../../harness/cluster/many-objects.ts";
import { FOREIGN } from "./kube-proxy-ruleset.ts";
import { inside, leaveRules, type Mode } from "./real-kube-proxy.ts";

const CHILD = join(import.meta.dir, "children/kube-proxy-rules.ts");
const ENDPOINT = "10.244.1.12";

const reason = await missingControlPlane();
if (reason !== undefined) console.log(`skip: rules of the real kube-proxy: ${reason}`);

describe.skipIf(reason !== undefined)("rules of kube-proxy v1.36.3", () => {
  let plane: ControlPlane;
  beforeAll(async () => {
    plane = await startControlPlane();
    await createNode(plane.api, "node", plane.netns.address);
    await plane.api.request("POST", "/api/v1/namespaces/default/services", {
      metadata: { name: "web" },
      spec: {
        type: "LoadBalancer",
        sessionAffinity: "ClientIP",
        loadBalancerSourceRanges: ["192.0.2.0/24"],
        ports: [{ port: 80 }],
      },
    });
    await plane.api.request("PATCH", "/api/v1/namespaces/default/services/web/status", {
      status: { loadBalancer: { ingress: [{ ip: "198.51.100.7" }] } },
    });
    await plane.api.request("POST", "/api/v1/namespaces/default/services", {
      metadata: { name: "none" },
      spec: { ports: [{ port: 80 }] },
    });
    await plane.api.request("POST", "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices", {
      metadata: { name: "web", labels: { "kubernetes.io/service-name": "web" } },
      addressType: "IPv4",
      ports: [{ name: "", port: 8080, protocol: "TCP" }],
      endpoints: [{ addresses: ["10.244.1.11"] }, { addresses: [ENDPOINT] }],
    });
  }, 180_000);
  afterAll(() => plane?.stop());

  const saved = async (): Promise<string> => {
    const texts = [];
    for (const tool of ["iptables-nft", "ip6tables-nft", "iptables-legacy", "ip6tables-legacy"]) {
      texts.push(await inside(plane, [`${tool}-save`]));
    }
    return texts
      .join("")
      .replaceAll(/^#.*\n/gm, "")
      .replaceAll(/\[\d+:\d+\]/g, "[0:0]");
  };
  const child = async (verb: "find" | "remove") =>
    JSON.parse(await inside(plane, [process.execPath, CHILD, verb]));

  test.each([
    ["nftables", "nftables"],
    ["iptables-nft", "iptables"],
    ["iptables-legacy", "iptables-legacy"],
  ] as [Mode, string][])(
    "in mode %s are found and removed; all other rules stay unchanged",
    async (mode, kind) => {
      const legacy = mode === "iptables-legacy";
      await inside(plane, ["nft", "flush", "ruleset"]);
      await inside(plane, ["nft", "add", "table", "inet", "admins"]);
      const tool = `iptables-${legacy ? "legacy" : "nft"}`;
      await inside(plane, [`${tool}-restore`, "--noflush"], FOREIGN);
      const tables = ["nft", "list", "tables"];
      const before = [await saved(), await inside(plane, tables)];
      await leaveRules(plane, mode, async () => {
        const list = mode === "nftables" ? ["nft", "list", "ruleset"] : [`${tool}-save`];
        return (await inside(plane, list)).includes(ENDPOINT);
      });
      const { found, removal, left } = await child("remove");
      expect(found.map((finding: { kind: string }) => finding.kind)).toEqual([kind]);
      expect(removal).toMatchObject({ messages: [], kept: [], failures: [] });
      expect(removal.removed.length).toBeGreaterThan(0);
      expect(left).toEqual([]);
      const after = [await saved(), await inside(plane, tables)];
      expect(withoutEmptyTables(after)).toEqual(withoutEmptyTables(before));
      expect((await child("find")).found).toEqual([]);
    },
    60_000,
  );
});

/** iptables creates a table with empty built-in chains when it reads a rule. */
const BUILT_IN = /^\*\w+\n(?::\w+ ACCEPT \[0:0\]\n)+/.source;
/**
 * kube-proxy also creates the chain KUBE-FIREWALL and the jumps to it in IPv6, unless it is killed
 * before. By its name the chain is the kubelet's, so it is not removed.
 */
const KUBE_FIREWALL =
  /(?::KUBE-FIREWALL - \[0:0\]\n(?:-A (?:INPUT|OUTPUT) -j KUBE-FIREWALL\n)*)?COMMIT\n/.source;

function withoutEmptyTables([rules = "", tables = ""]: string[]): string[] {
  return [
    rules.replaceAll(new RegExp(BUILT_IN + KUBE_FIREWALL, "gm"), ""),
    tables.replaceAll(/^table ip6? (nat|filter|mangle)\n/gm, ""),
  ];
}
