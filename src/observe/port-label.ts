/** Names the Service port of an element in labels of metrics. */
import type { Service } from "../model/service.ts";
import { isNodePortTable, readPort, readProtocol } from "../model/table-keys.ts";
import type { TableId } from "../model/tables.ts";

/**
 * Returns the name of the port that a frontend belongs to, or its number if unnamed. Undefined if
 * the Service no longer has the port.
 */
export function portLabel(
  service: Service | undefined,
  table: TableId,
  key: Uint8Array,
): string | undefined {
  const nodePort = isNodePortTable(table);
  const protocol = readProtocol(table, key);
  const number = readPort(table, key);
  const port = service?.ports.find(
    (candidate) =>
      candidate.protocol === protocol &&
      number === (nodePort ? candidate.nodePort : candidate.port),
  );
  return port && (port.name === "" ? String(port.port) : port.name);
}
