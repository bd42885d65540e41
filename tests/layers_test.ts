import assert from "node:assert/strict";
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";

/**
 * The layers of docs/architecture.md, lowest first. A module imports from its own layer and from lower ones; the parts of
 * the top layer do not know each other, except that the client knows the vault.
 */
const LEAVES = ["base32", "bytes", "errors", "limits", "time", "version"];
const PURE = [
  ...["checksum", "crypto", "flags", "identity", "kdf", "login", "protocol", "record", "retention"],
  ...["journal", "journal_author", "journal_body", "journal_checkpoint", "journal_code"],
  ...["journal_facts", "journal_hold", "journal_rules", "journal_snapshots", "journal_state"],
  ...["protocol_v4", "protocol_v4_login", "protocol_v4_usage"],
];
const FOLDERS: Record<string, string[]> = { server: [], client: ["vault"], vault: [] };

const ROOT = fileURLToPath(new URL("..", import.meta.url));

interface Place {
  level: number;
  folder: string | undefined;
}

/** Where a module of `lib/` belongs. */
function placeOf(path: string): Place {
  const [first, ...rest] = path.split("/");
  if (rest.length > 0) return { level: 3, folder: first };
  const name = first.replace(/\.ts$/, "");
  const level = LEAVES.includes(name) ? 0 : PURE.includes(name) ? 1 : 2;
  return { level, folder: undefined };
}

/** What is wrong with an import from one module of `lib/` to another, or undefined. */
function findFault(from: string, to: string): string | undefined {
  const [source, target] = [placeOf(from), placeOf(to)];
  if (target.level > source.level) return `${from} imports ${to}, which is in a higher layer`;
  if (target.folder === undefined || target.folder === source.folder) return undefined;
  const allowed = FOLDERS[source.folder ?? ""] ?? [];
  return allowed.includes(target.folder) ? undefined : `${from} must not know ${to}`;
}

function* modulesBelow(folder: string): Generator<string> {
  for (const entry of Deno.readDirSync(folder)) {
    const path = join(folder, entry.name);
    if (entry.isDirectory) yield* modulesBelow(path);
    else if (path.endsWith(".ts")) yield path;
  }
}

function importsOf(path: string): string[] {
  const text = Deno.readTextFileSync(path);
  const pattern =
    /(?:^|\n)\s*(?:import|export)\b[^;"']*?["'](\.[^"']+)["']|import\(\s*["'](\.[^"']+)["']/g;
  return [...text.matchAll(pattern)].map((match) => join(dirname(path), match[1] ?? match[2]));
}

Deno.test("imports in lib/ point down the layers only", () => {
  const lib = join(ROOT, "lib");
  let count = 0;
  const faults: string[] = [];
  for (const path of modulesBelow(lib)) {
    for (const target of importsOf(path)) {
      count++;
      const fault = findFault(relative(lib, path), relative(lib, target));
      if (fault) faults.push(fault);
    }
  }
  assert.deepEqual(faults, []);
  assert.ok(count > 50, `only ${count} imports found: is the pattern right?`);
});

Deno.test("lib/ has no cycle of imports", () => {
  const state = new Map<string, "open" | "done">();
  const visit = (path: string, trail: string[]): void => {
    if (state.get(path) === "done") return;
    const here = [...trail, relative(ROOT, path)];
    assert.notEqual(state.get(path), "open", `cycle: ${here.join(" -> ")}`);
    state.set(path, "open");
    for (const target of importsOf(path)) visit(target, here);
    state.set(path, "done");
  };
  for (const path of modulesBelow(join(ROOT, "lib"))) visit(path, []);
});

Deno.test("the layer rule finds imports that point the wrong way", () => {
  assert.match(findFault("crypto.ts", "server/access.ts") ?? "", /higher layer/);
  assert.match(findFault("bytes.ts", "protocol.ts") ?? "", /higher layer/);
  assert.match(findFault("protocol.ts", "db.ts") ?? "", /higher layer/);
  assert.match(findFault("server/access.ts", "client/ui.ts") ?? "", /must not know/);
  assert.match(findFault("server/access.ts", "vault/keys.ts") ?? "", /must not know/);
  assert.match(findFault("vault/keys.ts", "client/ui.ts") ?? "", /must not know/);
  assert.equal(findFault("client/ui.ts", "vault/keys.ts"), undefined);
  assert.equal(findFault("server/access.ts", "limits.ts"), undefined);
});
