import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DEFAULT_NAME, machineFor, makeImage } from "../../build/image.ts";
import { BINARY, missingBinaryOrRoot } from "../../harness/binary.ts";
import { createNamespace, type Namespace } from "../../harness/cluster/cabled-netns.ts";
import { runAsync } from "../../harness/commands.ts";
import { type Daemon, startDaemon } from "../../harness/daemon.ts";
import { until } from "../../harness/waiting.ts";

const reason = missingBinaryOrRoot("its root folder and network namespace");
if (reason !== undefined) console.log(`skip: the image: ${reason}`);

/** A container's capabilities under deploy/kubernetes/base, and the one that chroot needs. */
const CAPABILITIES = "-all,+net_admin,+net_raw,+sys_chroot";

const SERVICE = `
{"apiVersion": "v1", "kind": "Service", "metadata": {"name": "imaged", "namespace": "default"},
 "spec": {"type": "ClusterIP", "clusterIP": "10.96.7.7", "clusterIPs": ["10.96.7.7"], "ports": [{"port": 80}]}}`;

interface Layout {
  readonly index: { readonly manifests: readonly Record<string, never>[] };
  readonly manifest: { readonly config: Blob_; readonly layers: readonly Blob_[] };
  readonly config: { readonly [field: string]: never };
  readonly docker: readonly { Config: string; RepoTags: string[]; Layers: string[] }[];
}
interface Blob_ {
  readonly digest: string;
  readonly size: number;
}

