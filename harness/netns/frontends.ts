/** Lists the frontends of a world's Services and their addresses. */
import { addressOf, clusterIp, externalIp, type Family, NODE1_SECOND, vip } from "./addresses.ts";
import { nodePort } from "./world-objects.ts";

/** An address of a Service; `second` is the node's other address, `localhost` its loopback. */
export type Frontend =
  | "clusterIP"
  | "externalIP"
  | "vip"
  | "node port"
  | "node port of the second address"
  | "node port of localhost";

/** Address and port of a Service's frontend. */
export function frontend(
  to: Frontend,
  number: number,
  family: Family,
  port?: number,
): { address: string; port: number } {
  switch (to) {
    case "clusterIP":
      return { address: clusterIp(number, family), port: port ?? 80 };
    case "externalIP":
      return { address: externalIp(number, family), port: port ?? 80 };
    case "vip":
      return { address: vip(number, family), port: port ?? 80 };
    case "node port":
      return { address: addressOf("node1", family), port: port ?? nodePort(number) };
    case "node port of the second address":
      return { address: NODE1_SECOND[family], port: port ?? nodePort(number) };
    case "node port of localhost":
      return { address: family === 4 ? "127.0.0.1" : "::1", port: port ?? nodePort(number) };
  }
}
