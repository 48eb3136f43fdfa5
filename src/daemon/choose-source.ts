/** Creates the configured source of objects: the API server or a directory of manifests. */

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
  /** Measures requests to the API server. */
  readonly meter: RequestMeter;
  /** The header of requests to the API server. */
  readonly userAgent: string;
}

export type CreateSource = (events: SourceEvents) => Source;

export interface ChosenSource {
  readonly createSource: CreateSource;
  /** Access to the API server; undefined if the source is a directory. */
  readonly access: ClusterAccess | undefined;
}

/**
 * Prepares the source. It checks how to reach the API server (kubeconfig, --master or the pod's
 * environment) before anything in the kernel is touched. Credentials are read later, for each
 * request, and manifests when the source starts.
 * @throws SluiceError CONFIG_INVALID, KUBECONFIG_INVALID
 */
export async function chooseSource(options: SourceOptions): Promise<ChosenSource> {
  const { config, core, clock, nodeName, random, environment, meter, userAgent } = options;
  const shared = { core, clock, nodeName, encode: encodeWatchEvent };
  const { kubeconfig, master, manifests } = config;
  if (manifests !== "") {
    const createSource: CreateSource = (events) =>
      new ManifestSource({ ...shared, events, directory: manifests });
    return { createSource, access: undefined };
  }
  const opened = await openAccess({ kubeconfig, master, environment });
  const access = { ...opened, meter, userAgent };
  const needsPodCidrs = usesPodCidrs(config);
  const { watchList } = config;
  const api = { ...shared, access, random, needsPodCidrs, watchList };
  return { createSource: (events) => new ApiSource({ ...api, events }), access };
}