describe.skipIf(reason !== undefined)("the image", () => {
  const folder = mkdtempSync(join(tmpdir(), "sluice-image-"));
  const layout = join(folder, "layout");
  const container = join(folder, "container");
  const options = { machine: machineFor(undefined), binary: BINARY, name: DEFAULT_NAME };
  /** A substitute for our program, which would take seconds to compress. */
  const small = { ...options, binary: "/usr/sbin/xtables-nft-multi" };
  let node: Namespace;
  let daemon: Daemon | undefined;
  const read = <File>(path: string): File => JSON.parse(readFileSync(join(layout, path), "utf8"));
  const blob = ({ digest }: Blob_) => `blobs/${digest.replace(":", "/")}`;
  const parts = (): Layout => {
    const index = read<Layout["index"]>("index.json");
    const manifest = read<Layout["manifest"]>(blob(index.manifests[0] as unknown as Blob_));
    return {
      index,
      manifest,
      config: read(blob(manifest.config)),
      docker: read("manifest.json"),
    };
  };

  beforeAll(async () => {
    node = createNamespace();
    const image = await makeImage({ ...options, iptables: true, created: 0 });
    mkdirSync(layout);
    mkdirSync(container);
    await Bun.write(join(folder, "image.tar"), image.archive);
    await runAsync(["tar", "xf", join(folder, "image.tar"), "-C", layout]);
    for (const layer of parts().manifest.layers) {
      await runAsync(["tar", "xzpf", join(layout, blob(layer)), "-C", container]);
    }
    // The environment that a container runtime creates.
    for (const name of ["proc", "dev", "run", "config"]) mkdirSync(join(container, name));
    writeFileSync(join(container, "run/xtables.lock"), "");
    writeFileSync(join(container, "config/service.json"), SERVICE);
  }, 120_000);
  afterAll(async () => {
    await daemon?.stop("SIGKILL");
    node?.remove();
    rmSync(folder, { recursive: true, force: true });
  });

  /**
   * The words of a command line that run a command in the unpacked image, read-only, as a container
   * runtime does.
   */
  const contained = (...command: string[]) => {
    const script = `set -e
      mount --bind ${container} ${container}
      mount -t proc proc ${container}/proc
      mount --bind /dev ${container}/dev
      mount --bind ${container}/run/xtables.lock ${container}/run/xtables.lock
      mount -o remount,bind,ro ${container}
      exec setpriv --bounding-set ${CAPABILITIES} chroot ${container} "$@"`;
    return ["unshare", "--mount", "sh", "-c", script, "sh", ...command];
  };
  const inNode = (...command: string[]) =>
    runAsync(["nsenter", `--net=/run/netns/${node.name}`, ...command]);

  test("has the same bytes for the same files", async () => {
    const make = (created: number) => makeImage({ ...small, iptables: true, created });
    const [one, two, later] = [await make(0), await make(0), await make(1)];
    expect(two.digest).toBe(one.digest);
    expect(Bun.hash(two.archive)).toBe(Bun.hash(one.archive));
    expect(later.digest).not.toBe(one.digest);
  });

  test("holds the files of its manifests, by digest and size", () => {
    const { index, manifest } = parts();
    const all = [index.manifests[0] as unknown as Blob_, manifest.config, ...manifest.layers];
    for (const part of all) {
      const bytes = readFileSync(join(layout, blob(part)));
      expect(bytes.length).toBe(part.size);
      expect(`sha256:${createHash("sha256").update(bytes).digest("hex")}`).toBe(part.digest);
    }
    expect(read<unknown>("oci-layout")).toEqual({ imageLayoutVersion: "1.0.0" });
  });

  test("differs from others by its configuration", () => {
    const { config, manifest } = parts();
    expect(config as unknown).toMatchObject({
      architecture: options.machine.architecture,
      os: "linux",
      created: "1970-01-01T00:00:00Z",
      config: { Entrypoint: ["/usr/local/bin/sluice"] },
      rootfs: { type: "layers" },
    });
    const { rootfs, config: settings } = config as unknown as {
      rootfs: { diff_ids: string[] };
      config: { Labels: Record<string, string> };
    };
    expect(rootfs.diff_ids).toHaveLength(manifest.layers.length);
    expect(Object.keys(settings.Labels).sort()).toEqual(
      ["description", "licenses", "title", "version"].map((l) => `org.opencontainers.image.${l}`),
    );
  });

  test("is the same to docker load as to tools of OCI layouts", () => {
    const { docker, manifest } = parts();
    expect(docker).toEqual([
      {
        Config: blob(manifest.config),
        RepoTags: [DEFAULT_NAME],
        Layers: manifest.layers.map(blob),
      },
    ]);
  });

  test("has the program in its own layer, above the layer that changes less often", async () => {
    const { manifest } = parts();
    const names = await runAsync(["tar", "tzf", join(layout, blob(manifest.layers[1] as Blob_))]);
    expect(
      names
        .trim()
        .split("\n")
        .filter((name) => !name.endsWith("/")),
    ).toEqual(["usr/local/bin/kube-proxy", "usr/local/bin/sluice"]);
  });

  test("runs, also under kube-proxy's name", async () => {
    for (const name of ["sluice", "kube-proxy"]) {
      expect(await runAsync(contained(`/usr/local/bin/${name}`, "--version"))).toStartWith(
        "Sluice ",
      );
    }
  });

  test("can idle as deploy/kubernetes/cleanup needs it", async () => {
    const printed = await runAsync([
      "env",
      "BUN_BE_BUN=1",
      ...contained("sluice", "-e", "console.log(7)"),
    ]);
    expect(printed).toBe("7\n");
  });

  test("writes rules to the kernel with a container's rights", async () => {
    daemon = startDaemon(
      node.name,
      contained("/usr/local/bin/kube-proxy", "--manifests=/config", "--hostname-override=here"),
      join(folder, "log"),
    );
    const { tail } = daemon;
    const healthy = async () => {
      const answer = await fetch(`http://${node.address}:10256/livez`).catch(() => undefined);
      return answer?.ok === true;
    };
    await until("it is healthy", healthy, { limitMs: 30_000, pollMs: 20, explain: tail });
    expect(await inNode("nft", "list", "table", "inet", "sluice")).toContain("10.96.7.7");
    await daemon.stop();
  }, 60_000);

  test.each(["legacy", "nft"])("finds and removes rules of iptables-%s", async (kind) => {
    const chain = ["-t", "nat", "-N", "KUBE-SERVICES"];
    const rule = [
      "-t",
      "nat",
      "-A",
      "KUBE-SERVICES",
      "-m",
      "comment",
      "--comment",
      "left",
      "-j",
      "ACCEPT",
    ];
    await inNode(`iptables-${kind}`, ...chain);
    await inNode(`iptables-${kind}`, ...rule);
    const save = () => inNode(...contained(`iptables-${kind}-save`, "-t", "nat"));
    expect(await save()).toContain("-A KUBE-SERVICES -m comment --comment left -j ACCEPT");
    await inNode(...contained(`iptables-${kind}`, "-t", "nat", "-F", "KUBE-SERVICES"));
    await inNode(...contained(`iptables-${kind}`, "-t", "nat", "-X", "KUBE-SERVICES"));
    expect(await save()).not.toContain("KUBE-SERVICES");
  });

  test.each(
    ["iptables", "ip6tables"].flatMap((family) => [
      [`${family}-legacy`],
      [`${family}-nft`],
      [family],
    ]),
  )(
    "runs the save and restore tools of %s, with all matches and targets of iptables mode",
    async (name) => {
      const own = `SLUICE-${name.toUpperCase()}`;
      const rules = [
        "-p tcp -m comment --comment one -m statistic --mode random --probability 0.50000000000",
        "-p tcp -m recent --rcheck --seconds 10 --reap --name ONE --rsource",
        "-m mark ! --mark 0x4000/0x4000 -m conntrack --ctstate DNAT",
        "-m addrtype --src-type LOCAL",
      ].map((match) => `-A ${own} ${match} -j RETURN\n`);
      const text = `*nat\n:${own} - [0:0]\n${rules.join("")}COMMIT\n`;
      writeFileSync(join(container, "config/rules"), text);
      await inNode(
        ...contained(`/usr/sbin/${name}-restore`, "-w", "5", "--noflush", "/config/rules"),
      );
      const saved = await inNode(...contained(`/usr/sbin/${name}-save`, "-t", "nat"));
      expect(saved.split("\n").filter((line) => line.startsWith(`-A ${own} `))).toHaveLength(4);
    },
  );

  test("without iptables holds only the program and its libraries", async () => {
    const { archive } = await makeImage({ ...small, iptables: false, created: 0 });
    const path = join(folder, "small.tar");
    await Bun.write(path, archive);
    const index = JSON.parse(await runAsync(["tar", "xOf", path, "index.json"])) as Layout["index"];
    const manifest = JSON.parse(
      await runAsync(["tar", "xOf", path, blob(index.manifests[0] as unknown as Blob_)]),
    ) as Layout["manifest"];
    const base = join(folder, "base.tar.gz");
    await runAsync(["sh", "-c", `tar xOf ${path} ${blob(manifest.layers[0] as Blob_)} > ${base}`]);
    const names = (await runAsync(["tar", "tzf", base])).trim().split("\n");
    const odd = names.filter(
      (name) => !/\/$|^etc\/passwd$|^lib(64)?$|^usr\/lib|^usr\/share\/doc\//.test(name),
    );
    expect(odd).toEqual([]);
  });
});

test("an image for an unsupported machine is refused", () => {
  expect(() => machineFor("linux-x64-musl")).toThrow(
    'invalid value "linux-x64-musl": must be one of linux-x64,',
  );
});
