/**
 * Runs a real control plane for tests: etcd and kube-apiserver in their own network namespace,
 * reachable from ours. There is no controller manager: the test writes EndpointSlices itself, and
 * nothing schedules or deletes objects in the background.
 */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { runAsync } from "../commands.ts";
import { type Daemon, inNamespace, startDaemon } from "../daemon.ts";
import { until } from "../waiting.ts";
import { type AdminClient, createAdminClient } from "./admin-client.ts";
import { createNamespace, type Namespace } from "./cabled-netns.ts";
import {
  type Certificate,
  makeAuthority,
  makeCertificate,
  makeSigningKey,
} from "./certificates.ts";
import { type Credential, writeKubeconfig } from "./kubeconfig.ts";

export interface ControlPlane {
  /** Address of the API server: `https://198.18.0.2:6443`. */
  readonly url: string;
  /** Path of its authority's certificate. */
  readonly ca: string;
  /** Address of etcd, without TLS. */
  readonly etcdUrl: string;
  /** The namespace of both. A proxy under test may run there too. */
  readonly netns: Namespace;
  readonly workdir: string;
  /** Folder with etcd, kube-apiserver, kubectl and kube-proxy. */
  readonly programs: string;
  readonly kubeconfigs: {
    /** Kubeconfig of a member of system:masters, by token. */
    readonly admin: string;
    /** The same, by client certificate. */
    readonly certificate: string;
    /**
     * Kubeconfig of the user system:kube-proxy, by token. The user has only the cluster role
     * system:node-proxier.
     */
    readonly proxy: string;
  };
  /** A client with an administrator's rights. */
  readonly api: AdminClient;
  pids(): { readonly etcd: number; readonly apiserver: number };
  /** Runs kubectl as administrator and returns its output. */
  kubectl(...args: string[]): Promise<string>;
  stopApiserver(): Promise<void>;
  /** Starts the API server on the same address and waits until it is ready. */
  startApiserver(): Promise<void>;
  /** Restarts the API server. This ends every watch. */
  restartApiserver(): Promise<void>;
  /** The same with an empty store: all objects are gone and resource versions start over. */
  resetStore(): Promise<void>;
  /** Ends all processes and removes the namespace. Removes the folder unless the caller gave it. */
  stop(): Promise<void>;
}

/** The range of clusterIPs. */
export const SERVICE_CIDRS = ["10.96.0.0/12", "fd00:96::/108"] as const;

const ADMIN_TOKEN = "admin";
const PROXY_TOKEN = "proxy";

/**
 * The reason why no control plane can run here; undefined if one can. Builds its programs if
 * necessary.
 *
 * @throws the reason as an Error in CI, where it must not skip tests
 */
export async function missingControlPlane(): Promise<string | undefined> {
  const reason = await missingRequirement();
  if (reason !== undefined && process.env["CI"] === "true") throw new Error(reason);
  return reason;
}

