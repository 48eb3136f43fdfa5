/** Where objects come from, made from the configuration. */
import type { ProxyOptions } from "./proxy.ts";
import { openAccess } from "./watch/access.ts";
import { createApiSource } from "./watch/api-source.ts";
import { encodeWatchEvent } from "./watch/encode.ts";
import { createManifestSource } from "./watch/manifests.ts";
import type { Source, SourceEvents } from "./watch/source.ts";

type SourceOptions = Pick<
  ProxyOptions,
  "config" | "core" | "clock" | "nodeName" | "random" | "environment"
>;

/**
 * Everything about the source that can be wrong is found here, before anything in the kernel is touched.
 * @throws SluiceError CONFIG_INVALID, KUBECONFIG_INVALID
 */
export async function prepareSource(
  options: SourceOptions,
): Promise<(events: SourceEvents) => Source> {
  const { config, core, clock, nodeName, random, environment } = options;
  const shared = { core, clock, nodeName, encode: encodeWatchEvent };
  const { kubeconfig, master, manifests } = config;
  if (manifests !== "") {
    return (events) => createManifestSource({ ...shared, events, directory: manifests });
  }
  const access = await openAccess({ kubeconfig, master, environment });
  const needsPodCidrs = config.detectLocal.mode === "NodeCIDR";
  const { watchList } = config;
  const api = { ...shared, access, random, needsPodCidrs, watchList };
  return (events) => createApiSource({ ...api, events });
}
