/** A world that runs the program, and Services for tests that change them. */
import { afterAll, beforeAll, describe } from "bun:test";
import { renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import {
  CLUSTER_CIDR,
  FAMILIES,
  type Family,
  type Location,
} from "../../harness/netns/addresses.ts";
import { BACKENDS, type Backend, rulesInKernel } from "../../harness/netns/backends.ts";
import { type Target, useLongTimeout } from "../../harness/netns/connections.ts";
import type { Frontend } from "../../harness/netns/frontends.ts";
import { DEFAULT_FLAGS, type ProgramOptions, SluiceProcess } from "../../harness/netns/program.ts";
import { World } from "../../harness/netns/world.ts";
import {
  type EndpointPlace,
  type EndpointSpec,
  type Manifest,
  type PortSpec,
  type ServiceSpec,
  service,
  slices,
} from "../../harness/netns/world-objects.ts";

export type Own = Omit<ServiceSpec, "name" | "number">;
export type Endpoints = readonly (EndpointPlace | EndpointSpec)[];

/** The Service of a test. Each method that changes it waits until the change is in force. */
export interface ServiceHandle {
  readonly name: string;
  readonly number: number;
  /** One of its addresses and a client. */
  reach(family: Family, to: Frontend, from: Location): Target;
  /** Replaces its specification. */
  update(next: Own): Promise<void>;
  /** Replaces its endpoints, by default on its own ports. */
  updateEndpoints(next: Endpoints, ports?: readonly PortSpec[]): Promise<void>;
  /** Deletes the Service. Its slices stay. */
  remove(): Promise<void>;
}

export interface FixtureOptions extends ProgramOptions {
  readonly flags?: readonly string[];
  /** Fields of a configuration file, which replaces the flags. */
  readonly settings?: object;
}

/** Defines the tests of a file for each backend, each in its own world. */
export function describeBackends(
  define: (backend: Backend) => void,
  backends: readonly Backend[] = BACKENDS,
): void {
  for (const backend of backends) describe(backend, () => define(backend));
}

export class Fixture {
  private begun: { readonly world: World; readonly program: SluiceProcess } | undefined;
  private numbers = 0;

  /** Lasts for a test file, or for one `describe`. */
  constructor(options: FixtureOptions = {}) {
    const { flags = DEFAULT_FLAGS, settings, ...rest } = options;
    useLongTimeout();
    beforeAll(async () => {
      const world = await World.build();
      const program = new SluiceProcess(world, rest);
      this.begun = { world, program };
      if (settings !== undefined) this.configure(settings);
      await program.start(settings === undefined ? flags : ["--config", this.configFile]);
    });
    afterAll(() => this.begun?.world.close());
  }

  get world(): World {
    return this.parts.world;
  }

  get program(): SluiceProcess {
    return this.parts.program;
  }

  /** The rules in the kernel, without what traffic changes. */
  rules(): Promise<string> {
    return rulesInKernel(this.world, this.program.backend);
  }

  /** Replaces the configuration file. The program notices it a moment later. */
  configure(settings: object): void {
    const text = JSON.stringify({
      apiVersion: "kubeproxy.config.k8s.io/v1alpha1",
      kind: "KubeProxyConfiguration",
      mode: this.program.backend === "nftables" ? "" : "iptables",
      clusterCIDR: FAMILIES.map((family) => CLUSTER_CIDR[family]).join(","),
      ...settings,
    });
    const draft = `${this.configFile}.draft`;
    writeFileSync(draft, text);
    renameSync(draft, this.configFile);
  }

  /** Creates a Service with its own addresses. */
  async given(own: Own, endpoints: Endpoints): Promise<ServiceHandle> {
    this.numbers += 1;
    const number = this.numbers;
    const name = `s${number}`;
    const ownPorts = own.ports;
    const given: ServiceHandle = {
      name,
      number,
      reach: (family, to, from) => ({ from, to, number, family }),
      update: (next) => this.put(service({ ...next, name, number })),
      updateEndpoints: (next, ports = ownPorts) =>
        this.put(...slices(name, next, ports === undefined ? {} : { ports })),
      remove: () => this.remove(service({ name, number })),
    };
    this.program.put([service({ ...own, name, number })]);
    await given.updateEndpoints(endpoints);
    return given;
  }

  async put(...objects: Manifest[]): Promise<void> {
    this.program.put(objects);
    await this.program.untilSettled();
  }

  async remove(...objects: Manifest[]): Promise<void> {
    this.program.remove(objects);
    await this.program.untilSettled();
  }

  private get configFile(): string {
    return join(this.world.directory, "config.conf");
  }

  private get parts() {
    if (this.begun === undefined) throw new Error("The world is built before the first test");
    return this.begun;
  }
}
