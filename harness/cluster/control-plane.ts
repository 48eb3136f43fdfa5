/**
 * A real control plane for tests: etcd and kube-apiserver, in a network namespace of their own, reachable
 * from ours. There is no controller manager: EndpointSlices are written by the test, and nothing schedules
 * or deletes behind its back.
 */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { runAsync } from "../commands.ts";
import { type Daemon, inNamespace, startDaemon } from "../daemon.ts";
import { type ApiClient, apiClient } from "./admin-client.ts";
import { makeNamespace, type Namespace } from "./cabled-netns.ts";
import { makeAuthority, makeCertificate, makeSigningKey } from "./certificates.ts";
import { writeKubeconfig } from "./kubeconfig.ts";

export interface ControlPlane {
  /** Where the API server listens: `https://198.18.0.2:6443`. */
  readonly url: string;
  /** Path of the certificate of its authority. */
  readonly ca: string;
  /** Where etcd listens, without TLS. */
  readonly etcdUrl: string;
  /** The namespace both run in; a proxy under test may run there too. */
  readonly netns: Namespace;
  readonly workdir: string;
  /** Folder of etcd, kube-apiserver, kubectl and kube-proxy. */
  readonly programs: string;
  readonly kubeconfigs: {
    /** Member of system:masters, by token. */
    readonly admin: string;
    /** The same, by client certificate. */
    readonly certificate: string;
    /** User system:kube-proxy, who has the cluster role system:node-proxier and nothing else; by token. */
    readonly proxy: string;
  };
  /** As administrator. */
  readonly api: ApiClient;
  pids(): { readonly etcd: number; readonly apiserver: number };
  /** Runs kubectl as administrator and returns what it printed. */
  kubectl(...args: string[]): Promise<string>;
  stopApiserver(): Promise<void>;
  /** Starts it again on the same address and waits until it is ready. */
  startApiserver(): Promise<void>;
  /** Ends the API server and every watch with it, and starts it again. */
  restartApiserver(): Promise<void>;
  /** The same with an empty store: every object is gone and resource versions start over. */
  resetStore(): Promise<void>;
  /** Ends everything and removes the namespace and the folder, unless the folder was given. */
  stop(): Promise<void>;
}

/** Where ClusterIPs come from. */
export const SERVICE_CIDRS = ["10.96.0.0/12", "fd00:96::/108"] as const;

const ADMIN_TOKEN = "admin";
const PROXY_TOKEN = "proxy";

/**
 * Why no control plane can run here; undefined if one can. Builds its programs if need be.
 * @throws the same as an Error in CI, where it is no reason to skip
 */
export async function whyNoControlPlane(): Promise<string | undefined> {
  const reason = await obstacle();
  if (reason !== undefined && process.env["CI"] === "true") throw new Error(reason);
  return reason;
}

