/** Which port of which Service an element belongs to, for the names of its chains. */
import type { Core } from "../core/core.ts";
import type { Service, ServiceId } from "../model/service.ts";
import type { Describe } from "./syntax/types.ts";

/** Good for one list of operations, which come owner by owner. */
export function describePorts(core: Pick<Core, "readService"> | undefined): Describe {
  let last: { readonly owner: number; readonly service: Service | undefined } | undefined;
  return (owner, protocol, port, nodePort) => {
    if (last?.owner !== owner) {
      last = { owner, service: core?.readService(owner as ServiceId) };
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
