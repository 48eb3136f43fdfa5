/** Finds the Service port of an element. The names of its chains derive from it. */
import type { OwnerId } from "../../model/owner.ts";
import type { Service } from "../../model/service.ts";

/** The port of a Service. */
export interface PortDescription {
  /**
   * `namespace/name:port`, or `namespace/name` if the port has no name: upstream's ServicePortName.
   */
  readonly name: string;
  /** internalTrafficPolicy is Local, so the clusterIP uses the local endpoints. */
  readonly internalLocal: boolean;
}

/**
 * Describes the port of an owner's Service. `nodePort`: `port` is the number of the node port.
 * Returns undefined if the Service or the port no longer exists.
 */
export type Describe = (
  owner: OwnerId,
  protocol: number,
  port: number,
  nodePort: boolean,
) => PortDescription | undefined;

/**
 * Use it for one list of operations only. It remembers the last Service that it looked up, because
 * operations are sorted by owner.
 */
export function describePorts(serviceOf: (owner: OwnerId) => Service | undefined): Describe {
  let last: { readonly owner: OwnerId; readonly service: Service | undefined } | undefined;
  return (owner, protocol, port, nodePort) => {
    if (last?.owner !== owner) {
      last = { owner, service: serviceOf(owner) };
    }
    const { service } = last;
    const found = service?.ports.find(
      (one) => one.protocol === protocol && (nodePort ? one.nodePort : one.port) === port,
    );
    if (service === undefined || found === undefined) return undefined;
    const suffix = found.name === "" ? "" : `:${found.name}`;
    const name = `${service.namespace}/${service.name}${suffix}`;
    return { name, internalLocal: service.internalLocal };
  };
}