async function obstacle(): Promise<string | undefined> {
  if (process.getuid?.() !== 0) return "a control plane needs root, for its network namespace";
  try {
    await programs();
    return undefined;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

let building: Promise<string> | undefined;

/** The folder of etcd, kube-apiserver, kubectl and kube-proxy, which are built if need be. */
export function programs(): Promise<string> {
  building ??= runAsync(["bash", join(import.meta.dir, "build.sh")]).then((output) =>
    output.trim(),
  );
  return building;
}

/** Starts a control plane; ready after about 5 s. `netns` names an existing namespace to run in. */
export async function startControlPlane(
  options: { readonly workdir?: string; readonly netns?: string } = {},
): Promise<ControlPlane> {
  const bin = await programs();
  const workdir = options.workdir ?? mkdtempSync(join(tmpdir(), "sluice-cluster-"));
  mkdirSync(workdir, { recursive: true });
  const netns = makeNamespace(options.netns);
  const url = `https://${netns.address}:6443`;
  const etcdUrl = `http://${netns.address}:2379`;

  const authority = await makeAuthority(workdir);
  const [server, client, signing] = await Promise.all([
    makeCertificate(authority, workdir, "apiserver", "/CN=kube-apiserver", [
      netns.address,
      "127.0.0.1",
      "10.96.0.1",
      "kubernetes.default.svc",
    ]),
    makeCertificate(authority, workdir, "admin", "/O=system:masters/CN=certificate-admin"),
    makeSigningKey(workdir),
  ]);
  const tokens = join(workdir, "tokens.csv");
  writeFileSync(
    tokens,
    `${ADMIN_TOKEN},admin,1,"system:masters"\n${PROXY_TOKEN},system:kube-proxy,2\n`,
  );
  const kubeconfig = (name: string, credential: Parameters<typeof writeKubeconfig>[3]) =>
    writeKubeconfig(join(workdir, `${name}.kubeconfig`), url, authority, credential);
  const kubeconfigs = {
    admin: kubeconfig("admin", { token: ADMIN_TOKEN }),
    certificate: kubeconfig("certificate", { certificate: client }),
    proxy: kubeconfig("proxy", { token: PROXY_TOKEN }),
  };
  const api = apiClient(url, readFileSync(authority.certificate, "utf8"), ADMIN_TOKEN);

  const data = join(workdir, "etcd");
  const startEtcd = (): Daemon =>
    startDaemon(
      netns.name,
      [
        join(bin, "etcd"),
        `--data-dir=${data}`,
        `--listen-client-urls=${etcdUrl}`,
        `--advertise-client-urls=${etcdUrl}`,
        "--listen-peer-urls=http://127.0.0.1:2380",
        "--initial-advertise-peer-urls=http://127.0.0.1:2380",
        "--initial-cluster=default=http://127.0.0.1:2380",
        "--unsafe-no-fsync",
        // Bulk loads (objects.ts) write hundreds of objects at once.
        "--max-txn-ops=1024",
        "--max-request-bytes=8388608",
        "--quota-backend-bytes=8589934592",
        "--log-level=warn",
      ],
      join(workdir, "etcd.log"),
    );
  const startServer = (): Daemon =>
    startDaemon(
      netns.name,
      [
        join(bin, "kube-apiserver"),
        `--etcd-servers=${etcdUrl}`,
        // Not a loopback address, or its own `kubernetes` endpoints are refused.
        `--advertise-address=${netns.address}`,
        `--bind-address=${netns.address}`,
        "--secure-port=6443",
        `--tls-cert-file=${server.certificate}`,
        `--tls-private-key-file=${server.key}`,
        `--client-ca-file=${authority.certificate}`,
        `--token-auth-file=${tokens}`,
        "--authorization-mode=RBAC",
        // The kube-proxy of kubeadm is privileged.
        "--allow-privileged=true",
        `--service-account-key-file=${signing.public}`,
        `--service-account-signing-key-file=${signing.private}`,
        "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
        `--service-cluster-ip-range=${SERVICE_CIDRS.join(",")}`,
        "--disable-admission-plugins=ServiceAccount",
        // Watches end with the server instead of holding it up.
        "--shutdown-delay-duration=0",
      ],
      join(workdir, "apiserver.log"),
    );

  let etcd = startEtcd();
  let apiserver = startServer();
  const plane: ControlPlane = {
    url,
    ca: authority.certificate,
    etcdUrl,
    netns,
    workdir,
    programs: bin,
    kubeconfigs,
    api,
    pids: () => ({ etcd: etcd.pid, apiserver: apiserver.pid }),
    kubectl: (...args) =>
      runAsync([
        ...inNamespace(netns.name),
        join(bin, "kubectl"),
        `--kubeconfig=${kubeconfigs.admin}`,
        // Discovery is cached; not in the home folder.
        `--cache-dir=${join(workdir, "kubectl")}`,
        ...args,
      ]),
    // A clean stop waits for watches to end, up to a minute.
    stopApiserver: () => apiserver.stop("SIGKILL"),
    async startApiserver() {
      apiserver = startServer();
      await untilReady(api, apiserver, etcd);
    },
    async restartApiserver() {
      await plane.stopApiserver();
      await plane.startApiserver();
    },
    async resetStore() {
      await plane.stopApiserver();
      await etcd.stop("SIGKILL");
      rmSync(data, { recursive: true, force: true });
      etcd = startEtcd();
      await plane.startApiserver();
    },
    async stop() {
      await api.close();
      await apiserver.stop("SIGKILL");
      await etcd.stop("SIGKILL");
      netns.remove();
      if (options.workdir === undefined) rmSync(workdir, { recursive: true, force: true });
    },
  };
  try {
    await untilReady(api, apiserver, etcd);
  } catch (error) {
    await plane.stop();
    throw error;
  }
  return plane;
}

/** Waits for /readyz, at most two minutes: other tests may be using the machine. */
async function untilReady(api: ApiClient, apiserver: Daemon, etcd: Daemon): Promise<void> {
  let dead: string | undefined;
  apiserver.exited.then(() => {
    dead ??= `kube-apiserver ended:\n${apiserver.tail()}`;
  });
  etcd.exited.then(() => {
    dead ??= `etcd ended:\n${etcd.tail()}`;
  });
  const deadline = performance.now() + 120_000;
  while ((await api.status("/readyz")) !== 200) {
    if (dead !== undefined) throw new Error(`Cannot start a control plane: ${dead}`);
    if (performance.now() > deadline) {
      throw new Error(`Cannot start a control plane: not ready in time:\n${apiserver.tail()}`);
    }
    await Bun.sleep(50);
  }
}
