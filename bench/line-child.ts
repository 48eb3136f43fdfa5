/** Talks to a process in another network namespace, by lines. */

/** A process that answers each line with a line. */
export class LineChild {
  readonly #child: Bun.Subprocess<"pipe", "pipe", "inherit">;
  readonly #lines: AsyncIterator<Uint8Array>;

  constructor(command: readonly string[]) {
    this.#child = Bun.spawn([...command], { stdio: ["pipe", "pipe", "inherit"] });
    this.#lines = this.#child.stdout[Symbol.asyncIterator]();
  }

  /** The next line. The child writes one at a time. */
  async line(): Promise<string> {
    const { value } = await this.#lines.next();
    return new TextDecoder().decode(value).trim();
  }

  /** The number that it answers. */
  async ask(request: object): Promise<number> {
    this.#child.stdin.write(`${JSON.stringify(request)}\n`);
    this.#child.stdin.flush();
    return Number(await this.line());
  }

  kill(): void {
    this.#child.kill("SIGKILL");
  }
}