async function missingRequirement(): Promise<string | undefined> {
  if (process.getuid?.() !== 0) return "a control plane needs root, for its network namespace";
  try {
    await programs();
    return undefined;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

let building: Promise<string> | undefined;

/** Returns the folder of etcd, kube-apiserver, kubectl and kube-proxy. Builds them if necessary. */
export function programs(): Promise<string> {
  building ??= runAsync(["bash", join(import.meta.dir, "build.sh")]).then((output) =>
    output.trim(),
  );
  return building;
}

/**
 * Starts a control plane; it is ready after about 5 s. `netns` names an existing namespace for it.
 */
export async function startControlPlane(
  options: { readonly workdir?: string; readonly netns?: string } = {},
): Promise<ControlPlane> {
  const bin = await programs();
  const workdir = options.workdir ?? mkdtempSync(join(tmpdir(), "sluice-cluster-"));
  mkdirSync(workdir, { recursive: true });
  const netns = createNamespace(options.netns);
  const site = { bin, workdir, netns };
  const files = await writeCredentials(site);
  const { kubeconfigs } = files;
  const ca = files.authority.certificate;
  const api = createAdminClient(urlOf(site), readFileSync(ca, "utf8"), ADMIN_TOKEN);
  let etcd = startEtcd(site);
  let apiserver = startApiserver(site, files);
  const plane: ControlPlane = {
    url: urlOf(site),
    ca,
    etcdUrl: etcdUrlOf(site),
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
        // Keeps kubectl's discovery cache out of the home folder.
        `--cache-dir=${join(workdir, "kubectl")}`,
        ...args,
      ]),
    // A clean stop waits up to a minute for watches to end.
    stopApiserver: () => apiserver.stop("SIGKILL"),
    async startApiserver() {
      apiserver = startApiserver(site, files);
      await untilReady(api, apiserver, etcd);
    },
    async restartApiserver() {
      await plane.stopApiserver();
      await plane.startApiserver();
    },
    async resetStore() {
      await plane.stopApiserver();
      await etcd.stop("SIGKILL");
      rmSync(dataOf(site), { recursive: true, force: true });
      etcd = startEtcd(site);
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

/** The files and addresses of a control plane. */
interface ClusterPaths {
  readonly bin: string;
  readonly workdir: string;
  readonly netns: Namespace;
}

const urlOf = ({ netns }: ClusterPaths): string => `https://${netns.address}:6443`;
const etcdUrlOf = ({ netns }: ClusterPaths): string => `http://${netns.address}:2379`;
const dataOf = ({ workdir }: ClusterPaths): string => join(workdir, "etcd");

interface Credentials {
  readonly authority: Certificate;
  readonly server: Certificate;
  /** Key pair for ServiceAccount tokens. */
  readonly signing: { readonly private: string; readonly public: string };
  /** Path of the file for --token-auth-file. */
  readonly tokens: string;
  readonly kubeconfigs: ControlPlane["kubeconfigs"];
}

async function writeCredentials(site: ClusterPaths): Promise<Credentials> {
  const { workdir, netns } = site;
  const authority = await makeAuthority(workdir);
  const names = [netns.address, "127.0.0.1", "10.96.0.1", "kubernetes.default.svc"];
  const [server, client, signing] = await Promise.all([
    makeCertificate(authority, workdir, "apiserver", "/CN=kube-apiserver", names),
    makeCertificate(authority, workdir, "admin", "/O=system:masters/CN=certificate-admin"),
    makeSigningKey(workdir),
  ]);
  const tokens = join(workdir, "tokens.csv");
  writeFileSync(
    tokens,
    `${ADMIN_TOKEN},admin,1,"system:masters"\n${PROXY_TOKEN},system:kube-proxy,2\n`,
  );
  const kubeconfig = (name: string, credential: Credential) =>
    writeKubeconfig(join(workdir, `${name}.kubeconfig`), urlOf(site), authority, credential);
  const kubeconfigs = {
    admin: kubeconfig("admin", { token: ADMIN_TOKEN }),
    certificate: kubeconfig("certificate", { certificate: client }),
    proxy: kubeconfig("proxy", { token: PROXY_TOKEN }),
  };
  return { authority, server, signing, tokens, kubeconfigs };
}

function startEtcd(site: ClusterPaths): Daemon {
  const url = etcdUrlOf(site);
  return startDaemon(
    site.netns.name,
    [
      join(site.bin, "etcd"),
      `--data-dir=${dataOf(site)}`,
      `--listen-client-urls=${url}`,
      `--advertise-client-urls=${url}`,
      "--listen-peer-urls=http://127.0.0.1:2380",
      "--initial-advertise-peer-urls=http://127.0.0.1:2380",
      "--initial-cluster=default=http://127.0.0.1:2380",
      "--unsafe-no-fsync",
      // Bulk loads (many-objects.ts) write hundreds of objects at once.
      "--max-txn-ops=1024",
      "--max-request-bytes=8388608",
      "--quota-backend-bytes=8589934592",
      "--log-level=warn",
    ],
    join(site.workdir, "etcd.log"),
  );
}

function startApiserver(site: ClusterPaths, files: Credentials): Daemon {
  const { address, name } = site.netns;
  return startDaemon(
    name,
    [
      join(site.bin, "kube-apiserver"),
      `--etcd-servers=${etcdUrlOf(site)}`,
      // If this is a loopback address, the server refuses the endpoints of its Service
      // `kubernetes`.
      `--advertise-address=${address}`,
      `--bind-address=${address}`,
      "--secure-port=6443",
      `--tls-cert-file=${files.server.certificate}`,
      `--tls-private-key-file=${files.server.key}`,
      `--client-ca-file=${files.authority.certificate}`,
      `--token-auth-file=${files.tokens}`,
      "--authorization-mode=RBAC",
      // kubeadm's kube-proxy is privileged.
      "--allow-privileged=true",
      `--service-account-key-file=${files.signing.public}`,
      `--service-account-signing-key-file=${files.signing.private}`,
      "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
      `--service-cluster-ip-range=${SERVICE_CIDRS.join(",")}`,
      "--disable-admission-plugins=ServiceAccount",
      // Watches end with the server and do not delay its exit.
      "--shutdown-delay-duration=0",
    ],
    join(site.workdir, "apiserver.log"),
  );
}

/** Paths that answer 200 when the server is ready. It writes its own Service after /readyz. */
const READY = [
  "/readyz",
  "/api/v1/namespaces/default/services/kubernetes",
  "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices/kubernetes",
];

/** Waits until it is ready, up to two minutes, because other tests may use the machine. */
async function untilReady(api: AdminClient, apiserver: Daemon, etcd: Daemon): Promise<void> {
  let dead: string | undefined;
  apiserver.exited.then(() => {
    dead ??= `kube-apiserver ended:\n${apiserver.tail()}`;
  });
  etcd.exited.then(() => {
    dead ??= `etcd ended:\n${etcd.tail()}`;
  });
  const ready = async () => {
    if (dead !== undefined) throw new Error(`start control plane: ${dead}`);
    for (const path of READY) if ((await api.status(path)) !== 200) return false;
    return true;
  };
  const explain = () => apiserver.tail();
  await until("the control plane is ready", ready, { limitMs: 120_000, pollMs: 50, explain });
}
