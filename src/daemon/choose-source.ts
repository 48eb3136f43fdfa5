/** Where objects come from, made from the configuration. */

import type { ClusterAccess } from "../api-client/access.ts";
import { openAccess } from "../api-client/open-access.ts";
import type { RequestMeter } from "../api-client/request-meter.ts";
import type { Clock } from "../base/clock.ts";
import type { Config } from "../config/config.ts";
import type { Core } from "../core/core.ts";
import { ManifestSource } from "../manifests/manifest-source.ts";
import type { Source, SourceEvents } from "../source/source.ts";
import { encodeWatchEvent } from "../source/watch-frames.ts";
import { ApiSource } from "../watch/api-source.ts";
import { usesPodCidrs } from "./backend-options.ts";

export interface SourceOptions {
  readonly config: Config;
  readonly core: Core;
  readonly clock: Clock;
  readonly nodeName: string;
  readonly random: () => number;
  readonly environment: { readonly [name: string]: string | undefined };
  /** Hears of requests to the API server. */
  readonly meter: RequestMeter;
}

export type CreateSource = (events: SourceEvents) => Source;

export interface PreparedSource {
  readonly createSource: CreateSource;
  /** How to reach the API server; undefined if there is none. */
  readonly access: ClusterAccess | undefined;
}

/**
 * Everything about the source that can be wrong is found here, before anything in the kernel is
 * touched.
 * @throws SluiceError CONFIG_INVALID, KUBECONFIG_INVALID
 */
export async function prepareSource(options: SourceOptions): Promise<PreparedSource> {
  const { config, core, clock, nodeName, random, environment, meter } = options;
  const shared = { core, clock, nodeName, encode: encodeWatchEvent };
  const { kubeconfig, master, manifests } = config;
  if (manifests !== "") {
    const createSource: CreateSource = (events) =>
      new ManifestSource({ ...shared, events, directory: manifests });
    return { createSource, access: undefined };
  }
  const access = { ...(await openAccess({ kubeconfig, master, environment })), meter };
  const needsPodCidrs = usesPodCidrs(config);
  const { watchList } = config;
  const api = { ...shared, access, random, needsPodCidrs, watchList };
  return { createSource: (events) => new ApiSource({ ...api, events }), access };
}
