import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { closeSync, constants, mkdtempSync, openSync, readSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createLogger } from "../../src/base/log.ts";
import { StderrWriter } from "../../src/os/stderr-writer.ts";

const LINE = `${"x".repeat(99)}\n`;
/** More than a pipe holds. */
const MANY = 10_000;

describe("a pipe", () => {
  let folder: string;
  let reader: number;
  let fd: number;
  let writer: StderrWriter;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "sluice-stderr-"));
    const path = join(folder, "pipe");
    Bun.spawnSync(["mkfifo", path]);
    reader = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
    // It blocks, as a supervisor's pipe does.
    fd = openSync(path, constants.O_WRONLY);
    writer = new StderrWriter(fd);
  });
  afterEach(() => {
    closeSync(reader);
    closeSync(fd);
    rmSync(folder, { recursive: true });
  });

  function read(): string {
    const buffer = Buffer.alloc(1 << 20);
    return buffer.toString("latin1", 0, readSync(reader, buffer));
  }

  function fill(): number {
    let taken = 0;
    while (writer.write(LINE)) taken++;
    return taken;
  }

  test("contains each line as soon as it is written", () => {
    expect(writer.write("one\n")).toBe(true);
    expect(read()).toBe("one\n");
  });

  test("that is not read does not block, and accepts lines again once it is read", () => {
    const taken = fill();
    for (let i = 0; i < MANY; i++) expect(writer.write(LINE)).toBe(false);
    expect(read().split("\n").slice(0, taken)).toEqual(Array(taken).fill(LINE.trimEnd()));
    expect(writer.write("again\n")).toBe(true);
    expect(read()).toBe("again\n");
  });

  test("that accepted half of a line gets the next one on its own line", () => {
    expect(writer.write(`${"y".repeat(1 << 20)}\n`)).toBe(false);
    expect(read()).toMatch(/^y+$/);
    expect(writer.write("next\n")).toBe(true);
    expect(read()).toBe("\nnext\n");
  });

  test("without a reader accepts nothing", () => {
    closeSync(reader);
    expect(writer.write(LINE)).toBe(false);
    reader = openSync("/dev/null", "r");
  });

  test("gets the number of lost log lines when it is read again", () => {
    const log = createLogger({
      verbosity: 0,
      format: "text",
      now: () => 0,
      pid: 1,
      write: (line) => writer.write(line),
    });
    fill();
    for (let i = 0; i < 5; i++) log.info("lost");
    read();
    log.info("seen");
    log.info("and no more of it");
    const said = read();
    expect(said).not.toContain(" lost\n");
    expect(said.match(/\] .*/g)).toEqual([
      "] Lost log lines because stderr could not be written lines=5",
      "] seen",
      "] and no more of it",
    ]);
  });
});

test("a full file accepts nothing, and nothing throws", () => {
  const fd = openSync("/dev/full", "w");
  expect(new StderrWriter(fd).write(LINE)).toBe(false);
  closeSync(fd);
});

test("all lines before the end of the process arrive", () => {
  const script = `
    import { StderrWriter } from ${JSON.stringify(join(import.meta.dir, "../../src/os/stderr-writer.ts"))};
    const stderr = new StderrWriter(2);
    for (let i = 0; i < ${MANY}; i++) stderr.write(${JSON.stringify(LINE)});
    stderr.write("fatal\\n");
    process.exit(1);
  `;
  const shell = ["sh", "-c", '"$0" -e "$1" 2>&1 | cat', process.execPath, script];
  const { stdout } = Bun.spawnSync(shell);
  const lines = stdout.toString().split("\n");
  expect([lines.length, lines.at(-2)]).toEqual([MANY + 2, "fatal"]);
});
