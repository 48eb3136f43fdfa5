/**
 * The Events kube-proxy writes on its Node and on Services (cmd/kube-proxy/app/server.go,
 * pkg/proxy/healthcheck/service_health.go), with the same reasons, actions and texts, and no others: what one
 * node can say, a thousand say at the same time.
 */

/** What an Event is about: a core/v1 ObjectReference. */
export interface ObjectReference {
  readonly apiVersion: "v1";
  readonly kind: "Node" | "Service";
  /** Absent for a Node: its Events are in the namespace `default`. */
  readonly namespace?: string;
  readonly name: string;
  readonly uid?: string;
}

export interface KubeEvent {
  readonly type: "Normal" | "Warning";
  /** One CamelCase word, by which operators select. */
  readonly reason: string;
  /** What was being done. */
  readonly action: string;
  /** For people; may be "", and is cut at 1024 bytes. */
  readonly note: string;
  readonly regarding: ObjectReference;
}

export interface EventRecorder {
  /** Returns at once and never throws. `at` is when it happened, ms since the epoch; by default now. */
  record(event: KubeEvent, at?: number): void;
  /** Resolves when nothing waits to be sent any more, or after `ms`: for a process that is about to end. */
  flush(ms: number): Promise<void>;
  /** Forgets what waits, and sends nothing more. */
  close(): void;
}

/**
 * This node, for `regarding`. kube-proxy leaves out the uid, and `kubectl describe node` then shows nothing of
 * it, since it selects by uid; so it is named where it is known ("" where not).
 */
export function nodeReference(name: string, uid: string): ObjectReference {
  return { apiVersion: "v1", kind: "Node", name, ...(uid !== "" && { uid }) };
}

/** The proxy runs, and has programmed what there was. */
export function started(node: ObjectReference): KubeEvent {
  return { ...START, type: "Normal", reason: "Starting", note: "", regarding: node };
}

/** The health server cannot listen, and with bindAddressHardFail the process ends. `error` names the address. */
export function healthServerFailed(node: ObjectReference, error: string): KubeEvent {
  const reason = "FailedToStartProxierHealthcheck";
  const note = `healthz server failed: ${error}`;
  return { ...START, type: "Warning", reason, note, regarding: node };
}

/** The same of the metrics server. */
export function metricsServerFailed(node: ObjectReference, error: string): KubeEvent {
  const reason = "FailedToStartMetricServer";
  const note = `starting metrics server failed: ${error}`;
  return { ...START, type: "Warning", reason, note, regarding: node };
}

/** A healthCheckNodePort cannot listen; at each attempt, which makes a series. */
export function serviceHealthCheckFailed(failed: {
  readonly nodeName: string;
  readonly namespace: string;
  readonly name: string;
  readonly port: number;
  readonly error: string;
}): KubeEvent {
  const { nodeName, namespace, name, port, error } = failed;
  return {
    type: "Warning",
    reason: "FailedToStartServiceHealthcheck",
    action: "Listen",
    note: `node ${nodeName} failed to start healthcheck "${namespace}/${name}" on port ${port}: ${error}`,
    regarding: { apiVersion: "v1", kind: "Service", namespace, name },
  };
}

const START = { action: "StartKubeProxy" } as const;
