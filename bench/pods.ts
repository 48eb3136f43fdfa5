/**
 * Simulates all pods of the cluster: one network namespace, linked to the node's, that answers at
 * every pod address.
 */
import { join } from "node:path";
import { type ControlPlane, SERVICE_CIDRS } from "../harness/cluster/control-plane.ts";
import { POD_CIDR } from "../harness/cluster/many-objects.ts";
import { run } from "../harness/commands.ts";
import { inNamespace } from "../harness/daemon.ts";

export const SERVICE_PORT = 80;
export const ENDPOINT_PORT = 8080;
/** Address of a pod on this node. */
export const LOCAL_POD = "10.128.0.1";
const LOCAL_PODS = "10.128.0.0/24";
const NODE_SIDE = "198.19.0.1";
const PODS_SIDE = "198.19.0.2";

/** A program of this folder that runs in a network namespace and exchanges lines. */
export type Child = Bun.Subprocess<"pipe", "pipe", "inherit">;

export interface Pods {
  stop(): void;
}

export async function startPods(plane: ControlPlane): Promise<Pods> {
  const node = plane.netns.name;
  // If its owner died, the control plane's cleanup removes it (harness/cluster/cabled-netns.ts).
  const pods = `${node}-pods`;
  const ip = (namespace: string, words: string) => run("ip", "-n", namespace, ...words.split(" "));
  run("ip", "netns", "add", pods);
  ip(node, `link add pods type veth peer name node netns ${pods}`);
  ip(node, `addr add ${NODE_SIDE}/30 dev pods`);
  ip(node, `addr add ${LOCAL_POD}/32 dev lo`);
  ip(node, "link set pods up");
  ip(node, `route add ${POD_CIDR} via ${PODS_SIDE}`);
  // The pods refuse connections to addresses without a rule immediately, so that no packet is lost.
  ip(node, `route add ${SERVICE_CIDRS[0]} via ${PODS_SIDE}`);
  ip(pods, "link set lo up");
  ip(pods, `addr add ${PODS_SIDE}/30 dev node`);
  ip(pods, "link set node up");
  ip(pods, `route add default via ${NODE_SIDE}`);
  ip(pods, `route add ${LOCAL_PODS} via ${NODE_SIDE}`);
  for (const range of [POD_CIDR, SERVICE_CIDRS[0]]) ip(pods, `route add local ${range} dev lo`);
  const servers = startChild(pods, ["endpoints.ts", `${ENDPOINT_PORT}`]);
  await servers.stdout.getReader().read();
  return {
    stop() {
      servers.kill("SIGKILL");
      run("ip", "netns", "del", pods);
    },
  };
}

export function startChild(netns: string, [file = "", ...args]: readonly string[]): Child {
  return Bun.spawn(
    [
      ...["setpriv", "--pdeathsig", "KILL", "--", ...inNamespace(netns)],
      ...[process.execPath, join(import.meta.dir, file), ...args],
    ],
    { stdio: ["pipe", "pipe", "inherit"] },
  );
}
