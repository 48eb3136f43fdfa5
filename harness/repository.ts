/** Reads the repository's own files for tests and checks. */
import { readFileSync } from "node:fs";
import { join } from "node:path";

export const ROOT = join(import.meta.dir, "..");

/** Paths of all files under version control, and of new files that are not ignored. */
export function repositoryFiles(): string[] {
  const git = Bun.spawnSync(["git", "ls-files", "-co", "--exclude-standard"], { cwd: ROOT });
  if (!git.success) throw new Error(`list the repository: ${git.stderr.toString()}`);
  const paths = git.stdout.toString().split("\n").filter(Boolean);
  return paths.filter((path) => Bun.file(join(ROOT, path)).size > 0).sort();
}

/** TypeScript files of a folder, paths relative to the root. */
export function sourcesIn(folder: string): string[] {
  return repositoryFiles().filter((path) => path.startsWith(`${folder}/`) && path.endsWith(".ts"));
}

/** Text of a file of the repository. */
export function textOf(path: string): string {
  return readFileSync(join(ROOT, path), "utf8");
}
