/**
 * Lists the watched resources and their selectors, which are the same as kube-proxy's (its
 * options.go).
 */

export interface Resource {
  /** Plural name, as in messages and paths. */
  readonly name: "services" | "endpointslices" | "nodes" | "servicecidrs";
  readonly apiVersion: "v1" | "discovery.k8s.io/v1" | "networking.k8s.io/v1";
  readonly kind: "Service" | "EndpointSlice" | "Node" | "ServiceCIDR";
  readonly path: string;
  readonly labelSelector: string;
  readonly fieldSelector: string;
  /** True if older servers lack the resource, so that a 404 is not a problem. */
  readonly optional: boolean;
}

export const SERVICE_RESOURCE: Resource = {
  name: "services",
  apiVersion: "v1",
  kind: "Service",
  path: "/api/v1/services",
  labelSelector: "!service.kubernetes.io/service-proxy-name",
  fieldSelector: "spec.clusterIP!=None",
  optional: false,
};

export const ENDPOINT_SLICE_RESOURCE: Resource = {
  name: "endpointslices",
  apiVersion: "discovery.k8s.io/v1",
  kind: "EndpointSlice",
  path: "/apis/discovery.k8s.io/v1/endpointslices",
  labelSelector: "!service.kubernetes.io/headless",
  fieldSelector: "",
  optional: false,
};

export const SERVICE_CIDR_RESOURCE: Resource = {
  name: "servicecidrs",
  apiVersion: "networking.k8s.io/v1",
  kind: "ServiceCIDR",
  path: "/apis/networking.k8s.io/v1/servicecidrs",
  labelSelector: "",
  fieldSelector: "",
  optional: true,
};

/** Selects only the Node that this proxy runs on. */
export function nodeResource(nodeName: string): Resource {
  return {
    name: "nodes",
    apiVersion: "v1",
    kind: "Node",
    path: "/api/v1/nodes",
    labelSelector: "",
    fieldSelector: `metadata.name=${nodeName}`,
    optional: false,
  };
}

/** Builds path and query of a request for this resource. Empty parameters are omitted. */
export function requestPath(
  resource: Resource,
  parameters: { readonly [name: string]: string },
): string {
  const query = new URLSearchParams();
  const all = {
    labelSelector: resource.labelSelector,
    fieldSelector: resource.fieldSelector,
    ...parameters,
  };
  for (const [name, value] of Object.entries(all)) if (value !== "") query.set(name, value);
  const text = query.toString();
  return text === "" ? resource.path : `${resource.path}?${text}`;
}
