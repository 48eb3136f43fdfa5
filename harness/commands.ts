/** Runs commands to completion. */

/**
 * Runs a command and returns its output.
 *
 * @throws Error with its standard error, unless it exits with 0
 */
export function run(...command: string[]): string {
  return pipe("", ...command);
}

/** Runs a command with `input` as its standard input. @throws as `run` */
export function pipe(input: string, ...command: string[]): string {
  const { exitCode, stdout, stderr } = Bun.spawnSync(command, { stdin: stdin(input) });
  if (exitCode !== 0) throw failure(command, exitCode, stderr.toString(), input);
  return stdout.toString();
}

/**
 * Runs a command without blocking this process, and resolves with its output.
 *
 * @throws as `run`
 */
export async function runAsync(command: readonly string[], input = ""): Promise<string> {
  const child = Bun.spawn([...command], {
    stdin: stdin(input),
    stdout: "pipe",
    stderr: "pipe",
  });
  const [output, error, status] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ]);
  if (status !== 0) throw failure(command, status, error, input);
  return output;
}

function stdin(input: string): "ignore" | Buffer {
  return input === "" ? "ignore" : Buffer.from(input);
}

function failure(
  command: readonly string[],
  status: number | null,
  error: string,
  input: string,
): Error {
  const text = `${command.join(" ")}: exit status ${status}: ${error.trim()}`;
  return new Error(input === "" ? text : `${text}\nwith the input:\n${input}`);
}
