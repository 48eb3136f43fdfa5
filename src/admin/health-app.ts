/**
 * Serves /healthz and /livez like kube-proxy on port 10256. Load balancers probe /healthz before
 * they send new connections to this node, so it also fails while the node is being removed. /livez
 * reports only the proxy.
 */
import type { Hono } from "hono";
import type { ProxyView } from "../observe/view.ts";
import { createApp } from "./http-app.ts";

/**
 * The paths of the health server without the slash, as in the label values of kube-proxy's metrics.
 */
export type HealthProbe = "healthz" | "livez";
type HealthView = Pick<ProxyView, "now" | "health" | "node" | "sources" | "unserved" | "notices">;

/**
 * Creates the app of healthzBindAddress (pkg/proxy/healthcheck/proxy_health.go). Both paths answer
 * any method with 200 or 503 and kube-proxy's JSON; other paths get its 404. `onAnswer` receives
 * each status. `onError` receives what a handler threw, which the client sees as 500.
 */
export function createHealthApp(
  view: HealthView,
  onAnswer: (probe: HealthProbe, code: number) => void,
  onError: (error: unknown) => void,
): Hono {
  const app = createApp(() => [], onError);
  for (const probe of ["healthz", "livez"] as const) {
    app.all(`/${probe}`, (context) => {
      const { code, body } = answer(view, probe);
      onAnswer(probe, code);
      return context.body(body, code, { "Content-Type": "application/json" });
    });
  }
  return app;
}

/**
 * Builds the answer: kube-proxy's keys in its order, then our own, which appear only when needed.
 */
function answer(view: HealthView, probe: HealthProbe): { code: 200 | 503; body: string } {
  const now = view.now();
  const { healthy, lastUpdated } = view.health();
  const { eligible } = view.node();
  const isServing = healthy && (probe === "livez" || eligible);
  const updated = lastUpdated === undefined ? ZERO_TIME : timeOf(lastUpdated);
  const cannot = view.unserved().map(({ family }) => family);
  const served = ([4, 6] as const).filter((family) => !cannot.includes(family));
  const status = served.map((family) => [`IPv${family}`, { lastUpdated: updated, healthy }]);
  const away = view.sources().find(({ connected }) => !connected);
  const notices = view.notices();
  const body = JSON.stringify({
    // As in kube-proxy, a good answer has the current time, and a bad one the time of the last
    // commit.
    lastUpdated: isServing ? timeOf(now) : updated,
    currentTime: timeOf(now),
    ...(probe === "healthz" && { nodeEligible: eligible }),
    healthy,
    // As in kube-proxy, only served families are listed, and none before the first sync.
    ...(lastUpdated !== undefined && { status: Object.fromEntries(status) }),
    // The error is left out: this port is open to the network, and an error may name servers.
    ...(away && {
      source: {
        connected: false,
        lastEvent: away.lastEventAt === 0 ? ZERO_TIME : timeOf(away.lastEventAt),
      },
    }),
    ...(notices.length > 0 && { notices }),
  });
  return { code: isServing ? 200 : 503, body };
}

/** Go's zero time. */
const ZERO_TIME = "0001-01-01T00:00:00Z";

function timeOf(ms: number): string {
  return new Date(ms).toISOString();
}
