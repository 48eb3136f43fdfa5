/**
 * Defines the Events that kube-proxy writes on its Node and on Services
 * (cmd/kube-proxy/app/server.go, pkg/proxy/healthcheck/service_health.go), with the same reasons,
 * actions and notes. There are no others, because a thousand nodes would write each one at the same
 * time.
 */

/** The object that an Event is about: a core/v1 ObjectReference. */
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
  /** One CamelCase word. Operators select Events by it. */
  readonly reason: string;
  /** The action that succeeded or failed. */
  readonly action: string;
  /** For people. May be ""; the recorder cuts it to 1024 bytes. */
  readonly note: string;
  readonly regarding: ObjectReference;
}

export interface EventRecorder {
  /** Returns at once and never throws. `at`: ms since the epoch, by default now. */
  record(event: KubeEvent, at?: number): void;
  /** Resolves when no Event waits, or after `ms`. For a process that is about to exit. */
  flush(ms: number): Promise<void>;
  /** Discards the Events that wait. Nothing is sent after this. */
  close(): void;
}

/**
 * This node, for `regarding`. kube-proxy leaves out the uid. `kubectl describe node` selects by uid
 * and then shows nothing, so Sluice sets it. `uid` is "" when it is unknown.
 */
export function nodeReference(name: string, uid: string): ObjectReference {
  return { apiVersion: "v1", kind: "Node", name, ...(uid !== "" && { uid }) };
}

const START = { action: "StartKubeProxy" } as const;

/** The first sync is complete. */
export function startedEvent(node: ObjectReference): KubeEvent {
  return { ...START, type: "Normal", reason: "Starting", note: "", regarding: node };
}

/** The health server cannot listen. `error` names the address. */
export function healthServerFailedEvent(node: ObjectReference, error: string): KubeEvent {
  const reason = "FailedToStartProxierHealthcheck";
  const note = `healthz server failed: ${error}`;
  return { ...START, type: "Warning", reason, note, regarding: node };
}

/** The metrics server cannot listen. `error` names the address. */
export function metricsServerFailedEvent(node: ObjectReference, error: string): KubeEvent {
  const reason = "FailedToStartMetricServer";
  const note = `starting metrics server failed: ${error}`;
  return { ...START, type: "Warning", reason, note, regarding: node };
}

/** A healthCheckNodePort cannot listen. Every attempt records it; the recorder makes a series. */
export function serviceHealthCheckFailedEvent(failed: {
  readonly nodeName: string;
  readonly namespace: string;
  readonly name: string;
  readonly port: number;
  readonly error: string;
}): KubeEvent {
  const { nodeName, namespace, name, port, error } = failed;
  const healthCheck = `healthcheck "${namespace}/${name}" on port ${port}`;
  return {
    type: "Warning",
    reason: "FailedToStartServiceHealthcheck",
    action: "Listen",
    note: `node ${nodeName} failed to start ${healthCheck}: ${error}`,
    regarding: { apiVersion: "v1", kind: "Service", namespace, name },
  };
}

/** Maximum number of Events kept before a recorder is attached. The oldest one is dropped. */
const OUTBOX_MAX = 100;

/**
 * Takes Events from the start of the process. The recorder that sends them is loaded and attached
 * later, when the rules are in the kernel and the API server is known.
 */
export class EventOutbox implements EventRecorder {
  readonly #now: () => number;
  readonly #waiting: { readonly event: KubeEvent; readonly at: number }[] = [];
  #recorder: EventRecorder | undefined;
  #attached: Promise<void> | undefined;
  #closed = false;

  /** @param now milliseconds since the epoch */
  constructor(now: () => number) {
    this.#now = now;
  }

  record(event: KubeEvent, at: number = this.#now()): void {
    if (this.#closed) return;
    if (this.#recorder !== undefined) this.#recorder.record(event, at);
    else if (this.#waiting.push({ event, at }) > OUTBOX_MAX) this.#waiting.shift();
  }

  /**
   * Creates the recorder and passes it the waiting Events. Later calls create no second recorder.
   * Every call resolves when the recorder is attached. Closing the outbox closes the recorder.
   */
  attach(make: () => Promise<EventRecorder>): Promise<void> {
    this.#attached ??= make().then((recorder) => {
      this.#recorder = recorder;
      for (const { event, at } of this.#waiting.splice(0)) recorder.record(event, at);
      if (this.#closed) recorder.close();
    });
    return this.#attached;
  }

  async flush(ms: number): Promise<void> {
    await this.#recorder?.flush(ms);
  }

  close(): void {
    this.#closed = true;
    this.#waiting.length = 0;
    this.#recorder?.close();
  }
}
