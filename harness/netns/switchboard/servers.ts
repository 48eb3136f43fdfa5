/**
 * Runs the servers of the switchboard. Each answers with its name, its port and the source it sees.
 */
import * as libc from "./libc.ts";
import type { Poller } from "./poller.ts";
import type { Listen, Unlisten } from "./protocol.ts";

interface Server {
  readonly name: string;
  readonly port: number;
  readonly fd: number;
  readonly connections: Set<number>;
}

export class Servers {
  private readonly poller: Poller;
  private readonly servers = new Set<Server>();
  private readonly buffer = new Uint8Array(new ArrayBuffer(2048));

  constructor(poller: Poller) {
    this.poller = poller;
  }

  listen(command: Listen): void {
    const { address, port, transport, name } = command;
    libc.enter(command.namespace);
    const fd = libc.socket(address, transport);
    if (command.transparent) libc.makeTransparent(fd, address);
    if (
      fd < 0 ||
      libc.bind(fd, address, port) < 0 ||
      (transport === "tcp" && libc.listen(fd) < 0)
    ) {
      throw new Error(`listen ${transport} ${address} ${port}: errno ${libc.errno()}`);
    }
    const server: Server = { name, port, fd, connections: new Set() };
    this.servers.add(server);
    this.poller.watch(fd, libc.POLLIN, () =>
      transport === "tcp" ? this.accept(server) : this.datagrams(server),
    );
  }

  unlisten(command: Unlisten): void {
    for (const server of this.servers) {
      if (server.name !== command.name || server.port !== command.port) continue;
      for (const fd of server.connections) this.drop(server, fd);
      this.poller.unwatch(server.fd);
      libc.close(server.fd);
      this.servers.delete(server);
    }
  }

  private accept(server: Server): void {
    for (let peer = libc.accept(server.fd); peer !== undefined; peer = libc.accept(server.fd)) {
      const { fd } = peer;
      const banner = bannerOf(server, peer);
      server.connections.add(fd);
      this.poller.watch(fd, libc.POLLIN, () => {
        if (libc.receive(fd, this.buffer) > 0) libc.send(fd, banner);
        else this.drop(server, fd);
      });
      libc.send(fd, banner);
    }
  }

  private datagrams(server: Server): void {
    for (
      let peer = libc.receiveFrom(server.fd, this.buffer);
      peer !== undefined;
      peer = libc.receiveFrom(server.fd, this.buffer)
    ) {
      libc.sendTo(server.fd, bannerOf(server, peer), peer);
    }
  }

  private drop(server: Server, fd: number): void {
    server.connections.delete(fd);
    this.poller.unwatch(fd);
    libc.abort(fd);
  }
}

function bannerOf(server: Server, peer: libc.Peer): Uint8Array {
  return Buffer.from(`${server.name} ${server.port} ${peer.address} ${peer.port}\n`);
}
