/** scripts/setup.sh, in a folder and with programs of its own. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import {
  chmodSync,
  cpSync,
  mkdirSync,
  mkdtempSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { runAsync } from "../../harness/commands.ts";
import { ROOT } from "../../harness/repository.ts";

/** All that the script itself runs. */
const PROGRAMS = ["bash", "cat", "dirname", "id", "node", "paste", "sed", "sort"];
const LOCK = {
  "": { version: "1.0.0" },
  "node_modules/one": { version: "1.2.3" },
  "node_modules/one/node_modules/@two/inner": { version: "2.0.0" },
  "node_modules/other-machines": { version: "1.0.0", optional: true },
};

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "sluice-setup-"));
  cpSync(join(ROOT, "scripts/setup.sh"), join(folder, "scripts/setup.sh"));
  write("package-lock.json", JSON.stringify({ packages: LOCK }));
  mkdirSync(join(folder, "bin"));
  for (const name of PROGRAMS) symlinkSync(String(Bun.which(name)), join(folder, "bin", name));
  script("bin/npm", 'echo "npm $*"');
  script("bin/apt-get", 'echo "apt-get $*" >&2');
});
afterEach(() => rmSync(folder, { recursive: true }));

function write(path: string, text: string): void {
  mkdirSync(dirname(join(folder, path)), { recursive: true });
  writeFileSync(join(folder, path), text);
}

function script(path: string, text: string): void {
  // Some are links to programs of this machine, which a write would follow.
  rmSync(join(folder, path), { force: true });
  write(path, `#!${Bun.which("bash")}\n${text}\n`);
  chmodSync(join(folder, path), 0o755);
}

function install(packages: object): void {
  write("node_modules/.package-lock.json", JSON.stringify({ packages }));
}

async function setup(purpose: string, env: Readonly<Record<string, string>> = {}) {
  const child = Bun.spawn(["bash", "scripts/setup.sh", purpose], {
    cwd: folder,
    env: { PATH: join(folder, "bin"), ...env },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const [stdout, stderr, status] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ]);
  return { stdout, stderr, status };
}

const SKIP = { SLUICE_SKIP_SETUP: "1" };

describe("on a machine that has everything", () => {
  beforeEach(() => {
    install(LOCK);
    script("node_modules/.bin/bun", "echo 1.0");
  });

  test.each([{}, SKIP])("with %j it installs nothing", async (env) => {
    expect(await setup("build", env)).toEqual({
      stdout: "setup: nothing to install\n",
      stderr: "",
      status: 0,
    });
  });

  test("an unknown argument is refused", async () => {
    const { stderr, status } = await setup("--npm-only");
    expect(stderr).toBe('setup: unknown argument "--npm-only": must be build, demo or test\n');
    expect(status).toBe(2);
  });
});

describe("on a machine that has nothing", () => {
  test("--help prints the usage alone", async () => {
    const { stdout, stderr, status } = await setup("--help");
    expect(stdout).toStartWith("usage: npm run setup [-- build | demo | test]\n\n  build   ");
    expect(stdout).toEndWith("exits with status 1\nif anything is.\n");
    expect({ stderr, status }).toEqual({ stderr: "", status: 0 });
  });

  test("it prints what it installs", async () => {
    write("node_modules/bun/install.js", 'console.log("fetched")');
    const { stdout, status } = await setup("build");
    expect(stdout).toBe(`\
setup: installing npm packages (npm ci): all
npm ci --no-progress --loglevel=error
setup: installing Bun (node node_modules/bun/install.js)
fetched
setup: done
`);
    expect(status).toBe(0);
  });

  test("it prints every system package that it installs", async () => {
    install(LOCK);
    script("node_modules/.bin/bun", "echo 1.0");
    script("bin/id", "echo 0");
    const { stdout, stderr, status } = await setup("test");
    expect(stdout).toMatch(/^setup: installing system packages \(apt-get\): .*\bstrace\b/);
    expect(stderr).toMatch(/^apt-get update -qq\napt-get install .*\bstrace\b/);
    expect(status).toBe(0);
  });

  test.each([
    ["test", 0],
    ["demo", 1],
  ])("without root, system packages for %s give status %d", async (purpose, expected) => {
    install(LOCK);
    script("node_modules/.bin/bun", "echo 1.0");
    script("bin/id", "echo 1000");
    // Also where /usr/sbin has everything.
    const { stdout, stderr, status } = await setup(purpose);
    if (stderr === "") expect(stdout).toBe("setup: nothing to install\n");
    else {
      expect(stderr).toMatch(/^setup: missing system packages: [a-z0-9 -]+ \(install them; /);
      expect(status).toBe(expected);
    }
  });

  test("and is to install nothing, it lists all that is missing and fails", async () => {
    const { stdout, stderr, status } = await setup("test", SKIP);
    expect(stderr).toContain("setup: missing: command strace (Debian package strace)\n");
    expect(stderr).toEndWith(`\
setup: missing: all npm packages (npm ci)
setup: missing: Bun (node node_modules/bun/install.js)
setup: SLUICE_SKIP_SETUP is set, so nothing was installed
`);
    expect(stdout).toBe("");
    expect(status).toBe(1);
  });
});

test("a package of another version is missing", async () => {
  install({ ...LOCK, "node_modules/one": { version: "1.2.2" } });
  script("node_modules/.bin/bun", "echo 1.0");
  const { stderr, status } = await setup("build", SKIP);
  expect(stderr).toStartWith("setup: missing: npm package one 1.2.3 (installed: 1.2.2)\n");
  expect(status).toBe(1);
});

const noCheck = Bun.which("shellcheck") === null ? "shellcheck must be installed" : undefined;
if (noCheck !== undefined) console.log(`skip: the style of shell scripts: ${noCheck}`);

test.skipIf(noCheck !== undefined)("shellcheck finds nothing in the scripts", async () => {
  const scripts = [
    ".ci/run",
    "bench/run.sh",
    "demo/run.sh",
    "scripts/options.sh",
    "scripts/setup.sh",
    "test/fuzz.sh",
    "test/run.sh",
  ];
  expect(await runAsync(["shellcheck", ...scripts.map((path) => join(ROOT, path))])).toBe("");
});
