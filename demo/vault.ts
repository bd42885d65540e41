/** The vault: end-to-end encrypted backups of a folder, two snapshots, both restored and compared. */
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";
import { concatBytes } from "../lib/bytes.ts";
import { formatByteSize } from "../lib/flags.ts";
import { DemoServer, listFiles, makeContent, runProgram, sameBytes, say } from "./stage.ts";

const LARGE_FILE = "holiday.tar";
const LARGE_BYTES = 24 * 1024 * 1024;
/** Folders of this project that are backed up, as an example of a real tree. */
const SOURCES = ["lib", "docs", "tests"];
const SECRET = "the combination of the safe is 27-3-91";

/** Everything happens in this folder. Throws if anything is not as it must be. */
export async function demoVault(folder: string): Promise<void> {
  const dataPath = join(folder, "server-data");
  const home = join(folder, "home");
  Deno.mkdirSync(home, { recursive: true });
  say("VAULT: encrypted before it leaves the machine, deduplicated, with versions.");
  const server = new DemoServer([
    "--classic",
    "off",
    "--listen",
    "127.0.0.1:0",
    "--data",
    dataPath,
  ]);
  try {
    await server.addresses();
    say("the operator invites somebody to make a vault; the owner takes the invite");
    const args = ["invite", "--data", dataPath];
    const invite = (await runProgram("server", args, { cwd: home })).trim().split("\n").at(-1)!;
    await runProgram("client", [
      "init",
      invite,
      "--device",
      "laptop",
      "--recovery-file",
      "code.txt",
      "--profile",
      "profile",
    ], {
      cwd: home,
    });
    await showSnapshots({ home, dataPath });
  } finally {
    await server.stop();
  }
}

async function showSnapshots(
  { home, dataPath }: { home: string; dataPath: string },
): Promise<void> {
  const documents = join(home, "documents");
  makeDocuments(documents);
  say(`first backup of ${[...listFiles(documents)].length} files`);
  const first = await backUp(home);
  const before = readTree(documents);

  const large = join(documents, LARGE_FILE);
  Deno.writeFileSync(large, concatBytes(new Uint8Array([42]), Deno.readFileSync(large)));
  Deno.writeTextFileSync(join(documents, "diary.txt"), "a new page\n", { append: true });
  say(`one byte is put in front of ${LARGE_FILE}, and a line is added to diary.txt; second backup`);
  const second = await backUp(home);
  say(
    `sent ${formatByteSize(first.bytesSent)} the first time, ${
      formatByteSize(second.bytesSent)
    } the second`,
  );
  await runProgram("client", ["snapshots", "--profile", "profile"], { cwd: home });

  say("both snapshots are restored, and compared byte by byte");
  await restoreAndCompare(home, { snapshot: first.snapshot, expected: before });
  await restoreAndCompare(home, { snapshot: second.snapshot, expected: readTree(documents) });
  searchStore(dataPath);
}

function makeDocuments(documents: string): void {
  const root = fileURLToPath(new URL("..", import.meta.url));
  for (const source of SOURCES) {
    for (const path of listFiles(join(root, source))) {
      const target = join(documents, source, path);
      Deno.mkdirSync(join(target, ".."), { recursive: true });
      Deno.copyFileSync(join(root, source, path), target);
    }
  }
  Deno.writeTextFileSync(join(documents, "diary.txt"), `${SECRET}\n`);
  Deno.writeFileSync(join(documents, LARGE_FILE), makeContent(LARGE_BYTES));
}

async function backUp(home: string): Promise<{ snapshot: string; bytesSent: number }> {
  const args = ["backup", "documents", "--profile", "profile", "--json"];
  const output = await runProgram("client", args, { cwd: home, show: false });
  const summary = JSON.parse(output.trim().split("\n").at(-1)!);
  console.log(`  $ client ${args.join(" ")}`);
  console.log(
    `  snapshot ${summary.snapshot.slice(0, 12)}: ${JSON.stringify(summary.files)}, ` +
      `${formatByteSize(summary.bytesRead)} read, ${formatByteSize(summary.bytesSent)} sent`,
  );
  return summary;
}

async function restoreAndCompare(
  home: string,
  { snapshot, expected }: { snapshot: string; expected: Map<string, Uint8Array> },
): Promise<void> {
  const id = snapshot.slice(0, 12);
  const target = join(home, `restored-${id}`);
  await runProgram("client", ["restore", id, "--to", target, "--profile", "profile"], {
    cwd: home,
  });
  const restored = readTree(join(target, home, "documents"));
  if (restored.size !== expected.size) throw new Error(`${restored.size} files were restored`);
  for (const [path, bytes] of expected) {
    const found = restored.get(path);
    if (!found || !sameBytes(bytes, found)) throw new Error(`${path} was not restored as it was`);
  }
  say(`${expected.size} files of snapshot ${id} are identical`);
}

/** Looks for what only the owner may know in everything that the server has. */
function searchStore(dataPath: string): void {
  const words = [SECRET, "diary.txt", LARGE_FILE, "All work and no backup", "documents"];
  let bytes = 0;
  for (const path of listFiles(dataPath)) {
    const content = Deno.readFileSync(join(dataPath, path));
    bytes += content.length;
    const text = new TextDecoder("latin1").decode(content);
    const found = words.find((word) => text.includes(word));
    if (found !== undefined) throw new Error(`"${found}" can be read in ${basename(path)}`);
  }
  say(
    `looked through the server's ${
      formatByteSize(bytes)
    } for ${words.length} things in the clear: nothing`,
  );
}

function readTree(folder: string): Map<string, Uint8Array> {
  return new Map(
    [...listFiles(folder)].map((path) => [path, Deno.readFileSync(join(folder, path))]),
  );
}
